"""Columns to mean 0 and standard deviation 1, whatever is missing from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Standard"]

FARTHEST = 1e6
"""Where a standardised value ends. No row of the fit gets there; a row that comes later must not become infinite."""

CHUNK_ROWS = 8192


class Standard:
    """Mean and standard deviation of each column of (n, d), over its finite values only; any numeric dtype.

    In the result gaps and infinities stand at the mean, which is 0, and columns of one value are 0.
    `told_apart` (d,) says which columns have two different finite values.
    """

    def __init__(self, values: NDArray[Any], farthest: float = FARTHEST) -> None:
        d = values.shape[1]
        self.farthest = farthest
        largest, count = np.zeros(d), np.zeros(d)
        for part in _parts(values):
            finite = np.isfinite(part)
            count += finite.sum(axis=0)
            largest = np.maximum(largest, np.where(finite, np.abs(part), 0.0).max(axis=0, initial=0.0))
        # Squares of numbers near 1e300 would overflow: everything is computed relative to the largest.
        self.unit = np.where(largest > 0, largest, 1.0)
        count = np.maximum(count, 1.0)
        total = np.zeros(d)
        for part in _parts(values):
            total += (np.where(np.isfinite(part), part, 0.0) / self.unit).sum(axis=0)
        self.mean = total / count
        squares, low, high = np.zeros(d), np.full(d, np.inf), np.full(d, -np.inf)
        for part in _parts(values):
            finite = np.isfinite(part)
            relative = np.where(finite, part, 0.0) / self.unit
            squares += np.where(finite, np.square(relative - self.mean), 0.0).sum(axis=0)
            low = np.minimum(low, np.where(finite, relative, np.inf).min(axis=0, initial=np.inf))
            high = np.maximum(high, np.where(finite, relative, -np.inf).max(axis=0, initial=-np.inf))
        deviation = np.sqrt(squares / count)
        # Below this the differences are rounding errors of the sum.
        self.told_apart = (high > low) & (deviation > 1e-14)
        self.deviation = np.where(self.told_apart, deviation, np.inf)

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """(n, d), finite."""
        made = np.empty(values.shape, dtype=np.float32)
        start = 0
        for part in _parts(values):
            finite = np.isfinite(part)
            with np.errstate(over="ignore", invalid="ignore"):  # a far value becomes inf here, and is clipped below
                scaled = (np.where(finite, part, 0.0) / self.unit - self.mean) / self.deviation
            scaled = np.where(finite, np.clip(scaled, -self.farthest, self.farthest), 0.0)
            made[start : start + len(part)] = scaled
            start += len(part)
        return made


def _parts(values: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """The rows in float64, a few thousand at a time, so that no copy of the whole is made."""
    for start in range(0, len(values), CHUNK_ROWS):
        yield np.asarray(values[start : start + CHUNK_ROWS], dtype=np.float64)
