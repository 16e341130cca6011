"""Rows of a table, a DataFrame (pandas or polars) or an array of strings and objects: they stay what they are for the
user's model, and are encoded for distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api import types
from torch import Tensor

from autoal.data.faces import AS_GIVEN, ENCODED, EncodedRows, Faces, Index, rows_of
from autoal.data.texts import COLUMN, contents_fingerprint, is_texts, listed, sample
from autoal.encoders.containers import as_series, is_frame
from autoal.errors import InvalidInput

__all__ = ["ArrayTableRows", "FrameRows", "is_frame", "one_hot"]


def one_hot(codes: NDArray[Any], count: int) -> NDArray[np.float32]:
    """(n, count) indicator columns; a code below 0 (missing) gives zeros."""
    return (codes[:, None] == np.arange(count)[None, :]).astype(np.float32)


class FrameRows(EncodedRows):
    """Rows of a DataFrame. The model gets them as a frame, with its gaps, dates, categories and texts.

    `take` gives a frame of numbers and truth values as it is, in the order of its columns, and what the encoder makes
    of any other. A frame with one column of texts is a list of texts in all but its container.

    Raises InvalidInput where there is no row or no column.
    """

    def __init__(self, frame: Any, what: str = "X") -> None:
        if frame.shape[0] == 0 or frame.shape[1] == 0:
            raise InvalidInput(f"got a DataFrame {what} of shape {frame.shape}; wanted at least one row and one column")
        self.table, self.what = frame, what
        self.is_pandas = isinstance(frame, pd.DataFrame)
        one_column = frame.shape[1] == 1 and is_texts(self._column(0))
        self.kind = "texts" if one_column else "table"
        self.is_numbers = all(map(_is_number, frame.dtypes))
        self.taken_as = "" if self.is_numbers else ENCODED
        # Whole numbers may be tokens, which an nn.Embedding wants whole.
        self.is_whole = all(map(_is_whole, frame.dtypes)) and not self._has_gaps()
        # Gaps are for the user's model to take or refuse.
        self.always_finite = not self.is_numbers

    def __len__(self) -> int:
        return int(self.table.shape[0])

    @property
    def columns(self) -> list[Any]:
        return list(self.table.columns)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (int(self.table.shape[1]),) if self.is_numbers else super().row_shape

    @property
    def cost(self) -> int:
        return 8 * int(self.table.shape[1])

    def native(self, indices: Index) -> Any:
        """The asked rows with their own columns and index."""
        return rows_of(self.table, indices)

    @property
    def forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, COLUMN) if self.kind == "texts" else (AS_GIVEN,)

    def form(self, name: str, indices: Index) -> Any:
        made = self.native(indices)
        return made if name != COLUMN else _column(made, 0)

    @property
    def net_forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, *super().net_forms) if self.is_whole or self.kind == "texts" else super().net_forms

    def net_form(self, name: str, indices: Index) -> Any:
        if name != AS_GIVEN:
            return self.take(indices)
        return listed(self.native(indices)) if self.kind == "texts" else torch.from_numpy(self._read(indices, np.int64))

    def take(self, indices: Index) -> Tensor:
        if not self.is_numbers:
            return super().take(indices)
        with np.errstate(over="ignore"):
            return torch.from_numpy(self._read(indices, np.float64).astype(np.float32))

    def _read(self, indices: Index, dtype: Any) -> NDArray[Any]:
        """(n, d) of a frame of numbers, NaN in gaps."""
        part = self.native(indices)
        columns = [as_series(_column(part, place)) for place in range(part.shape[1])]
        if dtype is np.int64:
            return np.stack([column.to_numpy(dtype=np.int64) for column in columns], axis=1)
        return np.stack([column.to_numpy(dtype=np.float64, na_value=np.nan) for column in columns], axis=1)

    def encoded(self, indices: Index) -> Tensor:
        return EncodedRows.take(self, indices)

    def encode_as(self, other: Faces) -> None:
        """Raises InvalidInput where `other` has other columns."""
        if isinstance(other, FrameRows) and self.columns != other.columns:
            raise InvalidInput(
                f"got {self.what} with columns {self.columns[:5]}; wanted those of {other.what}: {other.columns[:5]}"
            )
        super().encode_as(other)

    def fingerprint(self) -> str:
        shown = self.native(sample(len(self)))
        rows = shown.itertuples(index=False) if self.is_pandas else shown.iter_rows()
        return contents_fingerprint(f"table {[str(name) for name in self.columns]}", len(self), map(_plain, rows))

    def _column(self, place: int) -> Any:
        return _column(self.table, place)

    def _has_gaps(self) -> bool:
        columns = (self._column(place) for place in range(self.table.shape[1]))
        return any(bool(column.hasnans) if isinstance(column, pd.Series) else column.has_nulls() for column in columns)


class ArrayTableRows(EncodedRows):
    """Rows of an array (n, d) of strings or of objects of several types, which the model gets as such an array; for
    distances its columns are those of a table.

    Raises InvalidInput where there is no row or no column.
    """

    kind = "table"

    def __init__(self, array: NDArray[Any], what: str = "X") -> None:
        if 0 in array.shape:
            raise InvalidInput(f"got {what} of shape {array.shape}; wanted at least one row and one column")
        self.array, self.what = array, what

    def __len__(self) -> int:
        return len(self.array)

    @property
    def cost(self) -> int:
        return 8 * int(self.array.shape[1])

    def native(self, indices: Index) -> Any:
        return rows_of(self.array, indices)

    def fingerprint(self) -> str:
        shown = self.native(sample(len(self))).tolist()
        return contents_fingerprint(f"table {self.array.shape[1]}", len(self), map(_plain, shown))


def _column(table: Any, place: int) -> Any:
    return table.iloc[:, place] if isinstance(table, pd.DataFrame) else table[:, place]


def _is_number(kind: Any) -> bool:
    if hasattr(kind, "is_numeric"):  # of polars
        return bool(kind.is_numeric()) or str(kind) == "Boolean"
    return (types.is_numeric_dtype(kind) or types.is_bool_dtype(kind)) and not types.is_complex_dtype(kind)


def _is_whole(kind: Any) -> bool:
    return bool(kind.is_integer()) if hasattr(kind, "is_numeric") else types.is_integer_dtype(kind)


def _plain(row: Any) -> list[str]:
    """Texts that are the same for equal values, in memory and read back from a file."""
    return ["" if _absent(value) else value if isinstance(value, str) else _written(value) for value in row]


def _written(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return type(value).__name__


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)
