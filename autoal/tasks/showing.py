"""What there is to look at of each point: fields by name, in whatever container they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoal.data.frames import ArrayTableRows, FrameRows
from autoal.data.indices import text_of
from autoal.data.items import ObjectRows
from autoal.data.rows import Rows
from autoal.data.sources import IMAGE_SUFFIXES, picture_files
from autoal.data.texts import TextRows
from autoal.encoders.containers import is_polars
from autoal.errors import InvalidInput, RunError, shown

__all__ = [
    "IMAGE",
    "READ",
    "TEXT",
    "Show",
    "distinct_names",
    "is_picture",
    "plain",
    "show_of",
    "show_pool",
    "show_rows",
    "written",
]

IMAGE, TEXT = "image", "text"
READ = ("label", "skip", "answer", "status", "annotator", "annotation_id")
"""Fields that are looked at when answers come back, and so cannot be columns of the rows."""
LONGEST = 4096
"""Characters of a path or URL."""
NAMED = 5
"""Points named in one message."""


@dataclass(frozen=True)
class Show:
    """Fields of points, one dict a point, of values that JSON knows."""

    fields: Sequence[dict[str, Any]]
    root: Path | None = None
    """The folder below which local files lie, as far as they are served."""

    def __len__(self) -> int:
        return len(self.fields)

    @property
    def names(self) -> list[str]:
        """Every field that some point has, in order."""
        return list(dict.fromkeys(name for fields in self.fields for name in fields))


def show_of(ids: Any, data: Any, *, root: Path | None = None) -> Show:
    """The fields of the points `ids` (b,), in their order.

    `data` maps an id to its fields (a dict), or to one value (a text, or the path or URL of a picture); or it is a
    Series, or a frame of pandas or polars, of one row a point, whose ids are its column `id` where it has one, else its
    index. Ids go by how they are written, so that 7 and "7" are the same. `Show` is taken as it is.

    Raises InvalidInput for a point without an entry, an id with several, and values that no task can hold.
    """
    names = list(ids.tolist() if hasattr(ids, "tolist") else ids)
    if isinstance(data, Show):
        if len(data) != len(names):
            raise InvalidInput(f"got fields of {len(data)} points for {len(names)}; wanted as many")
        return data
    known = _entries(data)
    missing = [name for name in names if written(name) not in known]
    if missing:
        listed = ", ".join(shown(name, 40) for name in missing[:NAMED])
        others = ", ".join(shown(name, 40) for name in list(known)[:3]) or "none"
        raise InvalidInput(
            f"{len(missing)} of {len(names)} points have nothing to look at, e.g. {listed}; wanted an entry for each "
            f"id (there are {len(known)}: {others}, ...)"
        )
    return Show([_fields(known[written(name)], name) for name in names], root)


def show_rows(rows: Rows, indices: Any) -> Show | None:
    """What the rows themselves show: the columns of a table, texts, the fields of objects; None for numbers, pixels
    and whatever no file holds as text.

    `indices` (b,) are row numbers. Items of a Dataset are not read for it.
    """
    if not isinstance(rows, FrameRows | ArrayTableRows | TextRows | ObjectRows) or len(indices) == 0:
        return None
    part = rows.native(np.asarray(indices, dtype=np.int64))
    if isinstance(rows, FrameRows):
        frame = part.to_pandas() if not rows.is_pandas else part
        columns = [frame.iloc[:, place].tolist() for place in range(frame.shape[1])]
        names = _headed(list(map(str, rows.columns)))
        items: list[Any] = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    elif isinstance(rows, ArrayTableRows):
        items = [{f"column {place}": value for place, value in enumerate(row)} for row in part.tolist()]
    else:
        items = part.reshape(-1).tolist() if isinstance(part, np.ndarray) else list(part)
    try:
        made = [plain(item) for item in items]
    except InvalidInput:
        return None
    if isinstance(rows, ObjectRows) and not all(isinstance(item, dict) for item in made):
        return None
    return Show([item if isinstance(item, dict) else {TEXT: item} for item in made])


def show_pool(
    about: Mapping[str, Any],
    rows: Callable[[], Rows],
    indices: Any,
    files_of: Callable[[Path], list[Path]] = picture_files,
) -> Show | None:
    """What rows `indices` of a session's pool show: pictures of a folder by their whole path, else `show_rows`.

    `about` is what the manifest says of the pool; `rows` reads it, `files_of` lists a folder. Raises DataMissing where
    it is not there any more, RunError where it holds other files.
    """
    if about["kind"] == "path" and (folder := Path(about["path"])).is_dir():
        files = files_of(folder)
        if len(files) != about["rows"]:
            raise RunError(
                f"{folder} holds {len(files)} pictures, and {about['rows']} then; put the files of then back"
            )
        return Show([{IMAGE: str(files[row])} for row in indices], folder.parent)
    if about["kind"] in ("array", "sparse") or str(about.get("path", "")).endswith(".npy"):
        return None
    return show_rows(rows(), indices)


def _headed(names: list[str]) -> list[str]:
    """Names of columns, each once."""
    made: list[str] = []
    for name in names:
        made.append(next(iter(distinct_names([name], made).values())))
    return made


def is_picture(value: Any) -> bool:
    """Whether a value names a picture: a path or URL that ends as pictures do, or the data of one."""
    if not isinstance(value, str) or not value:
        return False
    if value.startswith("data:image/"):
        return True
    if "\n" in value or len(value) > LONGEST:
        return False
    address = value.split("?d=")[-1].split("?")[0].split("#")[0]  # of a URL, without what is asked of it
    return any(Path(path).suffix.lower() in IMAGE_SUFFIXES for path in (value, address))


def distinct_names(names: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Each of `names` -> what it is called beside those `taken`: itself, or with `row_` before it until it is free."""
    made: dict[str, str] = {}
    used = {*names, *taken}
    for name in names:
        other = name
        if name in taken:
            while other in used:
                other = f"row_{other}"
            used.add(other)
        made[name] = other
    return made


def plain(value: Any) -> Any:
    """A value as JSON has it: gaps are None, dates and paths text. Raises InvalidInput for what has no such form."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, pd.Timestamp):
        return plain(value.tolist())
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if type(value).__name__ in ("Decimal", "Interval", "Period", "Timedelta", "timedelta", "UUID"):
        return str(value)
    raise InvalidInput(
        f"got a value of type {type(value).__name__} to look at; wanted text, a number, or the path or URL of a picture"
    )


def _entries(data: Any) -> dict[str, Any]:
    """Written id -> what was given for it."""
    default = None
    if is_polars(data, "DataFrame") or is_polars(data, "Series"):
        data = data.to_pandas()
    if isinstance(data, pd.Series):
        keys, values = data.index.tolist(), data.tolist()
        default = data.name if isinstance(data.name, str) and data.name else None
    elif isinstance(data, pd.DataFrame):
        frame = data.rename(columns=str)
        if frame.columns.has_duplicates:
            twice = frame.columns[frame.columns.duplicated()].tolist()
            raise InvalidInput(f"got a frame with more than one column {shown(twice[:NAMED])}; rename them")
        keys = frame.pop("id").tolist() if "id" in frame.columns else frame.index.tolist()
        # By columns: a row of a frame as one array would make floats of its integers.
        columns = {name: frame[name].tolist() for name in frame.columns}
        values = [{name: column[place] for name, column in columns.items()} for place in range(len(frame))]
    elif isinstance(data, Mapping):
        keys, values = list(data), list(data.values())
    else:
        raise InvalidInput(
            f"got data of type {type(data).__name__}; wanted a dict of id to fields, a Series, or a frame with a "
            "column 'id' or the ids as its index"
        )
    known: dict[str, Any] = {}
    for key, value in zip(keys, values, strict=True):
        name = written(key)
        if name in known:
            raise InvalidInput(f"got more than one entry for the id {shown(key, 40)}; wanted one")
        known[name] = {default: value} if default is not None and not isinstance(value, Mapping) else value
    return known


def written(name: Any) -> str:
    """How an id is told apart: by how it is written."""
    return text_of(name) or repr(name)


def _fields(value: Any, name: Any) -> dict[str, Any]:
    try:
        made = plain(value)
    except InvalidInput as error:
        raise InvalidInput(f"{shown(name, 40)}: {error}") from error
    if not isinstance(made, dict):
        made = {IMAGE if is_picture(made) else TEXT: made}
    made = {key: item for key, item in made.items() if not (key == "id" and text_of(item) == text_of(name))}
    if not made:
        raise InvalidInput(f"{shown(name, 40)} has an entry without fields; wanted something to look at")
    return made
