"""How far a point covers: the bandwidth of the coverage kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.anchor.space import squared_distances
from autoal.settings import SearchConfig
from autoal.strategies.parts.coverage import smallest_labeled_distance

__all__ = ["bandwidth"]

CLOSEST = 0.2
"""Share of the labeled points that lie within the bandwidth of another."""
MEASURED = 2_000
"""Labeled points, at most, whose distances make the bandwidth."""


def bandwidth(labeled: Tensor, pool: Tensor, config: SearchConfig, batch_size: int) -> float:
    """Of the coverage kernel, on normalised points. Raises nothing; 1 where there is nothing to measure."""
    if config.bandwidth == "labeled":
        return smallest_labeled_distance(labeled)
    if config.bandwidth == "spacing":
        return _spacing(labeled)
    if len(pool) < 2:
        return 1.0
    sample = pool[:: max(1, len(pool) // 1000)]
    neighbor = min(len(sample) - 1, max(1, len(sample) // max(2, batch_size)))
    return float(squared_distances(sample, sample).kthvalue(neighbor + 1, dim=1).values.median().sqrt().clamp_min(1e-3))


def _spacing(labeled: Tensor) -> float:
    """Distance from a labeled point to its nearest other one that a fifth of them undercut; copies do not count."""
    if len(labeled) > MEASURED:
        labeled = labeled[torch.linspace(0, len(labeled) - 1, MEASURED, device=labeled.device).long()]
    if len(labeled) < 2:
        return 1.0
    squared = squared_distances(labeled.double(), labeled.double()).fill_diagonal_(torch.inf)
    nearest = squared.masked_fill_(squared < 1e-10, torch.inf).amin(1).sqrt()
    nearest = nearest[nearest.isfinite()]
    return max(float(nearest.quantile(CLOSEST)), 1e-3) if len(nearest) else 1.0
