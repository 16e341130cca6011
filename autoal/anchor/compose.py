"""From values to the batch on the pool: greedily, weighted by value."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.anchor.variance import greedy_variance
from autoal.errors import InvalidInput
from autoal.rng import generator
from autoal.strategies.base import random_ties
from autoal.strategies.parts.coverage import greedy_coverage
from autoal.strategies.parts.dpp import greedy_map

__all__ = ["EVALUATION", "compose_pool", "drawn_by_value"]

EVALUATION = 10_000
"""Pool points over which coverage is summed, at most, where few of them may be bought."""


def drawn_by_value(value: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """(N,) how often each point is drawn, `count` draws in all, one from each of as many equal parts of the summed
    value (N,): sums over the points drawn estimate, but for a factor, sums weighted by value, and points of large value
    are sure to be there."""
    ends = value.double().cumsum(0)
    at = (torch.arange(count, dtype=torch.float64) + torch.rand(count, dtype=torch.float64, generator=rng)) / count
    drawn = torch.searchsorted(ends, at.to(ends.device) * ends[-1]).clamp_max(len(value) - 1)
    return torch.bincount(drawn, minlength=len(value)).to(value)


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
    evaluated: int = EVALUATION,
) -> Tensor:
    """Positions (b,) in a pool of log values (N,) and rows (N, D) of length 1, among `candidates` or all.

    `how` is `SearchConfig.composition`. In "coverage" and "variance", what `covered_by` (L, D) tells counts for
    nothing, and gain per price where there are `prices` (N,); in a pool of more than `evaluated` points, over so many
    draws. The other two ignore both. Raises InvalidInput for prices there.
    """
    if how not in ("coverage", "variance") and prices is not None:
        raise InvalidInput(
            f"got costs with composition={how!r}, which cannot weigh them; wanted composition='coverage' or "
            "'variance', or no costs"
        )
    value = torch.exp(log_value - log_value.amax())
    ties = generator(seed, "compose", "ties")
    evaluation = None
    if how in ("coverage", "variance") and len(rows) > evaluated:
        value = drawn_by_value(value, evaluated, generator(seed, "compose", "evaluation"))
        evaluation = value.nonzero().flatten()
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
