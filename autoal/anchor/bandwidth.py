"""How far a point covers: the bandwidth of the coverage kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.anchor.space import squared_distances

__all__ = ["bandwidth"]

CLOSEST = 0.2
"""Share of the labeled points that lie within the bandwidth of another."""
MEASURED = 2_000
"""Labeled points, at most, whose distances make the bandwidth."""


def bandwidth(labeled: Tensor) -> float:
    """Of the coverage kernel, on normalised labeled points (L, D): the distance to the nearest other one that a fifth
    of them undercut. Copies do not count: two would make the smallest distance, which uncertainty herding takes, tiny.
    Raises nothing; 1 where there is nothing to measure."""
    if len(labeled) > MEASURED:
        labeled = labeled[torch.linspace(0, len(labeled) - 1, MEASURED, device=labeled.device).long()]
    if len(labeled) < 2:
        return 1.0
    squared = squared_distances(labeled.double(), labeled.double()).fill_diagonal_(torch.inf)
    nearest = squared.masked_fill_(squared < 1e-10, torch.inf).amin(1).sqrt()
    nearest = nearest[nearest.isfinite()]
    return max(float(nearest.quantile(CLOSEST)), 1e-3) if len(nearest) else 1.0
