"""Confidence by a Gaussian mixture for each class."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.confidence import gmm_confidence
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["GaussianMixtures"]


class GaussianMixtures(Strategy):
    """Asks for the points nearest to a component of the Gaussian mixtures of the classes, by Mahalanobis distance.

    max_components: of one class; the number is chosen by BIC. The fits start from a fixed seed, so the answer is a
    function of the labeled points. A class with one point has no mixture; where none has two, Mahalanobis confidence.

    A yardstick for open-set pools, and one of the two objectives of POAL: alone it buys points that belong to the
    classes and teach little. With nothing labeled all points are equal.
    """

    name = "gmm"
    family = "open set"
    source = "Zhan et al. 2023, arXiv 2207.01190, classical experiments"
    cost = "L D^2 iterations + N D^2 C"
    needs = frozenset({"embeddings"})

    def __init__(self, max_components: int = 9, ridge: float = 1e-3) -> None:
        self.max_components = max_components
        self.ridge = ridge

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        pool, labeled = pool_and_labeled(view)
        confidence = gmm_confidence(pool, labeled, view.labels, 0, self.max_components, self.ridge)
        return top_scores(confidence, batch_size, rng)
