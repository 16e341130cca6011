"""Entropy of the mean prediction of an ensemble."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, entropy, mean_log_probs

__all__ = ["EntropyEnsemble"]


class EntropyEnsemble(Strategy):
    """Asks for the points on which the mean of M networks, trained from different starts, is least certain.

    In nats, from 0 to log C. Costs M trainings a round.
    """

    name = "entropy_ensemble"
    family = "uncertainty"
    source = "Beluch et al. 2018; Lakshminarayanan, Pritzel and Blundell 2017, arXiv 1612.01474"
    cost = "N M C"
    needs = frozenset({"ensemble_log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        log_probs = view.pool.require("ensemble_log_probs")
        return top_scores(by_rows(lambda rows: entropy(mean_log_probs(rows)), log_probs), batch_size, rng)
