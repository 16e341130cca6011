"""SoftmaxBALD: a batch drawn in proportion to the exponential of BALD."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, top_scores
from autoal.strategies.parts.stochastic import stochastic_keys
from autoal.strategies.uncertainty.bald import label_information, needs_of_information

__all__ = ["SoftmaxBALD"]


class SoftmaxBALD(Strategy):
    """Draws points without replacement with probability proportional to exp(coldness * BALD).

    BALD is at most log C nats, so a coldness of 1 is nearly random; 8 is what the released experiments used. It depends
    on the unit of the score, unlike the power and the rank. Scores are the perturbed keys s + Gumbel / coldness. In a
    regression the information of BALD's regression form is drawn by.
    """

    name = "softmax_bald"
    family = "uncertainty"
    source = "Kirsch et al. 2021, arXiv 2106.12059"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})
    tasks = BOTH_TASKS
    draws = True

    def __init__(self, coldness: float = 8.0) -> None:
        self.coldness = coldness

    def needs_for(self, task: str) -> frozenset[str]:
        return needs_of_information(task)

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(stochastic_keys(label_information(view), "softmax", self.coldness, rng), batch_size, rng)
