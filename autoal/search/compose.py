"""From values to the batch of an episode: greedily, weighted by value, soft where it is learned from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoal.search.relax import soft_top_k

__all__ = ["compose_episode"]

_TINY = 1e-12


def compose_episode(
    log_value: Tensor,
    squared_distances: Tensor,
    log_bandwidth: Tensor,
    batch: int,
    *,
    parts: int,
    temperature: float | None,
) -> Tensor:
    """Mask (E, P) that sums to `batch`: the points a composed batch would hold.

    `squared_distances` (E, P + S, P + S) are those of the pseudo-pool and, after it, the support. A point j gains
    `sum_u q_u max(0, k(u, j) - m_u)` with the kernel `exp(-d^2 / bandwidth^2)` and m what support and earlier picks
    cover. The batch is chosen in `parts`; what is covered is brought up to date after each by its hard picks.
    `temperature` is in standard deviations of the log gains; None chooses hard, one mask of zeros and ones.
    """
    values = torch.exp(log_value - log_value.amax(dim=1, keepdim=True))
    scaled = squared_distances * torch.exp(-2.0 * log_bandwidth).reshape(-1, 1, 1)
    gains = _CoverageLeft(values, scaled)
    mask = torch.zeros_like(log_value)
    taken = torch.zeros_like(log_value, dtype=torch.bool)
    sizes = [batch // parts + (1 if i < batch % parts else 0) for i in range(min(parts, batch))]
    for size in sizes:
        scores = torch.log(gains.of_each() + _TINY).masked_fill(taken, -math.inf)
        if temperature is None:
            part = torch.zeros_like(mask).scatter(1, scores.topk(size, dim=1).indices, 1.0)
        else:
            finite = scores.detach().masked_fill(taken, math.nan)
            spread = torch.sqrt(torch.nanmean((finite - torch.nanmean(finite, 1, keepdim=True)) ** 2, 1))
            part = soft_top_k(scores, float(size), temperature * spread.clamp_min(1e-3))
        mask = mask + part
        chosen = scores.detach().topk(size, dim=1).indices
        taken = taken.scatter(1, chosen, True)
        gains.know(chosen)
    return mask


class _CoverageLeft:
    """What each point of E pseudo-pools would still cover, for values (E, P) and scaled squared distances."""

    def __init__(self, values: Tensor, scaled: Tensor) -> None:
        n = values.shape[1]
        self.values = values
        self.kernel = torch.exp(-scaled[:, :n, :n])
        self.cover = torch.exp(-scaled[:, :n, n:].amin(2))

    def of_each(self) -> Tensor:
        """(E, P)"""
        return torch.einsum("eu,euj->ej", self.values, torch.relu(self.kernel - self.cover.unsqueeze(2)))

    def know(self, chosen: Tensor) -> None:
        """Takes in the points at positions (E, k)."""
        self.cover = torch.maximum(self.cover, _columns(self.kernel, chosen).amax(2))


def _columns(matrices: Tensor, which: Tensor) -> Tensor:
    """(E, P, k) columns `which` (E, k) of `matrices` (E, P, P)."""
    return matrices.gather(2, which.unsqueeze(1).expand(-1, matrices.shape[1], -1))
