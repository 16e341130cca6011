"""The containers rows come in: how many there are, texts as a list, arrays from tensors, pandas from polars."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoal.errors import InvalidInput

__all__ = ["as_array", "as_pandas", "as_series", "is_frame", "is_polars", "row_count", "texts_of"]


def row_count(native: Any, what: str) -> int:
    """Rows in any container that has a shape or a length, of a dict those of its first part. Raises InvalidInput where
    it has neither."""
    if isinstance(native, Mapping) and native:
        return row_count(next(iter(native.values())), what)
    shape = getattr(native, "shape", None)
    if isinstance(shape, tuple) and shape:
        return int(shape[0])
    try:
        return len(native)
    except TypeError:
        raise InvalidInput(
            f"got {what} of type {type(native).__name__}, whose rows cannot be counted; wanted a list, an array or a "
            "DataFrame"
        ) from None


def is_polars(native: Any, name: str) -> bool:
    """Whether it is an object of the polars class `name`."""
    # Where polars was never imported nothing can be an object of it, and importing it costs time.
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(native, getattr(polars, name))


def is_frame(native: Any) -> bool:
    """Whether it is a pandas or polars DataFrame."""
    return isinstance(native, pd.DataFrame) or is_polars(native, "DataFrame")


def as_pandas(native: Any, what: str) -> pd.DataFrame:
    """The table in pandas with its rows numbered from 0, its columns too where it is an array (n, d) of strings or
    objects. Raises InvalidInput for anything else."""
    if isinstance(native, pd.DataFrame):
        return native.reset_index(drop=True)
    if isinstance(native, np.ndarray) and native.ndim == 2 and native.dtype.kind in "OTU":
        return pd.DataFrame(native)
    if is_polars(native, "LazyFrame"):
        raise InvalidInput(f"got a polars LazyFrame as {what}; wanted its rows: {what}.collect()")
    if not is_polars(native, "DataFrame"):
        raise InvalidInput(f"got {what} of type {type(native).__name__}; wanted a pandas or polars DataFrame")
    columns = {name: as_series(native[name]) for name in native.columns}
    return pd.DataFrame(columns, index=pd.RangeIndex(native.height), columns=pd.Index(native.columns, dtype=object))


def as_series(column: Any) -> pd.Series[Any]:
    """A pandas or polars Series in pandas, without pyarrow, which not everybody has."""
    if isinstance(column, pd.Series):
        return column
    import polars

    kind = column.dtype
    if kind.is_decimal():
        column, kind = column.cast(polars.Float64), polars.Float64()
    if kind.is_numeric():
        return pd.Series(column.to_numpy())
    if isinstance(kind, polars.Enum):  # its categories have an order that somebody wrote down
        given = pd.CategoricalDtype(kind.categories.to_list(), ordered=True)
        return pd.Series(pd.Categorical(column.cast(polars.String).to_list(), dtype=given))
    if isinstance(kind, polars.Categorical):
        return pd.Series(column.cast(polars.String).to_list(), dtype=object).astype("category")
    if isinstance(kind, polars.Datetime):
        naive = pd.Series(column.dt.replace_time_zone(None).to_numpy()) if kind.time_zone is None else None
        if naive is not None:
            return naive
        moments = pd.Series(column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy())
        return moments.dt.tz_localize("UTC").dt.tz_convert(kind.time_zone)
    if isinstance(kind, polars.Date | polars.Duration):
        return pd.Series(column.to_numpy())
    return pd.Series(column.to_list(), dtype=object)


def as_array(native: Any) -> NDArray[Any]:
    """An array from an array, a tensor, a frame or nested lists; ValueError or TypeError where there is none."""
    if hasattr(native, "detach"):
        native = native.detach().cpu()
        try:
            return np.asarray(native)
        except TypeError:  # numpy has no bfloat16
            return np.asarray(native.float())
    if isinstance(native, list | tuple) and native and hasattr(native[0], "detach"):
        return np.stack([as_array(row) for row in native])
    if is_frame(native):
        return as_pandas(native, "frame").to_numpy()
    if isinstance(native, pd.Series) or hasattr(native, "to_numpy"):
        return np.asarray(native.to_numpy())
    return np.asarray(native)


def texts_of(native: Any, what: str) -> list[str]:
    """Texts as a plain list of str, a missing one as "".

    Takes a list, an array (n,) or (n, 1), a Series, or a frame of one column.
    Raises InvalidInput for other shapes, and for rows that are no texts.
    """
    if is_frame(native):
        frame = as_pandas(native, what)
        if frame.shape[1] != 1:
            raise InvalidInput(
                f"got {what} with {frame.shape[1]} columns; wanted one column of texts, e.g. {what}['text']"
            )
        values = frame.iloc[:, 0].astype(object).tolist()
    elif isinstance(native, pd.Series):
        values = native.astype(object).tolist()
    elif isinstance(native, np.ndarray):
        if native.ndim == 2 and native.shape[1] == 1:
            native = native[:, 0]
        if native.ndim != 1:
            raise InvalidInput(f"got {what} of shape {native.shape}; wanted one text per row: (n,) or (n, 1)")
        values = native.tolist()
    elif isinstance(native, str):
        raise InvalidInput(f"got {what} as one text; wanted a list of texts: [{what}]")
    else:
        row_count(native, what)
        values = list(native)
    return [_text(value, row, what) for row, value in enumerate(values)]


def _text(value: Any, row: int, what: str) -> str:
    if isinstance(value, str):
        return str(value)
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool | int | float | np.generic):
        return str(value)
    raise InvalidInput(
        f"got row {row} of {what} of type {type(value).__name__}; wanted texts, one str per row (None where missing)"
    )
