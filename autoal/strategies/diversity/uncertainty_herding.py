"""Uncertainty herding: the batch that best covers the uncertain part of the pool."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered
from autoal.strategies.parts.calibration import held_out_log_probs, least_ece_temperature
from autoal.strategies.parts.coverage import greedy_coverage, smallest_labeled_distance
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.information import by_rows, entropy, margin, top_probability

__all__ = ["UncertaintyHerding"]

MEASURES = {
    "margin": lambda log_probs: 1 - margin(log_probs),
    "entropy": entropy,
    "least_confidence": lambda log_probs: 1 - top_probability(log_probs),
}


class UncertaintyHerding(Strategy):
    """MaxHerding in which each point of the pool counts by how uncertain its prediction is.

    temperature: the log-probs are divided by it first. `"auto"` takes the one of 1.0, 1.1, ..., 19.9 with the least
    calibration error on labeled points, predicted by a last layer fitted without them; 10, nearly flat, below 30
    labels.
    bandwidth: `"auto"` is the smallest positive distance between labeled embeddings of length 1, so that it shrinks
    as labels come in; 1 without any.
    measure: `"margin"` (1 - margin), `"entropy"` or `"least_confidence"`.

    With no label every point counts the same. With a small bandwidth it is top-b of the measure, with a large one
    coverage.
    """

    name = "uncertainty_herding"
    family = "diversity"
    source = "Bae, Sutherland and Oliveira 2025, arXiv 2412.20644"
    cost = "N min(N, 10 000) D"
    needs = frozenset({"log_probs", "embeddings"})

    def __init__(
        self, temperature: float | str = "auto", bandwidth: float | str = "auto", measure: str = "margin"
    ) -> None:
        self.temperature = temperature
        self.bandwidth = bandwidth
        self.measure = measure

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        pool, labeled = pool_and_labeled(view)
        bandwidth = self.bandwidth
        if isinstance(bandwidth, str):
            if bandwidth != "auto":
                raise InvalidInput(f"got bandwidth={bandwidth!r}; wanted 'auto' or a positive number")
            bandwidth = smallest_labeled_distance(labeled)
        weights = self._weights(view, labeled)
        picks, _, gains = greedy_coverage(pool, weights, labeled, batch_size, bandwidth=bandwidth, rng=rng)
        return ordered(picks, gains)

    def _weights(self, view: PoolView, labeled: Tensor) -> Tensor:
        log_probs = view.pool.require("log_probs")
        if self.measure not in MEASURES:
            raise InvalidInput(f"got measure={self.measure!r}; wanted one of {', '.join(MEASURES)}")
        if len(labeled) == 0:
            return torch.ones(len(log_probs), dtype=torch.float64, device=log_probs.device)
        measure, temperature = MEASURES[self.measure], self._temperature(view, labeled)
        # The largest log-prob stays finite, so that log_softmax of saturated rows holds no NaN.
        return by_rows(lambda rows: measure((rows / temperature).log_softmax(dim=1)), log_probs).clamp(min=0)

    def _temperature(self, view: PoolView, labeled: Tensor) -> float:
        if not isinstance(self.temperature, str):
            if not self.temperature > 0:
                raise InvalidInput(f"got temperature={self.temperature}; wanted 'auto' or a positive number")
            return float(self.temperature)
        if self.temperature != "auto":
            raise InvalidInput(f"got temperature={self.temperature!r}; wanted 'auto' or a positive number")
        if len(labeled) < 30:
            return 10.0
        labels = view.labels.to(labeled.device)
        return least_ece_temperature(*held_out_log_probs(labeled, labels, view.num_classes))
