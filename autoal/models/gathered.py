"""Outputs that come in chunks, as one tensor each."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

__all__ = ["Gathered"]


class Gathered:
    """Chunks of n rows put where they belong as they come: joined at the end they would be in memory twice."""

    def __init__(self, n: int) -> None:
        self._n, self._filled = n, 0
        self._out: Tensor | None = None

    @staticmethod
    def of(names: Iterable[str], n: int) -> dict[str, Gathered]:
        """One for each of `names`."""
        return {name: Gathered(n) for name in names}

    def append(self, rows: Tensor) -> None:
        """Takes the next rows (k, ...)."""
        if self._out is None:
            self._out = rows if len(rows) == self._n else rows.new_empty(self._n, *rows.shape[1:])
        if self._out is not rows:
            self._out[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)

    def whole(self) -> Tensor | None:
        """(n, ...) of all; None where nothing came."""
        assert self._out is None or self._filled == self._n, f"{self._filled} of {self._n} rows"
        return self._out
