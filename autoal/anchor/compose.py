"""From values to the batch on the pool: greedily, weighted by value."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.rng import generator
from autoal.strategies.parts.coverage import greedy_coverage

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
    bandwidth: float,
    candidates: Tensor | None,
    prices: Tensor | None,
    seed: int,
    evaluated: int = EVALUATION,
) -> Tensor:
    """Positions (b,) in a pool of log values (N,) and rows (N, D) of length 1, among `candidates` or all.

    Greedily: what `covered_by` (L, D) covers counts for nothing, and gain per price where there are `prices` (N,). In a
    pool of more than `evaluated` points coverage is summed over so many draws.
    """
    value = torch.exp(log_value - log_value.amax())
    ties = generator(seed, "compose", "ties")
    evaluation = None
    if len(rows) > evaluated:
        value = drawn_by_value(value, evaluated, generator(seed, "compose", "evaluation"))
        evaluation = value.nonzero().flatten()
    return greedy_coverage(
        rows, value, covered_by, batch_size, bandwidth=bandwidth, candidates=candidates, evaluation=evaluation,
        normalise=False, prices_N=prices, rng=ties,
    )[0]  # fmt: skip
