"""BALD: mutual information between a point's label and the model."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies._information import by_rows, mutual_information
from autoal.strategies.base import Proposal, Strategy, top_scores

__all__ = ["BALD"]


class BALD(Strategy):
    """Asks for the points on which the posterior samples disagree most: H(mean p) - mean H(p), in nats.

    From 0 to min(log C, log K); 0 for all where K = 1. Takes every copy of a repeated point.
    """

    name = "bald"
    family = "uncertainty"
    source = "Houlsby et al. 2011, arXiv 1112.5745; Gal, Islam and Ghahramani 2017"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(by_rows(mutual_information, view.pool.require("mc_log_probs")), batch_size, rng)
