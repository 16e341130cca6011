"""Greedy search that does not look at every point again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["best_gain"]


def best_gain(
    bounds_N: Tensor, looks: Sequence[Callable[[Tensor], Tensor]], lazy: bool = True, first: int = 64
) -> tuple[int, float]:
    """Position and value of the largest gain, where no gain is above its bound.

    `looks` map positions to values, each closer than the one before: upper bounds, and last the gains themselves.
    Points are looked at by falling bound, `first` of them at a time, later twice as many and so on, until the largest
    value is a gain. What is found is written into `bounds_N`, where gains that only fall are the bounds of the next
    call. A bound of -inf is never looked at. With `lazy=False` all points get the last look.
    """
    last = len(looks)
    level_N = torch.where(bounds_N == -torch.inf, last, 0 if lazy else last - 1)
    counts = [first * 4 ** (last - 1 - level) if lazy else len(bounds_N) for level in range(last)]
    while True:
        best = int(bounds_N.argmax())
        level = int(level_N[best])
        if level == last:
            return best, float(bounds_N[best])
        highest = bounds_N.topk(min(counts[level], len(bounds_N))).indices
        highest = highest[level_N[highest] == level]
        found = looks[level](highest)
        bounds_N[highest] = found if level == last - 1 else torch.minimum(found, bounds_N[highest])
        level_N[highest] += 1
        counts[level] *= 2
