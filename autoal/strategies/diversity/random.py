"""Random: uniform without replacement. The measure of every other strategy."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.rng import generator, random_state
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy

__all__ = ["Random"]


class Random(Strategy):
    """Asks for points at random. Two with different `seed` differ under the same generator. Cost O(N)."""

    name = "random"
    family = "diversity"
    source = "uniform sampling"
    cost = "N"
    needs = frozenset[str]()
    tasks = BOTH_TASKS
    draws = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        n = len(view)
        own = generator(random_state(rng), "random", self.seed)
        order: Tensor = torch.randperm(n, generator=own).to(view.device)
        scores = torch.empty(n, dtype=torch.float64, device=view.device)
        scores[order] = torch.arange(n - 1, -1, -1, dtype=torch.float64, device=view.device) / n
        return Proposal(order[:batch_size], scores)
