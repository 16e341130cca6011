"""Rows of a DataFrame, pandas or polars: they stay a frame for the user's model, and are encoded for distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api import types
from torch import Tensor

from autoal.data.faces import AS_GIVEN, EncodedRows, Faces, Index, row_selector
from autoal.data.texts import COLUMN, contents_fingerprint, is_texts, sample
from autoal.encoders.containers import is_frame
from autoal.errors import InvalidInput

__all__ = ["FrameRows", "is_frame", "one_hot"]


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
        self.is_numbers = self.is_pandas and all(_is_number(kind) for kind in frame.dtypes)
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
        chosen = row_selector(indices)
        return self.table.iloc[chosen] if self.is_pandas else self.table[chosen]

    @property
    def forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, COLUMN) if self.kind == "texts" else (AS_GIVEN,)

    def form(self, name: str, indices: Index) -> Any:
        made = self.native(indices)
        if name != COLUMN:
            return made
        return made.iloc[:, 0] if self.is_pandas else made[:, 0]

    def take(self, indices: Index) -> Tensor:
        if not self.is_numbers:
            return super().take(indices)
        part = self.native(indices)
        with np.errstate(over="ignore"):
            columns = [
                part.iloc[:, place].to_numpy(dtype=np.float64, na_value=np.nan) for place in range(part.shape[1])
            ]
            return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))

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
        return self.table.iloc[:, place] if self.is_pandas else self.table[:, place]


def _is_number(kind: Any) -> bool:
    return (types.is_numeric_dtype(kind) or types.is_bool_dtype(kind)) and not types.is_complex_dtype(kind)


def _plain(row: Any) -> list[str]:
    """Texts that are the same for equal values, in memory and read back from a file."""
    return ["" if _absent(value) else str(value) for value in row]


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)
