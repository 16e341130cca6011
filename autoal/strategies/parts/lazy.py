"""Greedy search that does not look at every point again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["best_gain"]


def best_gain(
    bounds_N: Tensor,
    looks: Sequence[Callable[[Tensor], Tensor]],
    lazy: bool = True,
    first: int = 64,
    calibrated: bool = False,
) -> tuple[int, float]:
    """Position and value of the largest gain, where no gain is above its bound.

    `looks` map positions to values, each closer than the one before: upper bounds, and last the gains themselves.
    Points are looked at by falling bound, `first` of them at a time, later twice as many and so on, until the largest
    value is a gain. What is found is written into `bounds_N`, where gains that only fall are the bounds of the next
    call. A bound of -inf is never looked at. With `lazy=False` all points get the last look.

    With `calibrated` the bounds of a look are taken to be too high by what the next look took off them at least: far
    fewer points get the next look, but a point may be missed whose bound was closer than all those seen.
    """
    last = len(looks)
    level_N = torch.where(bounds_N == -torch.inf, last, 0 if lazy else last - 1)
    counts = [first * 4 ** (last - 1 - level) if lazy else len(bounds_N) for level in range(last)]
    kept = [0.0] * last
    """Largest share of its bound that a point had left after the look of each level."""
    while True:
        shares = torch.ones(last + 1, dtype=bounds_N.dtype)
        for level in range(last - 1, 0, -1):
            shares[level] = shares[level + 1] * (kept[level] if calibrated and kept[level] else 1.0)
        likely_N = bounds_N * shares.to(bounds_N.device)[level_N]
        best = int(likely_N.argmax())
        level = int(level_N[best])
        if level == last:
            return best, float(bounds_N[best])
        here_N = level_N == level
        highest = likely_N.where(here_N, -torch.inf).topk(min(counts[level], int(here_N.sum()))).indices
        before, found = bounds_N[highest], looks[level](highest)
        positive = before > 0
        if bool(positive.any()):
            kept[level] = min(1.0, max(kept[level], float((found[positive] / before[positive]).max())))
        bounds_N[highest] = found if level == last - 1 else torch.minimum(found, before)
        level_N[highest] += 1
        counts[level] *= 2
