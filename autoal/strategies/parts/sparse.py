"""Weights on few points that stand for all: |v - Phi w|^2 - alpha sum_{w_j > 0} s_j^2 + beta |w - 1|^2, with at most b
of the w_j above 0, v = Phi 1. Axes: N points, P features, C classes, D embedding, t chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import PoolView
from autoal.strategies.parts.distances import tiles
from autoal.strategies.parts.gradient_embedding import GradientEmbedding
from autoal.strategies.parts.likelihoods import likelihood_deviations

__all__ = ["FEATURES", "SparseProblem", "make_problem", "refit"]

FEATURES = {"posterior": frozenset({"mc_log_probs"}), "gradient": frozenset({"log_probs", "embeddings"})}
"""What each kind of features is made from."""


@dataclass(frozen=True)
class SparseProblem:
    """The features, known by what they do; all float64."""

    along: Callable[[Tensor], Tensor]
    """(P,) -> (N,) inner products of every point with a vector."""
    rows: Callable[[Tensor], Tensor]
    """(t,) positions -> (t, P) their features."""
    combine: Callable[[Tensor], Tensor]
    """(N,) weights -> (P,) the weighted sum of all features."""
    total_P: Tensor
    """v, the sum of all features."""
    size_N: Tensor
    """Squared length of each point's features, of mean 1 (0 where all are 0)."""
    variance_N: Tensor
    """s^2, in the same unit."""
    alpha: float
    beta: float

    def gain(self, along_N: Tensor) -> Tensor:
        """(N,) by how much the objective falls when a point joins with its best weight; along_N is Phi' (v - Phi w)."""
        top = (along_N + self.beta).clamp(min=0).square()
        return (
            torch.where(top > 0, top / (self.size_N + self.beta).clamp_min(1e-300), 0.0) + self.alpha * self.variance_N
        )

    def objective(self, rows_t_P: Tensor, weights_t: Tensor, variance_t: Tensor) -> float:
        """Value of the objective where all other weights are 0."""
        bias = (self.total_P - weights_t @ rows_t_P).square().sum()
        others = len(self.size_N) - len(weights_t)
        spread = self.beta * ((weights_t - 1).square().sum() + others)
        return float(bias + spread - self.alpha * variance_t[weights_t > 0].sum())


def make_problem(view: PoolView, features: str, alpha: float, beta: float) -> SparseProblem:
    """Features of the pool, scaled to mean squared length 1 so that alpha and beta mean the same everywhere.

    `posterior`: expected loss under each posterior sample minus its mean over these. `gradient`: gradient of the last
    layer as if the predicted class were true (the expected one is 0), with s^2 = (1 - |p|^2) |h|^2; kept in factors.
    """
    if features not in FEATURES:
        raise UnknownName("features", features, FEATURES)
    if not (alpha >= 0 and beta >= 0):
        raise InvalidInput(f"got alpha={alpha}, beta={beta}; wanted neither below 0")
    if features == "posterior":
        phi_N_P, variance_N = likelihood_deviations(view.pool.require("mc_log_probs"))
        size_N = phi_N_P.square().sum(dim=1)
        unit = _unit(size_N)
        phi_N_P = phi_N_P / unit
        return SparseProblem(
            lambda r_P: phi_N_P @ r_P,
            lambda at_t: phi_N_P[at_t],
            lambda w_N: w_N @ phi_N_P,
            phi_N_P.sum(dim=0),
            size_N / unit**2,
            variance_N / unit**2,
            alpha,
            beta,
        )
    log_probs_N_C = view.pool.require("log_probs")
    gradient = GradientEmbedding(log_probs_N_C, view.pool.require("embeddings"))
    q_N_C, h_N_D = gradient.residual_N_C, gradient.embeddings_N_D
    unit = _unit(gradient.size_N.double())
    n, shape = len(q_N_C), (q_N_C.shape[1], h_N_D.shape[1])

    def along(r_P: Tensor) -> Tensor:
        made = torch.empty(n, dtype=torch.float64, device=q_N_C.device)
        right = (r_P / unit).view(shape)
        size = right.abs().amax().clamp_min(1e-300)
        right = (right / size).to(h_N_D.dtype)
        for part in tiles(n, 4 * (shape[1] + 3 * shape[0]), q_N_C.device):
            made[part] = ((h_N_D[part] @ right.T) * q_N_C[part]).sum(dim=1)
        return made * size

    def rows(at: Tensor) -> Tensor:
        return (q_N_C[at].double()[:, :, None] * h_N_D[at].double()[:, None]).flatten(1) / unit

    def combine(w_N: Tensor) -> Tensor:
        total = torch.zeros(shape, dtype=torch.float64, device=q_N_C.device)
        for part in tiles(n, 12 * (shape[1] + shape[0]), q_N_C.device):
            total += (w_N[part, None] * q_N_C[part]).T @ h_N_D[part].double()
        return total.flatten() / unit

    uncertain_N = torch.empty(n, dtype=torch.float64, device=q_N_C.device)
    for part in tiles(n, 12 * (shape[1] + shape[0]), q_N_C.device):
        p_n_C = log_probs_N_C[part].double().exp()
        uncertain_N[part] = (p_n_C * (1 - p_n_C)).sum(dim=1) * h_N_D[part].double().square().sum(dim=1)
    return SparseProblem(
        along,
        rows,
        combine,
        combine(torch.ones_like(uncertain_N)),
        gradient.size_N.double() / unit**2,
        uncertain_N / unit**2,
        alpha,
        beta,
    )


def _unit(size_N: Tensor) -> Tensor:
    mean = size_N.mean().sqrt()
    return torch.where(mean > 0, mean, 1.0)


def refit(problem: SparseProblem, rows_t_P: Tensor, gram_t_t: Tensor, start_t: Tensor) -> Tensor:
    """(t,) non-negative weights w of least |v - Phi w|^2 + beta |w - 1|^2 on chosen points, by active sets, which is
    exact (Lawson and Hanson 1974); gram is that of the rows. Starts with the points of positive `start_t`, the last
    one, which has just joined, beside them."""
    beta = problem.beta
    c_t = rows_t_P @ problem.total_P + beta
    floor = max(beta, 1e-12 * float(gram_t_t.diagonal().mean()), 1e-300)
    weights_t, free_t = start_t.clone(), start_t > 0
    free_t[-1] = True
    for _ in range(3 * len(c_t) + 10):
        at = free_t.nonzero().flatten()
        best = torch.zeros_like(weights_t)
        if len(at):
            best[at] = _solve(rows_t_P, gram_t_t, c_t, at, floor)
        below = free_t & (best <= 0)
        if bool(below.any()):
            reach = (weights_t / (weights_t - best).clamp_min(1e-300))[below].min().clamp(max=1)
            weights_t = torch.where(free_t, weights_t + reach * (best - weights_t), 0.0)
            gone = below & (weights_t <= 1e-14 * weights_t.abs().max())
            if not bool(gone.any()):
                gone = below
            free_t = free_t & ~gone
            weights_t = weights_t.masked_fill(~free_t, 0)
            continue
        weights_t = best
        slope_t = c_t - rows_t_P @ (weights_t @ rows_t_P) - floor * weights_t
        slope_t = slope_t.masked_fill(free_t, -torch.inf)
        join = int(slope_t.argmax())
        if not float(slope_t[join]) > 1e-9 * float(c_t.abs().max()):
            break
        free_t = free_t.clone()
        free_t[join] = True
    return weights_t


def _solve(rows_t_P: Tensor, gram_t_t: Tensor, c_t: Tensor, at: Tensor, ridge: float) -> Tensor:
    """(Phi' Phi + ridge) w = c on the points `at`, in the smaller of the two dimensions."""
    c = c_t[at]
    if rows_t_P.shape[1] < len(at) and ridge > 1e-8:
        rows = rows_t_P[at]
        inner = rows.T @ rows
        inner.diagonal().add_(ridge)
        return (c - rows @ torch.cholesky_solve((c @ rows)[:, None], torch.linalg.cholesky(inner))[:, 0]) / ridge
    gram = gram_t_t[at][:, at]
    gram.diagonal().add_(ridge)
    return torch.cholesky_solve(c[:, None], torch.linalg.cholesky(gram))[:, 0]
