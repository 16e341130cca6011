"""k-center greedy, the core-set method."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.distances import centred, farthest_first, nearest_centre, squared_norms
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["KCenter", "k_center"]


class KCenter(Strategy):
    """Asks each time for the point farthest from all labeled and chosen ones, in the embedding.

    The largest distance left is at most twice the best possible. Copies of labeled points come last. Where nothing
    is labeled it starts with the point nearest the mean of the pool. Memory O(N D).
    """

    name = "kcenter"
    family = "diversity"
    source = "Sener and Savarese 2018, arXiv 1708.00489"
    cost = "N (L + b) D"
    needs = frozenset({"embeddings"})
    tasks = BOTH_TASKS

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return k_center(*pool_and_labeled(view), batch_size, rng)


def k_center(pool_N_D: Tensor, labeled_L_D: Tensor, batch_size: int, rng: torch.Generator) -> Proposal:
    """Farthest-first from the labeled points; from the point nearest the mean of the pool where there are none."""
    points, labeled = centred(pool_N_D, labeled_L_D)
    first = torch.empty(0, dtype=torch.int64, device=points.device)
    if len(labeled) == 0:
        first = random_ties(-squared_norms(points), rng, 1)
        labeled = points[first]
    nearest = nearest_centre(points, labeled)[0]
    masked = nearest.index_fill(0, first, -1)
    picks = torch.cat([first, farthest_first(points, masked, batch_size - len(first), rng)])
    return ordered(picks, nearest)
