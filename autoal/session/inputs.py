"""The pool of a session on disk: kept by its path where it has one, else stored in the session's folder.

| X | kept as |
|---|---|
| path of a `.npy` file, or an array mapped from one | its path; the file must stay as it is |
| array, tensor, list | `X.npy` |
| DataFrame | `X.npz`, a column each: numbers as they are, text and categories by code |
| scipy sparse matrix | `X.npz` |
| Dataset, or anything else | not at all: pass it to `Session.open` again |

Nothing is pickled. A fingerprint (shape and 64 rows) says whether it is the same data again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from autoal.data import Rows, as_rows
from autoal.data.arrays import ArrayRows, SparseRows
from autoal.data.frames import FrameRows
from autoal.errors import DataMissing, InvalidInput, RunError

__all__ = ["load_inputs", "same_inputs", "store_inputs"]

Record = dict[str, Any]


def store_inputs(X: Any, folder: Path) -> tuple[Rows, Record]:
    """The rows of `X`, and what the manifest says of them; writes a file into `folder` where that is needed.

    Raises InvalidInput for what is no pool, DataMissing for a path that is not there.
    """
    path = _path_of(X)
    rows = as_rows(X)
    kind = "outside"
    if path is not None:
        kind = "path"
    elif isinstance(rows, FrameRows):
        kind = "frame"
        _store_frame(rows.frame(slice(None)), folder / "X.npz")
    elif isinstance(rows, SparseRows):
        kind = "sparse"
        sparse.save_npz(folder / "X.npz", rows.matrix)
    elif isinstance(rows, ArrayRows):
        kind = "array"
        np.save(folder / "X.npy", rows.array, allow_pickle=False)
    about = {"kind": kind, "rows": len(rows), "row_shape": list(rows.row_shape), "fingerprint": rows.fingerprint()}
    return rows, about if path is None else {**about, "path": str(path)}


def load_inputs(about: Record, folder: Path) -> Rows:
    """The rows that a session was created with. Raises DataMissing where they cannot be found, RunError where they are
    others by now."""
    if about["kind"] == "outside":
        raise DataMissing(f"{folder} does not hold its pool; pass it again: Session.open({str(folder)!r}, X)")
    path = (
        Path(about["path"]) if about["kind"] == "path" else folder / ("X.npy" if about["kind"] == "array" else "X.npz")
    )
    if not path.is_file():
        raise DataMissing(
            f"the pool of {folder} is not at {path} any more; put it back, or pass it: Session.open({str(folder)!r}, X)"
        )
    try:
        if about["kind"] == "frame":
            return same_inputs(as_rows(_load_frame(path)), about, folder)
        return same_inputs(as_rows(sparse.load_npz(path) if about["kind"] == "sparse" else path), about, folder)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise RunError(f"{path} cannot be read ({error}); put the file of then back") from error


def same_inputs(rows: Rows, about: Record, folder: Path) -> Rows:
    """`rows`, once they are those of the session. Raises RunError where they are not."""
    if len(rows) != about["rows"] or list(rows.row_shape) != about["row_shape"]:
        now, then = (len(rows), *rows.row_shape), (about["rows"], *about["row_shape"])
        raise RunError(f"got a pool of shape {now}, but {folder} was created with {then}; wanted the same rows")
    if rows.fingerprint() != about["fingerprint"]:
        raise RunError(
            f"the pool is of the same shape as that of {folder}, but other numbers are in it; wanted the same rows in "
            "the same order, since labels belong to rows"
        )
    return rows


def _path_of(X: Any) -> Path | None:
    """Where the whole of `X` lies as a .npy file, or None."""
    if isinstance(X, str | Path):
        return Path(os.path.abspath(X))
    name = getattr(X, "filename", None) if isinstance(X, np.memmap) else None
    if name is None or not str(name).endswith(".npy"):
        return None
    try:
        whole = np.load(name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    same = isinstance(whole, np.memmap) and whole.offset == X.offset  # a part of the file has another place or shape
    alike = same and whole.shape == X.shape and whole.dtype == X.dtype and whole.strides == X.strides
    return Path(os.path.abspath(name)) if alike else None


def _store_frame(frame: pd.DataFrame, path: Path) -> None:
    """One array for each column, and beside it what to make of it."""
    columns: list[Record] = []
    arrays: dict[str, Any] = {}
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        name = frame.columns[place]
        kind: Any = getattr(column.dtype, "numpy_dtype", column.dtype)
        about: Record = {"name": name if isinstance(name, str | int) else str(name), "dtype": str(column.dtype)}
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
            if column.isna().any():  # true and false with gaps; numbers with gaps are refused before
                about["dtype"] = "object"
                column = column.astype(object)
            else:
                arrays[f"c{place}"] = column.to_numpy(dtype=kind)
                columns.append(about)
                continue
        coded = pd.Categorical(column if isinstance(column.dtype, pd.CategoricalDtype) else column.map(_text))
        about["values"] = [_text(value) for value in coded.categories]
        about["ordered"] = bool(coded.ordered)
        arrays[f"c{place}"] = np.asarray(coded.codes, dtype=np.int32)
        columns.append(about)
    np.savez(path, about=np.asarray(json.dumps(columns)), **arrays)


def _load_frame(path: Path) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as stored:
        columns = json.loads(str(stored["about"]))
        made: list[Any] = []
        for place, about in enumerate(columns):
            values: Any = stored[f"c{place}"]
            if "values" in about:
                coded = pd.Categorical.from_codes(values, about["values"], ordered=about["ordered"])
                kind = about["dtype"]
                values = coded if kind == "category" else pd.Series(coded).astype("object").astype(kind)
            else:
                values = pd.Series(values).astype(about["dtype"])
            made.append(pd.Series(values, name=about["name"]))
    return pd.concat(made, axis=1)


def _text(value: Any) -> Any:
    return value if value is None or value is pd.NA or value != value else str(value)
