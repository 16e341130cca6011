"""From values to a batch: greedily, weighted by value, soft inside the search and hard on the pool."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.rng import generator
from autoal.search.relax import soft_top_k
from autoal.search.variance import NOISE, greedy_variance, kernel, posterior
from autoal.strategies.base import random_ties
from autoal.strategies.parts.coverage import greedy_coverage
from autoal.strategies.parts.dpp import greedy_map

__all__ = ["compose_episode", "compose_pool"]

EVALUATION = 10_000
"""Pool points over which coverage is summed, at most."""
_TINY = 1e-12


@torch.no_grad()
def compose_pool(
    log_value: Tensor,
    rows: Tensor,
    covered_by: Tensor,
    batch_size: int,
    *,
    how: str,
    bandwidth: float,
    candidates: Tensor | None,
    prices: Tensor | None,
    seed: int,
) -> Tensor:
    """Positions (b,) in a pool of log values (N,) and rows (N, D) of length 1, among `candidates` or all.

    `how` is `SearchConfig.composition`. In "coverage" and "variance", what `covered_by` (L, D) tells counts for
    nothing, and gain per price where there are `prices` (N,). The other two ignore both. Raises InvalidInput for prices
    there.
    """
    if how not in ("coverage", "variance") and prices is not None:
        raise InvalidInput(
            f"got costs with composition={how!r}, which cannot weigh them; wanted composition='coverage' or "
            "'variance', or no costs"
        )
    value = torch.exp(log_value - log_value.amax())
    ties = generator(seed, "compose", "ties")
    if how in ("coverage", "variance"):
        evaluation = None
        if len(rows) > EVALUATION:
            evaluation = torch.randperm(len(rows), generator=generator(seed, "compose", "evaluation"))[:EVALUATION]
            evaluation = evaluation.sort().values.to(rows.device)
    if how == "variance":
        everyone = torch.arange(len(rows), device=rows.device)
        among = everyone if candidates is None else candidates.to(rows.device)
        return greedy_variance(
            rows, value, covered_by, batch_size, bandwidth=bandwidth, candidates=among,
            evaluation=everyone if evaluation is None else evaluation, prices=prices,
            order=torch.randperm(len(among), generator=ties).to(rows.device),
            rng=generator(seed, "compose", "landmarks"),
        )  # fmt: skip
    if how == "coverage":
        return greedy_coverage(
            rows, value, covered_by, batch_size, bandwidth=bandwidth, candidates=candidates, evaluation=evaluation,
            normalise=False, prices_N=prices, rng=ties,
        )[0]  # fmt: skip
    among = torch.arange(len(rows), device=rows.device) if candidates is None else candidates.to(rows.device)
    order = random_ties(value[among], ties)
    first = greedy_map(batch_size, features=value[among, None] * rows[among]) if how == "dpp" else order[:0]
    # Where the rank of the rows is used up before the batch is full, the highest values left follow.
    rest = order[~torch.isin(order, first)]
    return among[torch.cat([first, rest])[:batch_size]]


def compose_episode(
    log_value: Tensor,
    squared_distances: Tensor,
    log_bandwidth: Tensor,
    batch: int,
    *,
    how: str,
    parts: int,
    temperature: float | None,
) -> Tensor:
    """Mask (E, P) that sums to `batch`: the points a composed batch would hold.

    `squared_distances` (E, P + S, P + S) are those of the pseudo-pool and, after it, the support. By "variance" a point
    j gains `sum_u q_u cov(u, j)^2 / (var(j) + noise)`, the support and earlier picks being known. By any other `how` it
    gains `sum_u q_u max(0, k(u, j) - m_u)` with the kernel `exp(-d^2 / bandwidth^2)` and m what support and earlier
    picks cover. The batch is chosen in `parts`; what is known is brought up to date after each by its hard picks.
    `temperature` is in standard deviations of the log gains; None chooses hard, one mask of zeros and ones.
    """
    values = torch.exp(log_value - log_value.amax(dim=1, keepdim=True))
    scaled = squared_distances * torch.exp(-2.0 * log_bandwidth).reshape(-1, 1, 1)
    gains = (_VarianceLeft if how == "variance" else _CoverageLeft)(values, scaled)
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


class _VarianceLeft:
    """What a label of each point would take from the weighted variance of E pseudo-pools."""

    def __init__(self, values: Tensor, scaled: Tensor) -> None:
        n = values.shape[1]
        prior = kernel(scaled)
        self.values = values
        self.covariance = posterior(prior[:, :n, :n], prior[:, n:, n:], prior[:, :n, n:])

    def of_each(self) -> Tensor:
        """(E, P)"""
        variance = self.covariance.diagonal(dim1=1, dim2=2).clamp_min(0)
        return torch.einsum("eu,euj->ej", self.values, self.covariance.square()) / (variance + NOISE)

    def know(self, chosen: Tensor) -> None:
        """Takes in the points at positions (E, k)."""
        between = _columns(self.covariance, chosen)
        known = between.gather(1, chosen.unsqueeze(2).expand(-1, -1, chosen.shape[1]))
        self.covariance = posterior(self.covariance, known, between)


def _columns(matrices: Tensor, which: Tensor) -> Tensor:
    """(E, P, k) columns `which` (E, k) of `matrices` (E, P, P)."""
    return matrices.gather(2, which.unsqueeze(1).expand(-1, matrices.shape[1], -1))
