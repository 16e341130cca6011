"""From values to a batch: greedy coverage weighted by value, soft inside the search and hard on the pool."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.rng import generator
from autoal.search.relax import soft_top_k
from autoal.strategies._coverage import greedy_coverage
from autoal.strategies._dpp import greedy_map
from autoal.strategies.base import random_ties

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

    `how` is `SearchConfig.composition`. In "coverage", what `covered_by` (L, D) covers counts for nothing, and gain per
    price where there are `prices` (N,). The other two ignore what is covered. Raises InvalidInput for prices there.
    """
    if how != "coverage" and prices is not None:
        raise InvalidInput(
            f"got costs with composition={how!r}, which cannot weigh them; wanted composition='coverage', or no costs"
        )
    value = torch.exp(log_value - log_value.amax())
    ties = generator(seed, "compose", "ties")
    if how == "coverage":
        evaluation = None
        if len(rows) > EVALUATION:
            evaluation = torch.randperm(len(rows), generator=generator(seed, "compose", "evaluation"))[:EVALUATION]
            evaluation = evaluation.sort().values.to(rows.device)
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
    covered: Tensor,
    log_bandwidth: Tensor,
    batch: int,
    *,
    parts: int,
    temperature: float | None,
) -> Tensor:
    """Mask (E, P) that sums to `batch`: the points a composed batch would hold.

    A point j gains `sum_u q_u max(0, k(u, j) - m_u)` with the kernel `exp(-d^2 / bandwidth^2)` and m what support
    and earlier picks cover. The batch is chosen in `parts`; coverage is brought up to date after each by its hard
    picks. `temperature` is in standard deviations of the log gains; None chooses hard, one mask of zeros and ones.
    """
    values = torch.exp(log_value - log_value.amax(dim=1, keepdim=True))
    scale = torch.exp(-2.0 * log_bandwidth).reshape(-1, 1)
    kernel = torch.exp(-squared_distances * scale.unsqueeze(2))
    cover = torch.exp(-covered * scale)
    mask = torch.zeros_like(log_value)
    taken = torch.zeros_like(log_value, dtype=torch.bool)
    sizes = [batch // parts + (1 if i < batch % parts else 0) for i in range(min(parts, batch))]
    for size in sizes:
        gain = torch.einsum("eu,euj->ej", values, torch.relu(kernel - cover.unsqueeze(2)))
        scores = torch.log(gain + _TINY).masked_fill(taken, -math.inf)
        if temperature is None:
            part = torch.zeros_like(mask).scatter(1, scores.topk(size, dim=1).indices, 1.0)
        else:
            finite = scores.detach().masked_fill(taken, math.nan)
            spread = torch.sqrt(torch.nanmean((finite - torch.nanmean(finite, 1, keepdim=True)) ** 2, 1))
            part = soft_top_k(scores, float(size), temperature * spread.clamp_min(1e-3))
        mask = mask + part
        chosen = scores.detach().topk(size, dim=1).indices
        taken = taken.scatter(1, chosen, True)
        new = kernel.gather(2, chosen.unsqueeze(1).expand(-1, kernel.shape[1], -1)).amax(2)
        cover = torch.maximum(cover, new)
    return mask
