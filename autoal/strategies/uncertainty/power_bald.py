"""PowerBALD: a batch drawn in proportion to a power of BALD."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, top_scores
from autoal.strategies.parts.stochastic import stochastic_keys
from autoal.strategies.uncertainty.bald import label_information, needs_of_information

__all__ = ["PowerBALD"]


class PowerBALD(Strategy):
    """Draws points without replacement with probability proportional to BALD^coldness.

    At the cost of BALD it does not spend the batch on copies of one point. Points on which all samples agree come
    last, at random. Scores are the perturbed keys log s + Gumbel / coldness. The released experiments did best with a
    coldness of 4 to 8; 1 is the method under its name, infinity is BALD. In a regression s is BALD's regression form.
    """

    name = "power_bald"
    family = "uncertainty"
    source = "Kirsch et al. 2021, arXiv 2106.12059"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})
    tasks = BOTH_TASKS
    draws = True

    def __init__(self, coldness: float = 1.0) -> None:
        self.coldness = coldness

    def needs_for(self, task: str) -> frozenset[str]:
        return needs_of_information(task)

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(stochastic_keys(label_information(view), "power", self.coldness, rng), batch_size, rng)
