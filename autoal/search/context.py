"""What a round looks like, in a few numbers near 1 that mean the same for every data set."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from autoal.anchor.space import Space, nearest_distance
from autoal.outputs import PoolView

__all__ = ["NUM_CONTEXT", "round_context"]

NUM_CONTEXT = 9
SAMPLE = 1000
"""Labeled points, at most, whose neighbors are looked at."""


def round_context(view: PoolView, space: Space, batch_size: int) -> Tensor:
    """(G,) numbers: log labels per class, log classes (1 in a regression), share labeled, log batch over labels;
    evenness of the labeled classes; log dimensions the pool fills; mean margin of the model on the pool; how often a
    labeled point has the label of its nearest, above chance; how much closer than typical the nearest neighbor is.
    """
    n_labeled, n_pool, classes = len(view.labels), len(view), max(1, view.num_classes)
    fixed = [
        math.log(max(1, n_labeled) / classes) / 3,
        math.log(classes) / 3,
        n_labeled / (n_labeled + n_pool),
        math.log(batch_size / max(1, n_labeled)) / 3,
        _evenness(view),
        math.log(_dimensions(space.reference)) / 3,
        _mean_margin(view),
        _agreement(view, space),
        _clumping(space.reference),
    ]
    return torch.tensor(fixed, dtype=torch.float32, device=view.device)


def _evenness(view: PoolView) -> float:
    """Entropy of the labeled class shares over its maximum; 1 in a regression."""
    if view.num_classes < 2 or len(view.labels) == 0:
        return 1.0
    shares = torch.bincount(view.labels, minlength=view.num_classes).double() / len(view.labels)
    return float(-torch.special.xlogy(shares, shares).sum()) / math.log(view.num_classes)


def _dimensions(points: Tensor) -> float:
    """(sum of variances)^2 / sum of their squares along the principal axes: how many axes carry the spread."""
    if len(points) < 2:
        return 1.0
    centred = (points - points.mean(0)).double()
    covariance = centred.T @ centred
    return float(covariance.trace() ** 2 / covariance.square().sum().clamp_min(1e-12)) or 1.0


def _mean_margin(view: PoolView) -> float:
    """Gap between the two likeliest classes, over a sample of the pool; 1/2 in a regression."""
    if view.num_classes < 2 or view.pool.log_probs is None:
        return 0.5
    step = max(1, len(view) // (10 * SAMPLE))
    top = view.pool.log_probs[::step].exp().topk(2, dim=1).values
    return float((top[:, 0] - top[:, 1]).mean())


def _agreement(view: PoolView, space: Space) -> float:
    """Share of labeled points whose nearest other labeled point has their class, less what chance gives; 0 in a
    regression."""
    n = len(view.labels)
    if view.num_classes < 2 or n < 2:
        return 0.0
    rows = torch.arange(0, n, max(1, n // SAMPLE), device=view.device)[:SAMPLE]
    x, y = functional.normalize(space.labeled[rows], dim=1), view.labels[rows]
    squared = (2 - 2 * x @ x.T).fill_diagonal_(math.inf)
    nearest = y[squared.argmin(1)]
    shares = torch.bincount(y, minlength=view.num_classes).double() / len(y)
    return float((nearest == y).double().mean() - shares.square().sum())


def _clumping(points: Tensor) -> float:
    """1 - median distance to the nearest neighbor over the median distance to anybody."""
    if len(points) < 3:
        return 0.0
    nearest = nearest_distance(points, points, 2).median()
    typical = (points - points.roll(len(points) // 2, 0)).norm(dim=1).median()
    return float(1 - nearest / typical.clamp_min(1e-12))
