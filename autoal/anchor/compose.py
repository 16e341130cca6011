"""From values to the batch on the pool: greedily, weighted by value."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.anchor.space import Shape
from autoal.rng import generator
from autoal.strategies.parts.coverage import greedy_coverage

__all__ = ["EVALUATION", "compose_pool", "drawn_by_value"]

EVALUATION = 10_000
"""Pool points over which coverage is summed, at most, where few of them may be bought."""


def drawn_by_value(value: Tensor, exact: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """(N,) weights of the points over which coverage is summed, `most` of them, the others 0: the value (N,) of those
    at `exact` positions (J,), and for the rest the mean value times how often a point is drawn, one from each of as
    many equal parts of their summed value. Points that may be picked count by their value, without the chance of a
    draw: where a point covers hardly more than itself, that is all its gain."""
    kept = torch.zeros_like(value).index_put_((exact,), value[exact])
    others, count = (value - kept).double(), most - len(exact)
    ends = others.cumsum(0)
    total = float(ends[-1])
    if count < 1 or total <= 0:
        return kept
    at = (torch.arange(count, dtype=torch.float64) + torch.rand(count, dtype=torch.float64, generator=rng)) / count
    drawn = torch.searchsorted(ends, at.to(ends.device) * total).clamp_max(len(value) - 1)
    return kept + torch.bincount(drawn, minlength=len(value)).to(value) * (total / count)


@torch.no_grad()
def compose_pool(
    log_value: Tensor,
    shape: Shape,
    batch_size: int,
    *,
    bandwidth: float,
    candidates: Tensor | None,
    prices: Tensor | None,
    seed: int,
    evaluated: int = EVALUATION,
) -> Tensor:
    """Positions (b,) in a pool of log values (N,), among `candidates` or all.

    Greedily: what the labeled rows of `shape` cover counts for nothing, and gain per price where there are `prices`
    (N,). In a pool of more than `evaluated` points coverage is summed over so many draws, and no other row is made.
    """
    value = torch.exp(log_value - log_value.amax())
    ties = generator(seed, "compose", "ties")
    evaluation = made = None
    if len(value) > evaluated:
        exact = torch.arange(0, device=value.device) if candidates is None else candidates.to(value.device)
        value = drawn_by_value(value, exact, evaluated, generator(seed, "compose", "evaluation"))
        evaluation = value.nonzero().flatten()
        if candidates is not None:
            made = torch.unique(torch.cat([evaluation, exact]))
            evaluation, candidates = torch.searchsorted(made, evaluation), torch.searchsorted(made, exact)
            value, prices = value[made], None if prices is None else prices[made]
    picks = greedy_coverage(
        shape.rows(made), value, shape.labeled, batch_size, bandwidth=bandwidth, candidates=candidates,
        evaluation=evaluation, normalise=False, prices_N=prices, rng=ties,
    )[0]  # fmt: skip
    return picks if made is None else made[picks]
