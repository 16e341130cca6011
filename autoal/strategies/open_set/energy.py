"""Energy confidence: the points a classifier answers loudest."""

from __future__ import annotations

import torch

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores

__all__ = ["Energy"]


class Energy(Strategy):
    """Asks for the points with the least free energy `-T log sum_c exp(logit_c / T)`: those most in distribution.

    Reads logits, since log probabilities have lost their sum. T is the `temperature`. A yardstick for open-set pools:
    alone it buys points that belong to the classes and teach little.
    """

    name = "energy"
    family = "open set"
    source = "Liu et al. 2020, arXiv 2010.03759"
    cost = "N C"
    needs = frozenset({"logits"})

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not self.temperature > 0:
            raise InvalidInput(f"got temperature={self.temperature}; wanted more than 0")
        scaled = view.pool.require("logits").double() / self.temperature
        return top_scores(self.temperature * scaled.logsumexp(dim=1), batch_size, rng)
