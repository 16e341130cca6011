"""BALD with the networks of an ensemble for posterior samples."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, mutual_information

__all__ = ["BALDEnsemble"]


class BALDEnsemble(Strategy):
    """Asks for the points on which M networks, trained from different starts, disagree most: H(mean p) - mean H(p).

    In nats, from 0 to min(log C, log M); 0 for all where M = 1. Costs M trainings a round. Takes every copy of a
    repeated point.
    """

    name = "bald_ensemble"
    family = "uncertainty"
    source = "Beluch et al. 2018; Houlsby et al. 2011, arXiv 1112.5745"
    cost = "N M C"
    needs = frozenset({"ensemble_log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(by_rows(mutual_information, view.pool.require("ensemble_log_probs")), batch_size, rng)
