"""MaxHerding: the batch that best covers the pool."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered
from autoal.strategies.parts.coverage import greedy_coverage
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["MaxHerding"]


class MaxHerding(Strategy):
    """Asks each time for the point that most raises the mean over the pool of max_s k(u, s), s labeled or chosen,
    with k = exp(-(|u - s| / bandwidth)^2) on embeddings of length 1.

    At least 1 - 1/e of the best coverage. Above 10 000 points coverage is measured on that many drawn ones.
    """

    name = "maxherding"
    family = "diversity"
    source = "Bae, Noh and Sutherland 2024, arXiv 2407.12212"
    cost = "N min(N, 10 000) D"
    needs = frozenset({"embeddings"})
    tasks = BOTH_TASKS

    def __init__(self, bandwidth: float = 1.0) -> None:
        self.bandwidth = bandwidth

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        pool, labeled = pool_and_labeled(view)
        weights = torch.ones(len(pool), dtype=torch.float64, device=pool.device)
        picks, _, gains = greedy_coverage(pool, weights, labeled, batch_size, bandwidth=self.bandwidth, rng=rng)
        return ordered(picks, gains)
