"""Greedy search that does not look at every point again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["best_gain"]


def best_gain(
    bounds_N: Tensor, gains_of: Callable[[Tensor], Tensor], lazy: bool = True, first: int = 64
) -> tuple[int, float]:
    """Position and value of the largest gain, where no gain is above its bound; `gains_of` positions gives theirs.

    Writes what it works out into `bounds_N`, where gains that only fall are the bounds of the next call. A bound of
    -inf is never looked at. Points are looked at by falling bound, `first` of them, then twice as many and so on,
    until the largest is not a bound but a gain. With `lazy=False` all are.
    """
    fresh_N = bounds_N == -torch.inf
    count = first if lazy else len(bounds_N)
    while True:
        best = int(bounds_N.argmax())
        if fresh_N[best]:
            return best, float(bounds_N[best])
        highest = bounds_N.topk(min(count, len(bounds_N))).indices
        stale = highest[~fresh_N[highest]]
        bounds_N[stale] = gains_of(stale)
        fresh_N[stale] = True
        count *= 2
