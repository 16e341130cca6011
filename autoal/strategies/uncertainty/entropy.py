"""Entropy of the predicted class."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, entropy

__all__ = ["Entropy"]


class Entropy(Strategy):
    """Asks for the points whose predicted class is least certain: -sum p log p, in nats, from 0 to log C.

    Not to be confused with BALD, which takes away the part of this entropy that more labels would not remove.
    """

    name = "entropy"
    family = "uncertainty"
    source = "Shannon 1948; Settles 2009"
    cost = "N C"
    needs = frozenset({"log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(by_rows(entropy, view.pool.require("log_probs")), batch_size, rng)
