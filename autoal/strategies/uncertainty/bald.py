"""BALD: mutual information between a point's label and the model."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, mutual_information
from autoal.strategies.parts.regression import noise_variance, sample_features

__all__ = ["BALD", "label_information", "needs_of_information"]


class BALD(Strategy):
    """Asks for the points on which the posterior samples disagree most: H(mean p) - mean H(p), in nats.

    From 0 to min(log C, log K); 0 for all where K = 1. Takes every copy of a repeated point. In a regression
    log(1 + variance of the samples / variance of the noise) / 2, the latter estimated from labeled embeddings.
    """

    name = "bald"
    family = "uncertainty"
    source = "Houlsby et al. 2011, arXiv 1112.5745; Gal, Islam and Ghahramani 2017"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})
    tasks = BOTH_TASKS

    def needs_for(self, task: str) -> frozenset[str]:
        return needs_of_information(task)

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(label_information(view), batch_size, rng)


def needs_of_information(task: str) -> frozenset[str]:
    """What `label_information` reads: in a regression embeddings too, for the noise."""
    return frozenset({"mc_log_probs"} if task == "classification" else {"mc_means", "embeddings"})


def label_information(view: PoolView) -> Tensor:
    """(N,) mutual information between each label of the pool and the model, float64, in nats."""
    if view.task == "classification":
        return by_rows(mutual_information, view.pool.require("mc_log_probs"))
    variance_N = sample_features(view.pool.require("mc_means")).square().sum(dim=1)
    return 0.5 * (variance_N / noise_variance(view)).log1p()
