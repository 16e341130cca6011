"""The space in which points are compared and FitNet's heads are fitted: label-free, made once per round."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor
from torch.nn import functional

from autoal.compute import chunks
from autoal.outputs import ModelOutputs, PoolView

__all__ = [
    "Shape",
    "Space",
    "beside_predictions",
    "geometry",
    "log_reference_distance",
    "nearest_distance",
    "squared_distances",
]

FEW_DIMENSIONS = 3
"""Up to so many columns, the length of a row is a large part of where it lies."""
LARGE = 1024
"""Rows and columns up to which the directions of a space are found exactly."""
REFERENCE = 1000
"""Pool points against which local density is measured."""


def geometry(outputs: ModelOutputs) -> Tensor:
    """(n, D) embeddings; where there are none, square roots of the probabilities (Hellinger distance), or (n, 1) the
    predictions of a regression."""
    if outputs.embeddings is not None:
        return outputs.embeddings.float()
    if outputs.means is not None:
        return outputs.means.float().unsqueeze(1)
    return outputs.require("log_probs").float().div(2).exp()


@dataclass(frozen=True)
class Space:
    """Head features of both sides, and the points that stand for the pool."""

    pool: Tensor
    """(N, D') centred, scaled by one number, rotated and cut to `head_dim` where wider."""
    labeled: Tensor
    """(L, D')"""
    reference: Tensor
    """(R, D') a sample of the pool."""

    mean: Tensor
    scale: Tensor
    rotation: Tensor | None

    @staticmethod
    def of(view: PoolView, head_dim: int, rng: torch.Generator) -> Space:
        pool, labeled = geometry(view.pool), geometry(view.labeled)
        sample = pool[torch.randperm(len(pool), generator=rng)[: max(5 * head_dim, 5000)].to(pool.device)]
        both = torch.cat([sample, labeled]).double()
        mean = both.mean(0)
        scale = (both - mean).square().mean().sqrt().clamp_min(1e-12)
        rotation = None
        if pool.shape[1] > head_dim:
            rotation = _leading_directions(both - mean, head_dim)
            # The sign of an eigenvector is a convention of the solver: fix it by the largest entry.
            largest = rotation.abs().argmax(0, keepdim=True)
            rotation = rotation * torch.sign(rotation.gather(0, largest))
            # The kept directions should have unit mean square again.
            scale = ((both - mean) @ rotation).square().mean().sqrt().clamp_min(1e-12)
        mapped = _project(pool, mean, scale, rotation)
        order = torch.randperm(len(mapped), generator=rng)[:REFERENCE].to(mapped.device)
        return Space(
            mapped, _project(labeled, mean, scale, rotation), mapped[order], mean=mean, scale=scale, rotation=rotation
        )

    def project(self, outputs: ModelOutputs) -> Tensor:
        """(n, D') of further points."""
        return _project(geometry(outputs), self.mean, self.scale, self.rotation)


def _leading_directions(x: Tensor, count: int) -> Tensor:
    """(D, up to `count`) orthonormal directions in which centred rows (n, D) vary most, the first first.

    By the smaller of the two products, D x D or n x n; randomised (Halko, Martinsson, Tropp 2011) where both would be
    large. Directions in which nothing varies are left out where rows are fewer than columns.
    """
    n, width = x.shape
    if min(n, width) > LARGE:
        _, _, rows = randomized_svd(x.cpu().numpy(), count, random_state=0)
        return torch.from_numpy(rows.T.copy()).to(x)
    if width <= n:
        _, vectors = torch.linalg.eigh(x.T @ x)
        return vectors[:, -count:].flip(1)
    squares, vectors = torch.linalg.eigh(x @ x.T)
    kept = max(1, int((squares[-count:] > 1e-12 * squares[-1].clamp_min(1e-300)).sum()))
    directions = x.T @ vectors[:, -kept:].flip(1)
    return directions / directions.norm(dim=0).clamp_min(1e-300)


def _project(x: Tensor, mean: Tensor, scale: Tensor, rotation: Tensor | None) -> Tensor:
    out = x.new_empty(len(x), rotation.shape[1] if rotation is not None else x.shape[1])
    turn = rotation.to(x.dtype) if rotation is not None else None
    for rows in chunks(len(x), 16.0 * x.shape[1]):
        moved = (x[rows] - mean.to(x.dtype)) / scale.to(x.dtype)
        out[rows] = moved @ turn if turn is not None else moved
    return out


@dataclass(frozen=True)
class Shape:
    """Rows of length 1 between which coverage is measured: embeddings as they are. In up to three dimensions there is
    one column more, the median length in the pool, before the rows are scaled: directions alone would leave too little
    of the plane. `predicted` is what is put `beside_predictions` there."""

    geometry: Tensor
    """(N, D)"""
    length: Tensor | None
    """() median length; None in more than three dimensions."""
    predicted: Tensor | None
    """(N, C) probabilities of the pool; None in a regression."""
    trust: Tensor | None
    """() what predictions count."""
    labeled: Tensor
    """(L, D') rows of length 1."""

    @staticmethod
    def of(view: PoolView, predicted: tuple[Tensor, Tensor, Tensor] | None = None) -> Shape:
        """`predicted`: probabilities (N, C) and (L, C), and what they count ()."""
        pool = geometry(view.pool)
        length = pool.norm(dim=1).median() if pool.shape[1] <= FEW_DIMENSIONS else None
        of_pool, of_labeled, trust = (None, None, None) if predicted is None else predicted
        labeled = _of_length_one(geometry(view.labeled), length, of_labeled, trust)
        return Shape(pool, length, of_pool, trust, labeled)

    def rows(self, positions: Tensor | None = None) -> Tensor:
        """(n, D') of the pool points at `positions` (n,), or of all."""
        width = self.labeled.shape[1]
        out = self.geometry.new_empty(len(self.geometry) if positions is None else len(positions), width)
        for part in chunks(len(out), 16.0 * width):  # a second copy of a large pool would be one too many
            which = part if positions is None else positions[part]
            probs = None if self.predicted is None else self.predicted[which]
            out[part] = _of_length_one(self.geometry[which], self.length, probs, self.trust)
        return out


def _of_length_one(rows: Tensor, length: Tensor | None, probs: Tensor | None, trust: Tensor | None) -> Tensor:
    if length is not None:
        rows = torch.cat([rows, length.expand(len(rows), 1)], dim=1)
    rows = functional.normalize(rows, dim=1)
    return rows if probs is None or trust is None else beside_predictions(rows, probs, trust)


def beside_predictions(rows: Tensor, probs: Tensor, trust: Tensor) -> Tensor:
    """(..., n, D + C) rows of length 1 whose squared distances are a mean of those of `rows` (..., n, D), of length 1
    too, and of the square roots of `probs` (..., n, C), weighed 1 to `trust` (...).

    Inputs that tell nothing of the classes keep all points apart; predictions tell only of what was learned so far.
    """
    weight = trust.reshape(*trust.shape, 1, 1).to(rows)
    return torch.cat([rows, weight.sqrt() * probs.to(rows).sqrt()], dim=-1) / (1 + weight).sqrt()


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(n, m) squared distances between the rows of `x` and of `y`: for episodes, not for pools."""
    return (x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)


def nearest_distance(x: Tensor, to: Tensor, neighbor: int = 1) -> Tensor:
    """(n,) distance of each row of `x` to its `neighbor`-th nearest row of `to`, in tiles."""
    out = x.new_empty(len(x))
    norms = to.square().sum(1)
    k = min(neighbor, len(to))
    for rows in chunks(len(x), 8.0 * len(to)):
        part = x[rows]
        squared = part.square().sum(1, keepdim=True) + norms - 2 * part @ to.T
        out[rows] = squared.topk(k, dim=1, largest=False).values[:, -1].clamp_min(0).sqrt()
    return out


def log_reference_distance(x: Tensor, reference: Tensor) -> Tensor:
    """(n,) log distance to the sixth nearest reference point: minus the log local density, up to a factor."""
    return torch.log(nearest_distance(x, reference, 6) + 1e-6)
