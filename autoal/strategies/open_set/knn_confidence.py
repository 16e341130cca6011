"""Confidence by the distance to the nearest labeled points."""

from __future__ import annotations

import torch
from torch.nn import functional

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.confidence import knn_confidence
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["NearestNeighbors"]


class NearestNeighbors(Strategy):
    """Asks for the points with the least distance to their k-th nearest labeled point, of whatever class.

    normalise: embeddings are scaled to length 1 first, as in the source.

    A yardstick for open-set pools, and one of the two objectives of POAL: alone it buys points that belong to the
    classes and teach little. With nothing labeled all points are equal.
    """

    name = "knn_confidence"
    family = "open set"
    source = "Sun et al. 2022, arXiv 2204.06507"
    cost = "N L D"
    needs = frozenset({"embeddings"})

    def __init__(self, k: int = 5, normalise: bool = True) -> None:
        self.k = k
        self.normalise = normalise

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.k < 1:
            raise InvalidInput(f"got k={self.k}; wanted 1 or more")
        pool, labeled = pool_and_labeled(view)
        if self.normalise:
            pool, labeled = (functional.normalize(side.double(), dim=1, eps=1e-300) for side in (pool, labeled))
        return top_scores(knn_confidence(pool, labeled, self.k), batch_size, rng)
