"""The pool of a session on disk: kept by its path where it has one, else stored in the session's folder.

| X | kept as |
|---|---|
| path of a `.npy` file, or an array mapped from one | its path; the file must stay as it is |
| array, tensor, list | `X.npy` |
| DataFrame of pandas or polars, texts | `X.parquet` |
| path of a `.csv` or `.parquet` file, or of a folder of pictures | its path; it must stay as it is |
| scipy sparse matrix | `X.npz` |
| Dataset, dict of arrays, list of objects | not at all: pass it to `Session.open` again |

Nothing is pickled. Of files a digest of every byte says whether they are the same again, of what is passed to `open` a
fingerprint of its shape and 64 rows.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from autoal.data import Rows, as_rows
from autoal.data.arrays import ArrayRows, SparseRows
from autoal.data.faces import EncodedRows
from autoal.data.frames import FrameRows
from autoal.data.reading import check_archive, read_archive_arrays, read_parquet, reading
from autoal.data.texts import TextRows
from autoal.errors import DataMissing, InvalidInput, RunError, shown
from autoal.session.stamps import check_stamp, stamp_of

__all__ = ["file_of", "load_inputs", "same_inputs", "store_inputs"]

Record = dict[str, Any]
JSON = "json:"
FILES = {"array": "X.npy", "sparse": "X.npz", "frame": "X.npz"}


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
        kind = "table" if rows.is_pandas else "polars"
        store_table(rows.native(slice(None)), folder / "X.parquet")
    elif isinstance(rows, TextRows):
        kind = f"texts in {_container(rows.texts)}"
        with _in_utf8():
            table = pd.DataFrame({"text": _text_column(rows)})
        store_table(table, folder / "X.parquet")
    elif isinstance(rows, SparseRows):
        kind = "sparse"
        sparse.save_npz(folder / "X.npz", rows.matrix)
    elif isinstance(rows, ArrayRows):
        kind = "array"
        np.save(folder / "X.npy", rows.array, allow_pickle=False)
    about = {"kind": kind, "rows": len(rows), "row_shape": shape_of(rows), "fingerprint": rows.fingerprint()}
    if kind != "outside":
        about["file"] = stamp_of(path or _stored(about, folder))
    return rows, about if path is None else {**about, "path": str(path)}


def _stored(about: Record, folder: Path) -> Path:
    """Where the pool lies in the folder."""
    return folder / FILES.get(about["kind"], "X.parquet")


def file_of(about: Record, folder: Path) -> Path | None:
    """Where the pool lies; None where it does not lie in a file."""
    if about["kind"] == "outside":
        return None
    return Path(about["path"]) if about["kind"] == "path" else _stored(about, folder)


def shape_of(rows: Rows) -> list[int]:
    """The shape of a row as its owner sees it: columns of a table, none of a text."""
    if isinstance(rows, FrameRows):
        return [len(rows.columns)]
    return [] if isinstance(rows, EncodedRows) or rows.kind == "any" else list(rows.row_shape)


def _container(texts: Any) -> str:
    return type(texts).__name__ if isinstance(texts, list | pd.Series | np.ndarray) else "list"


def _text_column(rows: TextRows) -> list[Any]:
    given = rows.native(slice(None))
    values = given.reshape(-1).tolist() if isinstance(given, np.ndarray) else list(given)
    return [value if isinstance(value, str) else None for value in values]


def _texts_again(kind: str, path: Path) -> Any:
    column = read_parquet(path)["text"].astype(object)
    values = [value if isinstance(value, str) else None for value in column.tolist()]
    if kind.endswith("Series"):
        return pd.Series(values, dtype=object)
    return np.asarray(values, dtype=object) if kind.endswith("ndarray") else values


def store_table(table: Any, path: Path) -> None:
    """A frame of pandas or polars as parquet. Raises InvalidInput for columns that no table file holds."""
    if isinstance(table, pd.DataFrame) and len({type(name) for name in table.columns}) > 1:
        raise InvalidInput(
            "the frame cannot be stored in the session: names of its columns are of several types "
            f"({shown(table.columns.tolist())}); rename them to text: X.columns = X.columns.astype(str)"
        )
    try:
        with _in_utf8():
            if isinstance(table, pd.DataFrame):
                _plain_columns(table).to_parquet(path)
            else:
                table.write_parquet(path)
    except (OSError, MemoryError, InvalidInput):
        raise
    except Exception as error:  # pyarrow and polars have many, none of which says which column it is
        raise InvalidInput(
            f"the frame cannot be stored in the session ({error}); give each column values of one type, or pass "
            "the path of a .parquet file of your own"
        ) from error


@contextlib.contextmanager
def _in_utf8() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"the pool cannot be stored in the session: {shown(error.object, 60)} holds half of a surrogate pair, "
            "which no file of UTF-8 can hold; replace it, as text.encode(errors='replace').decode() does"
        ) from error


def load_inputs(about: Record, folder: Path) -> Rows:
    """The rows that a session was created with. Raises DataMissing where they cannot be found, RunError where they are
    others by now."""
    path = file_of(about, folder)
    if path is None:
        raise DataMissing(f"{folder} does not hold its pool; pass it again: Session.open({str(folder)!r}, X)")
    if not path.exists():
        raise DataMissing(
            f"the pool of {folder} is not at {path} any more; put it back, or pass it: Session.open({str(folder)!r}, X)"
        )
    check_stamp(path, about.get("file"), folder)
    try:
        if about["kind"] in ("table", "polars"):
            return same_inputs(as_rows(_load_table(about["kind"], path)), about, folder)
        if about["kind"].startswith("texts in"):
            return same_inputs(as_rows(_texts_again(about["kind"], path)), about, folder)
        if about["kind"] == "frame":  # as version 0.1.0 stored it
            return same_inputs(as_rows(_load_frame(path)), about, folder)
        if about["kind"] == "sparse":
            check_archive(path)
            with reading(path, "a sparse matrix"):
                matrix = sparse.load_npz(path)
                matrix.check_format(full_check=True)
            return same_inputs(as_rows(matrix), about, folder)
        return same_inputs(as_rows(path), about, folder)
    except InvalidInput as error:
        raise RunError(f"{error}: put the file of then back") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({shown(str(error))}); put the file of then back") from error


def same_inputs(rows: Rows, about: Record, folder: Path) -> Rows:
    """`rows`, once they are those of the session. Raises RunError where they are not."""
    old = about["kind"] == "frame"
    if len(rows) != about["rows"] or (not old and shape_of(rows) != about["row_shape"]):
        now, then = (len(rows), *shape_of(rows)), (about["rows"], *about["row_shape"])
        raise RunError(f"got a pool of shape {now}, but {folder} was created with {then}; wanted the same rows")
    # The hash of a frame was another in version 0.1.0; its rows lie in the folder.
    if not old and rows.fingerprint() != about["fingerprint"]:
        raise RunError(
            f"the pool is of the same shape as that of {folder}, but other numbers are in it; wanted the same rows in "
            "the same order, since labels belong to rows"
        )
    return rows


def _plain_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The frame with columns of mixed values as JSON, under a name that says so: a column of a table file has one
    type."""
    made = table.copy(deep=False)
    for place, kind in enumerate(table.dtypes):
        if kind.kind == "O":
            values = [None if _gap(value) else value for value in table.iloc[:, place].tolist()]
            if len({type(value) for value in values if value is not None}) > 1:
                plain = [value.item() if isinstance(value, np.generic) else value for value in values]
                texts = [None if value is None else json.dumps(value) for value in plain]
                made.isetitem(place, np.asarray(texts, dtype=object))
                made.columns = [*made.columns[:place], f"{JSON}{made.columns[place]}", *made.columns[place + 1 :]]
    return made


def _objects(values: list[Any]) -> np.ndarray:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _gap(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _load_table(kind: str, path: Path) -> Any:
    if kind == "table":
        table = read_parquet(path)
        for place, name in enumerate(table.columns):
            if str(name).startswith(JSON):
                values = [None if text is None else json.loads(text) for text in table.iloc[:, place].tolist()]
                table.isetitem(place, _objects(values))
        return table.rename(columns=lambda name: name.removeprefix(JSON) if isinstance(name, str) else name)
    try:
        import polars
    except ImportError as error:
        raise DataMissing(f"{path} was a frame of polars; pip install polars, or pass X to Session.open") from error
    return polars.read_parquet(path)


def _path_of(X: Any) -> Path | None:
    """Where the whole of `X` lies on disk, or None."""
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


def _load_frame(path: Path) -> pd.DataFrame:
    stored = read_archive_arrays(path)
    with reading(path, "a table of version 0.1.0"):
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
