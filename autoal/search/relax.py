"""Differentiable choice of exactly k points: the budget-calibrated sigmoid."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["soft_top_k"]


def soft_top_k(scores: Tensor, k: float | Tensor, temperature: float | Tensor) -> Tensor:
    """Mask in [0, 1] with the shape of `scores` (..., n) that sums to `k` along the last axis.

    `m_i = sigmoid((s_i - tau) / T)`, tau solving `sum m = k`: entropy-regularised top-k. It tends to the hard
    top-k as T falls. With `g_i = m_i (1 - m_i) / T` the Jacobian is `g_i (1[i=j] - g_j / sum g)`. Scores of
    -inf are never chosen and carry no gradient. Differentiable once, which is what a hypergradient asks of it.
    """
    n_eligible = torch.isfinite(scores).sum(dim=-1, keepdim=True)
    eligible = torch.isfinite(scores)
    zero = torch.zeros((), dtype=scores.dtype, device=scores.device)
    s = torch.where(eligible, scores, zero)
    t = torch.as_tensor(temperature, dtype=scores.dtype, device=scores.device)
    while 0 < t.dim() < scores.dim():
        t = t.unsqueeze(-1)
    k_row = torch.as_tensor(k, dtype=scores.dtype, device=scores.device)
    if k_row.dim() == 0:
        k_row = k_row.expand(scores.shape[:-1])
    k_row = k_row.unsqueeze(-1)

    def mask_at(tau: Tensor) -> Tensor:
        return torch.where(eligible, torch.sigmoid((s - tau) / t), zero)

    with torch.no_grad():
        big = torch.full_like(s, torch.inf)
        margin = 40.0 * t
        tolerance = 1e-10 if scores.dtype == torch.float64 else 1e-5
        low = torch.where(eligible, s, big).amin(-1, keepdim=True) - margin
        high = torch.where(eligible, s, -big).amax(-1, keepdim=True) + margin
        tau = _hard_threshold(torch.where(eligible, s, -big), k_row).clamp(low, high)
        before = torch.full_like(tau, torch.inf)
        for _ in range(80 if scores.dtype == torch.float64 else 40):
            m = mask_at(tau)
            excess = m.sum(-1, keepdim=True) - k_row
            found = excess.abs() < tolerance
            if bool(found.all()):
                break
            low, high = torch.where(excess > 0, tau, low), torch.where(excess > 0, high, tau)
            # Newton's step, but halving where that leaves the bracket or the last one did not halve the excess. Rows
            # that are there stay, while others go on.
            newton = tau + excess / (m * (1 - m) / t).sum(-1, keepdim=True)
            fast = (newton > low) & (newton < high) & (excess.abs() < 0.5 * before)
            before = torch.where(found, before, excess.abs())
            tau = torch.where(found, tau, torch.where(fast, newton, 0.5 * (low + high)))
        m = mask_at(tau)
        slope = (m * (1 - m) / t).sum(-1, keepdim=True)
    # One Newton step inside the graph: it changes tau by rounding only, and gives it its implicit gradient
    # d tau / d s_i = g_i / sum g.
    safe = slope.clamp_min(torch.finfo(scores.dtype).tiny ** 0.5)
    correction = (mask_at(tau).sum(-1, keepdim=True) - k_row) / safe
    correction = torch.where(slope > 1e-12, correction, torch.zeros_like(correction))
    m = mask_at(tau + correction)
    return torch.where(n_eligible <= k_row, eligible.to(scores.dtype), m)


def _hard_threshold(scores: Tensor, k_row: Tensor) -> Tensor:
    """(..., 1) halfway between the last score that a hard choice takes and the first that it leaves: where the soft
    threshold lies as the temperature falls, and near it at any other."""
    falling = scores.sort(dim=-1, descending=True).values
    last = (k_row.ceil().long() - 1).clamp(0, scores.shape[-1] - 1)
    first = (last + 1).clamp_max(scores.shape[-1] - 1)
    return 0.5 * (falling.gather(-1, last) + falling.gather(-1, first)).nan_to_num(neginf=-1e30, posinf=1e30)
