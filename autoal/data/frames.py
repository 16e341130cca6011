"""Rows of a pandas DataFrame: numbers as they are, text and categories one-hot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from autoal.data.arrays import ArrayRows, Index, row_selector
from autoal.errors import InvalidInput

__all__ = ["FrameRows", "numbers_of", "one_hot"]

MOST_CATEGORIES = 1000
"""A text column with more values than this is an identifier or free text, not a category."""


def one_hot(codes: NDArray[Any], count: int) -> NDArray[np.float32]:
    """(n, count) indicator columns; a code below 0 (missing) gives zeros."""
    return (codes[:, None] == np.arange(count)[None, :]).astype(np.float32)


def numbers_of(frame: pd.DataFrame) -> NDArray[np.float32]:
    """(n, D) the matrix of FrameRows, with NaN where a number is missing."""
    numeric = frame.select_dtypes("number")
    rows = FrameRows(frame.assign(**{str(name): column.fillna(0) for name, column in numeric.items()}))
    made = np.array(rows.array, dtype=np.float32)
    for name, column in numeric.items():
        made[column.isna().to_numpy(), rows.feature_names.index(str(name))] = np.nan
    return made


class FrameRows(ArrayRows):
    """Rows of a DataFrame as one float matrix, its columns in the order of the frame's.

    Boolean columns become 0 and 1. Text, object and categorical columns become one column per value: in the order
    of the categories where the dtype has them, else sorted as text; a missing value is zero in all of them.
    `feature_names` names the columns of the matrix; `frame(indices)` gives the frame as it came.

    Raises InvalidInput, with the name of the column, for a missing number, a date, or too many different texts.
    """

    def __init__(self, frame: pd.DataFrame, what: str = "X") -> None:
        if frame.shape[0] == 0 or frame.shape[1] == 0:
            raise InvalidInput(f"got a DataFrame {what} of shape {frame.shape}; wanted at least one row and one column")
        blocks: list[NDArray[Any]] = []
        self.feature_names: list[str] = []
        for position, name in enumerate(frame.columns):
            block, labels = _encode(frame.iloc[:, position], str(name))
            blocks.append(block)
            self.feature_names += labels
        super().__init__(np.concatenate(blocks, axis=1), what)
        self._frame = frame

    def frame(self, indices: Index) -> pd.DataFrame:
        """The asked rows with their own columns, for a scikit-learn ColumnTransformer that selects by name."""
        return self._frame.iloc[row_selector(indices)]

    def encoded_alike(self, frame: pd.DataFrame, what: str) -> FrameRows:
        """Other rows with the columns of this matrix; a text that was not seen here is zero in all of its columns.

        Raises InvalidInput where `frame` has other columns than the frame behind this matrix.
        """
        if list(frame.columns) != list(self._frame.columns):
            raise InvalidInput(
                f"got {what} with columns {list(frame.columns)[:5]}; wanted those of X: {list(self._frame.columns)[:5]}"
            )
        other = FrameRows(frame, what)
        place = {name: position for position, name in enumerate(other.feature_names)}
        array = np.zeros((len(other), len(self.feature_names)))
        for position, name in enumerate(self.feature_names):
            if name in place:
                array[:, position] = other.array[:, place[name]]
        other.array, other.feature_names = array, list(self.feature_names)
        return other


def _encode(column: pd.Series[Any], name: str) -> tuple[NDArray[Any], list[str]]:
    """The columns of the matrix that stand for one column of the frame, (n, k), and their names."""
    if types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(dtype=np.float64)[:, None], [name]
    if types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(column.dtype):
        if types.is_complex_dtype(column.dtype):
            raise InvalidInput(f"column {name!r} holds complex numbers; wanted real ones")
        missing = int(column.isna().sum())
        if missing:
            raise InvalidInput(
                f"column {name!r} has {missing} missing value(s); fill them first, e.g. "
                f"X[{name!r}] = X[{name!r}].fillna(X[{name!r}].median())"
            )
        return column.to_numpy(dtype=np.float64)[:, None], [name]
    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        raise InvalidInput(f"column {name!r} holds dates ({column.dtype}); turn it into numbers, or drop it")
    codes, values = _categories(column)
    if len(values) > MOST_CATEGORIES:
        raise InvalidInput(
            f"column {name!r} has {len(values)} different values, too many to encode one-hot "
            f"(limit {MOST_CATEGORIES}); drop it, or turn it into numbers"
        )
    return one_hot(codes, len(values)).astype(np.float64), [f"{name}={value}" for value in values]


def _categories(column: pd.Series[Any]) -> tuple[NDArray[Any], list[str]]:
    """A code per row, -1 where missing, and the text of each code."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.codes, dtype=np.int64), [str(value) for value in column.cat.categories]
    present = column.notna().to_numpy()
    texts = column[present].map(str).to_numpy(dtype=object)
    values = sorted(set(texts))
    number = {value: code for code, value in enumerate(values)}
    codes = np.full(len(column), -1, dtype=np.int64)
    codes[present] = [number[text] for text in texts]
    return codes, values
