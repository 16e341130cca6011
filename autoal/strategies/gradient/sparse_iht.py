"""Batch as a sparse approximation of the pool's loss, all points at once by hard thresholding."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.sparse import FEATURES, SparseProblem, make_problem

__all__ = ["SparseIHT"]


class SparseIHT(Strategy):
    """The objective of `sparse_greedy` by proximal iterative hard thresholding: gradient steps with momentum on all
    weights, after each of which the b points stay that lower objective plus step most.

    Ends when 5 steps have left the support and the last one the weights (to 0.1 %) as they were, or after `steps`; the
    best support seen is the batch, points of large weight first. `sparse_greedy` usually finds a lower value; here a
    pick does not depend on the ones before.
    """

    name = "sparse_iht"
    family = "gradient"
    source = "after Shen et al. 2022, arXiv 2211.00246"
    cost = "N K (C + 300)"

    def __init__(self, features: str = "posterior", alpha: float = 1.0, beta: float = 1e-2, steps: int = 300) -> None:
        self.features = features
        self.alpha = alpha
        self.beta = beta
        self.steps = steps

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return FEATURES.get(self.features, FEATURES["posterior"])

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        problem = make_problem(view, self.features, self.alpha, self.beta)
        first_N = problem.gain(problem.along(problem.total_P))
        return ordered(hard_thresholding(problem, batch_size, self.steps, rng), first_N)


def hard_thresholding(problem: SparseProblem, batch_size: int, steps: int, rng: torch.Generator) -> Tensor:
    """(b,) the support of least objective met on the way, completed by gain, by falling weight."""
    v, beta = problem.total_P, problem.beta
    step = 1 / (2 * _steepest(problem) + 2 * beta + 1e-300)
    keep = 2 * step * problem.alpha * problem.variance_N
    weights_N = torch.zeros_like(problem.size_N)
    ahead_N, momentum = weights_N, 0
    best, support, best_weights = torch.inf, torch.empty(0, dtype=torch.int64, device=v.device), weights_N
    last, still, before = None, 0, torch.inf
    for _ in range(steps):
        there = ahead_N.nonzero().flatten()
        left = v - ahead_N[there] @ problem.rows(there)
        moved = (ahead_N + 2 * step * (problem.along(left) - beta * (ahead_N - 1))).clamp_(min=0)
        kept = random_ties(moved.square() + keep, rng, batch_size)
        new_N = torch.zeros_like(moved)
        new_N[kept] = moved[kept]
        value = problem.objective(problem.rows(kept), new_N[kept], problem.variance_N[kept])
        if value < best:
            best, support, best_weights = value, kept, new_N
        momentum = 0 if value > before else momentum + 1  # momentum that overshoots starts anew
        ahead_N = (new_N + momentum / (momentum + 3) * (new_N - weights_N)).clamp(min=0)
        if momentum == 0:
            ahead_N = new_N
        same = kept.sort().values
        still = still + 1 if last is not None and torch.equal(same, last) else 0
        old_N, weights_N, before, last = weights_N, new_N, value, same
        if still >= 5 and float((new_N - old_N).abs().max()) <= 1e-3 * float(new_N.max()):
            break
    chosen = support[best_weights[support] > 0]
    if len(chosen) < batch_size:
        left = v - best_weights[chosen] @ problem.rows(chosen)
        gain = problem.gain(problem.along(left)).index_fill(0, chosen, -torch.inf)
        chosen = torch.cat([chosen, random_ties(gain, rng, batch_size - len(chosen))])
    return chosen[random_ties(best_weights[chosen], rng)]


def _steepest(problem: SparseProblem) -> Tensor:
    """Largest eigenvalue of Phi Phi', a tenth more to be safe, by power iteration; at most the sum of sizes."""
    most = problem.size_N.sum()
    direction_P = problem.total_P + problem.rows(problem.size_N.argmax()[None])[0]
    value = torch.zeros_like(most)
    for _ in range(20):
        length = torch.linalg.vector_norm(direction_P)
        if not float(length) > 0:
            return most
        direction_P = direction_P / length
        image_P = problem.combine(problem.along(direction_P))
        value, direction_P = image_P @ direction_P, image_P
    return torch.minimum(1.1 * value, most)
