"""Class probabilities of a sum-product network with one density for each class, learned on labeled embeddings.

Axes: N pool, L labeled, C classes, d whitened columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.outputs import PoolView
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.spn import learn_spn, log_density

__all__ = ["breadth", "class_log_densities", "log_posterior", "novelty", "whiten"]

WIDEST = 32
FLOOR = 0.05
"""Least deviation of a leaf, in deviations of the pool: libraries floor at 1e-5, which saturates every posterior."""


def whiten(pool_N_D: Tensor, labeled_L_D: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides in the leading principal directions of pool and labeled points, each of unit variance there, float64.

    At most 32 columns, and at most a quarter of the labels (but two): densities need more rows than columns.
    """
    sides = (pool_N_D, labeled_L_D)
    n, wide = len(pool_N_D) + len(labeled_L_D), pool_N_D.shape[1]
    scale = max((float(side.abs().max()) for side in sides if side.numel()), default=0.0) or 1.0

    def parts(side: Tensor) -> Iterator[tuple[slice, Tensor]]:
        for rows in chunks(len(side), 16.0 * wide):
            yield rows, side[rows].double() / scale

    mean = pool_N_D.new_zeros(wide, dtype=torch.float64)
    covariance = mean.new_zeros(wide, wide)
    for side in sides:
        for _, part in parts(side):
            mean += part.sum(dim=0) / n
    for side in sides:
        for _, part in parts(side):
            covariance += (part - mean).T @ (part - mean) / n
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0), vectors.flip(1)
    # The sign of an eigenvector is a convention of the solver: fix it by the largest entry.
    vectors = vectors * torch.sign(vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)))
    width = min(WIDEST, max(2, len(labeled_L_D) // 4), int((values > 1e-10 * values[0].clamp_min(1e-300)).sum()))
    turn = vectors[:, :width] / values[:width].sqrt()
    out = [pool_N_D.new_zeros(len(side), max(1, width), dtype=torch.float64) for side in sides]
    for white, side in zip(out, sides, strict=True):
        for rows, part in parts(side):
            white[rows, :width] = (part - mean) @ turn
    return out[0], out[1]


def class_log_densities(pool_N_d: Tensor, labeled_L_d: Tensor, labels_L: Tensor, num_classes: int) -> Tensor:
    """(N, C) log S_c(z). A class with one point is a Gaussian there with the covariance pooled within classes; a class
    without any has the density of the pool, a standard Gaussian after whitening, so that it competes."""
    d = pool_N_d.shape[1]
    labeled, labels = labeled_L_d.cpu().numpy(), labels_L.cpu().numpy()
    floor = np.full(d, FLOOR)
    members = [labeled[labels == c] for c in range(num_classes)]
    centred = [rows - rows.mean(axis=0) for rows in members if len(rows) > 1]
    within = np.eye(d)
    if centred:
        rows = np.concatenate(centred)
        within = rows.T @ rows / len(rows) + FLOOR**2 * np.eye(d)
    factor = torch.linalg.cholesky(torch.from_numpy(within)).to(pool_N_d.device)
    nodes = {c: learn_spn(rows, floor) for c, rows in enumerate(members) if len(rows) > 1}
    out = pool_N_d.new_empty(len(pool_N_d), num_classes)
    for part in chunks(len(pool_N_d), 64.0 * d):
        z = pool_N_d[part]
        for c, rows in enumerate(members):
            if c in nodes:
                out[part, c] = log_density(nodes[c], z)
            elif len(rows):
                away = torch.linalg.solve_triangular(factor, (z - torch.from_numpy(rows[0]).to(z)).T, upper=False)
                log_volume = factor.diagonal().log().sum()
                out[part, c] = -0.5 * away.square().sum(dim=0) - log_volume - 0.5 * d * math.log(2 * math.pi)
            else:
                out[part, c] = -0.5 * z.square().sum(dim=1) - 0.5 * d * math.log(2 * math.pi)
    return out


def log_posterior(log_densities_N_C: Tensor, labels_L: Tensor) -> Tensor:
    """(N, C) log p(c | z) with the prior (n_c + 1) / (n + C)."""
    counts = torch.bincount(labels_L.to(log_densities_N_C.device), minlength=log_densities_N_C.shape[1]).double()
    prior = (counts + 1) / (counts.sum() + len(counts))
    return (log_densities_N_C + prior.log()).log_softmax(dim=1)


def novelty(view: PoolView) -> tuple[Tensor, Tensor | None]:
    """Log densities (N, C) of the classes; and, where all labels are of one class so that no posterior says anything,
    minus the log density of that class (N,): the less likely a point is, the more it is wanted."""
    pool, labeled = whiten(*pool_and_labeled(view))
    labels = view.labels.to(pool.device)
    densities = class_log_densities(pool, labeled, labels, view.num_classes)
    seen = labels.unique()
    return densities, -densities[:, int(seen[0])] if len(seen) == 1 else None


def breadth(log_densities_N_C: Tensor) -> Tensor:
    """(N,) exponential of the entropy of the densities scaled to sum to 1, over C: 1 where all are as likely."""
    log_p = log_densities_N_C.log_softmax(dim=1).clamp(min=-740.0)
    return (-(log_p.exp() * log_p).sum(dim=1)).exp() / log_p.shape[1]
