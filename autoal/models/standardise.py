"""Columns with mean 0 and standard deviation 1, whatever the order in which the rows come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.data.rows import Rows

__all__ = ["Standardise", "column_moments"]

_STEPS = 2**16
_LIMIT = 10.0


@dataclass(frozen=True)
class Standardise:
    """Takes off the mean and divides by the standard deviation; a constant column becomes 0.

    Results are held within 10 standard deviations: with a handful of rows the estimate for a nearly constant
    column is so small that a point of the pool could be thousands of them away.
    """

    mean: Tensor
    """float32, of a shape that broadcasts with a chunk of rows."""
    std: Tensor

    @classmethod
    def of(cls, rows: Rows, indices: Tensor) -> Standardise:
        """From rows[indices]: per channel of images (c, h, w), per column of (d,) rows, one number for other shapes."""
        shape = tuple(rows.row_shape)

        def parts() -> Iterable[Tensor]:
            for part in chunks(len(indices), 32.0 * math.prod(shape)):
                values = rows.take(indices[part])
                if len(shape) == 3:
                    yield values.movedim(1, -1).flatten(0, -2)
                else:
                    yield values if len(shape) == 1 else values.reshape(-1, 1)

        mean, std = column_moments(parts)
        broadcast: Sequence[int] = (-1, 1, 1) if len(shape) == 3 else (-1,)
        return cls.from_moments(mean.reshape(*broadcast), std.reshape(*broadcast))

    @classmethod
    def from_moments(cls, mean: Tensor, std: Tensor) -> Standardise:
        return cls(mean.float(), torch.where(std > 1e-8 * (1 + mean.abs()), std, torch.ones_like(std)).float())

    def __call__(self, x: Tensor) -> Tensor:
        return ((x - self.mean.to(x.device)) / self.std.to(x.device)).clamp_(-_LIMIT, _LIMIT)


def column_moments(parts: Callable[[], Iterable[Tensor]]) -> tuple[Tensor, Tensor]:
    """(d,) mean and standard deviation, float64, of chunks (m, d) that `parts()` yields anew on each call.

    Sums are of integers (each value in steps of 1/65536 of its column's range), hence exact: the same rows in
    another order or in other chunks give the same bits, up to 2^31 rows. Rounding of the values moves neither moment
    by more than 1e-5 of the range.
    """
    low = high = None
    for part in parts():
        lowest, highest = part.double().amin(0), part.double().amax(0)
        low = lowest if low is None else torch.minimum(low, lowest)
        high = highest if high is None else torch.maximum(high, highest)
    assert low is not None and high is not None, "no rows"
    span = torch.where(high > low, high - low, torch.ones_like(low))
    count, first, second = 0, torch.zeros_like(low, dtype=torch.int64), torch.zeros_like(low, dtype=torch.int64)
    for part in parts():
        steps = ((part.double() - low) / span * _STEPS).round_().to(torch.int64)
        count += len(steps)
        first += steps.sum(0)
        second += (steps * steps).sum(0)
    mean = first.double() / count
    variance = (second.double() / count - mean**2).clamp_min(0.0)
    return low + span * mean / _STEPS, span * variance.sqrt() / _STEPS
