"""The names of points, as they come back from files and annotation tools: integers or text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.data.indices import id_array, text_of
from autoal.errors import InvalidInput, shown

__all__ = ["Ids", "is_text", "text_of"]

DIGITS = 18
"""Of row numbers, at most."""


def is_text(value: str) -> bool:
    """Whether text comes back as it was from every file and array: no NUL, at which some stop, and no half of a
    surrogate pair, which UTF-8 lacks."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


class Ids:
    """One id for each of n rows; the row numbers themselves where none were given.

    Ids are told apart by how they are written, so that 7 and "7" are the same. Raises InvalidInput for ids that are
    neither integers nor text, that repeat, or that are not n.
    """

    def __init__(self, given: Any, n: int) -> None:
        self.count = n
        self.given: NDArray[Any] | None = None
        self._rows: dict[str, int] | None = None
        if given is None:
            return
        values = id_array(given, n)
        if values.dtype.kind == "O":
            texts = [text_of(value) if isinstance(value, str | int) else None for value in values.tolist()]
            pairs = zip(values.tolist(), texts, strict=True)
            wrong = [value for value, text in pairs if text is None or not is_text(text)]
            if wrong:
                listed = ", ".join(shown(value, 40) for value in wrong[:5])
                raise InvalidInput(f"ids hold {listed}; wanted integers or text, which survive a file")
            if len(set(texts)) < n:
                raise InvalidInput("some ids differ only in how they are typed, as 7 and '7' do; wanted distinct text")
            for row, value in enumerate(values.tolist()):
                values[row] = value.strip() if isinstance(value, str) else int(value)
        self.given = values

    def __len__(self) -> int:
        return self.count

    def of(self, rows: Iterable[int]) -> list[Any]:
        """The id of each row: int or str."""
        if self.given is None:
            return [int(row) for row in rows]
        return [self.given[row] if self.given.dtype.kind == "O" else int(self.given[row]) for row in rows]

    def array(self, rows: Sequence[int]) -> NDArray[Any]:
        """The same as an array, int64 or of objects."""
        picked = np.asarray(rows, dtype=np.int64)
        return picked if self.given is None else self.given[picked]

    def row(self, value: Any) -> int | None:
        """The row of an id; None where there is no such id."""
        text = text_of(value)
        if text is None:
            return None
        if self.given is None:
            row = int(text) if text.isdecimal() and text.isascii() and len(text) <= DIGITS else -1
            return row if 0 <= row < self.count and str(row) == text else None
        if self._rows is None:
            self._rows = {str(name): row for row, name in enumerate(self.given.tolist())}
        return self._rows.get(text)
