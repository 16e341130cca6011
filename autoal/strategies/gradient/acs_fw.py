"""ACS-FW: a small weighted batch whose log likelihood is that of the whole pool, by Frank-Wolfe."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered
from autoal.strategies.parts.fisher import best_of, filled, shuffled_ranks
from autoal.strategies.parts.likelihoods import expected_log_likelihoods, gaussian_log_likelihoods
from autoal.strategies.parts.regression import noise_variance

__all__ = ["ACSFW", "frank_wolfe"]


class ACSFW(Strategy):
    """Asks for points whose expected log likelihoods, as functions of the model, add up to those of the pool.

    The function of a point is sum_y p(y) log p(y | model) + `entropy` H(y), seen at the posterior samples, which are
    the paper's random projections; the authors' code has `entropy` 0, the paper's formula 1. In a regression it is the
    Gaussian one with the noise variance estimated on the labeled points, and always with the entropy, without which it
    would depend on the unit of the target. Few samples see few directions: with K samples the error is about 0 after
    some K picks, and the rest follows rounding or chance. A point is taken once (the paper's own rule may take one
    again and so ask for fewer); weights are not returned.
    """

    name = "acs_fw"
    family = "gradient"
    source = "Pinsler et al. 2019, arXiv 1908.02144"
    cost = "N K (C + b)"
    needs = frozenset({"mc_log_probs"})
    tasks = BOTH_TASKS

    def __init__(self, entropy: float = 0.0) -> None:
        self.entropy = entropy

    def needs_for(self, task: str) -> frozenset[str]:
        return self.needs if task == "classification" else frozenset({"mc_means", "embeddings"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if view.task == "classification":
            features = expected_log_likelihoods(view.pool.require("mc_log_probs"), self.entropy)
        else:
            features = gaussian_log_likelihoods(view.pool.require("mc_means"), noise_variance(view))
        picks, first, _ = frank_wolfe(features, batch_size, rng)
        return ordered(picks, first)


def frank_wolfe(features_N_K: Tensor, batch_size: int, rng: torch.Generator) -> tuple[Tensor, Tensor, list[float]]:
    """(b,) picks, (N,) scores of the first step, and the distance to the target after each step, as a share of its
    length, for e = sum w x to approach t = sum x.

    Each step moves e as near to t as it gets on the line to x_i sigma / |x_i|, sigma the sum of lengths, with i the
    point not yet taken of largest <x_i / |x_i|, t - e>. Once e is t, chance fills the batch.
    """
    x_N_K = features_N_K / features_N_K.abs().amax().clamp_min(torch.finfo(features_N_K.dtype).tiny)
    length_N = torch.linalg.vector_norm(x_N_K, dim=1)
    t_K, total = x_N_K.sum(dim=0), length_N.sum()
    e_K = torch.zeros_like(t_K)
    rank_N = shuffled_ranks(len(x_N_K), rng, x_N_K.device)
    along_N = torch.where(length_N > 0, x_N_K @ t_K / length_N.clamp_min(1e-300), 0.0)
    first_N, size = along_N, float(torch.linalg.vector_norm(t_K))
    picks: list[int] = []
    left: list[float] = []
    taken_N = torch.zeros_like(rank_N, dtype=torch.bool)
    while len(picks) < batch_size and (not left or left[-1] > 1e-12) and size > 0:
        i, _ = best_of(along_N.masked_fill(taken_N, -torch.inf), rank_N)
        picks.append(i)
        taken_N[i] = True
        if float(length_N[i]) > 0:
            way_K = x_N_K[i] * (total / length_N[i]) - e_K
            e_K = e_K + (way_K @ (t_K - e_K)) / (way_K @ way_K).clamp_min(1e-300) * way_K
        left.append(float(torch.linalg.vector_norm(t_K - e_K)) / size)
        along_N = torch.where(length_N > 0, x_N_K @ (t_K - e_K) / length_N.clamp_min(1e-300), 0.0)
    return filled(picks, batch_size, rank_N), first_N, left
