"""Mahalanobis confidence: the points most like a class seen so far."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.confidence import mahalanobis_confidence
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["Mahalanobis"]


class Mahalanobis(Strategy):
    """Asks for the points nearest to the mean of a class, in units of one covariance for all classes.

    ridge: share of the mean variance added to the diagonal, or `"ledoit_wolf"`.

    A yardstick for open-set pools, and one of the two objectives of POAL: alone it buys points that belong to the
    classes and teach little. With nothing labeled all points are equal.
    """

    name = "mahalanobis"
    family = "open set"
    source = "Lee et al. 2018, arXiv 1807.03888"
    cost = "(L + N) D^2 + D^3"
    needs = frozenset({"embeddings"})

    def __init__(self, ridge: float | str = 1e-3) -> None:
        self.ridge = ridge

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        pool, labeled = pool_and_labeled(view)
        confidence = mahalanobis_confidence(pool, labeled, view.labels.to(pool.device), self.ridge)
        return top_scores(confidence, batch_size, rng)
