"""SoftrankBALD: a batch drawn by the rank under BALD."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, top_scores
from autoal.strategies.parts.stochastic import stochastic_keys
from autoal.strategies.uncertainty.bald import label_information, needs_of_information

__all__ = ["SoftrankBALD"]


class SoftrankBALD(Strategy):
    """Draws points without replacement with probability proportional to rank^-coldness, rank 1 for the largest BALD.

    Only the order of BALD counts, whatever its size. Equal scores are ranked at random. From a coldness of about 4 on
    it is nearly plain BALD. Scores are the perturbed keys -log rank + Gumbel / coldness. In a regression BALD's
    regression form gives the ranks.
    """

    name = "softrank_bald"
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
        return top_scores(stochastic_keys(label_information(view), "softrank", self.coldness, rng), batch_size, rng)
