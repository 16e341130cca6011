"""Least confidence: how far the most likely class is from certain."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, top_probability

__all__ = ["LeastConfidence"]


class LeastConfidence(Strategy):
    """Asks for the points whose most likely class is least likely: 1 - max p, from 0 to 1 - 1/C."""

    name = "least_confidence"
    family = "uncertainty"
    source = "Lewis and Gale 1994, arXiv cmp-lg/9407020"
    cost = "N C"
    needs = frozenset({"log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(1 - by_rows(top_probability, view.pool.require("log_probs")), batch_size, rng)
