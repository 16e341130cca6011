"""Batch as a sparse approximation of the pool's loss, one point after the other."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered
from autoal.strategies.parts.fisher import best_of, shuffled_ranks
from autoal.strategies.parts.sparse import FEATURES, make_problem, refit

__all__ = ["SparseGreedy"]


class SparseGreedy(Strategy):
    """Asks for points whose weighted expected losses add up to those of the pool, and whose labels are uncertain:
    min over w >= 0 with b entries of |v - Phi w|^2 - alpha sum_{w_j > 0} s_j^2 + beta |w - 1|^2. Each pick is the one
    that lowers it most; then all weights are fitted again, exactly. The weights are not returned.

    `features="posterior"` compares losses at the posterior samples, `"gradient"` gradients of the last layer. Features
    have mean squared length 1. The paper's text was not at hand: the objective is from a summary of it; solver,
    gradient features and the values of alpha and beta are ours.
    """

    name = "sparse_greedy"
    family = "gradient"
    source = "after Shen et al. 2022, arXiv 2211.00246"
    cost = "N K (C + b) + b^2 K^2"

    def __init__(self, features: str = "posterior", alpha: float = 1.0, beta: float = 1e-2) -> None:
        self.features = features
        self.alpha = alpha
        self.beta = beta

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return FEATURES.get(self.features, FEATURES["posterior"])

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        problem = make_problem(view, self.features, self.alpha, self.beta)
        rank_N = shuffled_ranks(len(view), rng, view.device)
        first_N = gain_N = problem.gain(problem.along(problem.total_P))
        rows = problem.total_P.new_zeros(batch_size, len(problem.total_P))
        gram, weights = rows.new_zeros(batch_size, batch_size), rows.new_zeros(batch_size)
        picks: list[int] = []
        for t in range(batch_size):
            i, _ = best_of(gain_N.index_fill(0, rank_N.new_tensor(picks), -torch.inf), rank_N)
            picks.append(i)
            rows[t] = problem.rows(rank_N.new_tensor([i]))[0]
            gram[t, : t + 1] = gram[: t + 1, t] = rows[: t + 1] @ rows[t]
            chosen = slice(0, t + 1)
            weights[chosen] = refit(problem, rows[chosen], gram[chosen, chosen], weights[chosen])
            gain_N = problem.gain(problem.along(problem.total_P - weights[chosen] @ rows[chosen]))
        return ordered(rank_N.new_tensor(picks), first_N)
