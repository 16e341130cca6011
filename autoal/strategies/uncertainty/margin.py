"""Margin between the two most likely classes."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, margin

__all__ = ["Margin"]


class Margin(Strategy):
    """Asks for the points whose two most likely classes are closest: -(p1 - p2), from -1 to 0.

    With two classes it orders points as entropy and least confidence do.
    """

    name = "margin"
    family = "uncertainty"
    source = "Scheffer, Decomain and Wrobel 2001"
    cost = "N C"
    needs = frozenset({"log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(-by_rows(margin, view.pool.require("log_probs")), batch_size, rng)
