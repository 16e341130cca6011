"""Tasks for Label Studio, and the configuration of the page on which they are labeled.

Both are plain values, for a file or for the tool's own interface. Formats:
https://labelstud.io/guide/tasks, https://labelstud.io/guide/predictions, https://labelstud.io/tags.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote
from xml.etree import ElementTree

import pandas as pd

from autoal.encoders.containers import is_polars
from autoal.errors import InvalidInput, shown
from autoal.tasks.showing import IMAGE, READ, TEXT, Show, distinct_names, is_picture, plain, show_of, written

__all__ = ["CONTROL", "label_config", "local_address", "looks_of", "tasks_of"]

CONTROL = "label"
"""Name of the control that holds the label."""
TABLE, ROW = "table", "row"
LOCAL = "/data/local-files/?d="
TAGS = {"image": "Image", "text": "Text", "table": "Table"}
OBJECT = "item"
"""Name of the first thing on the page, which the label is of."""
OURS = ("id", "index", "utility", "row", *READ)
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What no XML holds."""


class Picked(Protocol):
    """What a task needs of a `Query`."""

    @property
    def indices(self) -> Any: ...

    @property
    def ids(self) -> Any: ...

    @property
    def utilities(self) -> Any: ...

    @property
    def votes(self) -> Mapping[str, Any]: ...


def tasks_of(
    query: Picked,
    show: Any = None,
    predictions: Any = None,
    *,
    files_root: str | Path | None = None,
    regression: bool = False,
    model_version: str = "autoal",
) -> list[dict[str, Any]]:
    """One task for each pick, best first: `{"data": {"id", "index", "utility", ...}, "meta": ..., "predictions": ...}`.

    `show` is what `show_of` takes: what there is to look at, by id; none where it is None. A field that is called as
    one of ours gets `row_` before its name. A point of several fields also has them all as the object `row`, for a
    table. Pictures on this machine, given by their whole path, become addresses of Label Studio's local storage, below
    `files_root` (by default the folder that `show` knows): there the tool is started with
    `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=<files_root>`, and the folder
    of pictures is added to the project under Settings, Cloud Storage, as "Local files".

    `predictions` is a frame with the columns id, label and confidence (where it has one), or maps an id to a label or
    to (label, confidence), confidence in 0..1; points without an entry have none. Of a `regression` the
    label is a number.

    Raises InvalidInput for a pick with nothing to look at, and for a local file that is not below `files_root`.
    """
    names = query.ids.tolist()
    given = None if show is None else show_of(names, show)
    root = Path(files_root).expanduser().absolute() if files_root is not None else given.root if given else None
    looks = {} if given is None else looks_of(given)
    called = {} if given is None else _called(given.names)
    guesses = _guesses(predictions)
    tasks = []
    for place, (name, row) in enumerate(zip(names, query.indices.tolist(), strict=True)):
        fields = {} if given is None else _addressed(given.fields[place], root)
        data = {"id": plain(name), "index": row, "utility": plain(query.utilities[row])}
        data.update({called[key]: item for key, item in fields.items()})
        if ROW in looks:
            data[ROW] = fields
        wanted = ", ".join(strategy for strategy, vote in query.votes.items() if vote[place])
        task: dict[str, Any] = {"data": data, "meta": {"rank": place + 1, "wanted_by": wanted}}
        if (guess := guesses.get(written(name))) is not None:
            task["predictions"] = [_prediction(*guess, regression, model_version)]
        tasks.append(task)
    return tasks


def looks_of(show: Any) -> dict[str, str]:
    """Field -> "image", "text" or "table", of what a page shows of points: the pictures; the text, where there is no
    other field; else all fields as a table, `row`. `show` is a `Show`, or a list of dicts of fields."""
    made = show if isinstance(show, Show) else Show([dict(fields) for fields in show])
    columns = {name: [fields.get(name) for fields in made.fields] for name in made.names}
    called = _called(columns)
    pictures = [name for name, values in columns.items() if _all(values, is_picture)]
    rest = [name for name in columns if name not in pictures]
    if len(rest) == 1 and _all(columns[rest[0]], lambda value: isinstance(value, str)):
        others = {called[rest[0]]: TEXT}
    else:
        others = {ROW: TABLE} if rest else {}
    return {**{called[name]: IMAGE for name in pictures}, **others}


def label_config(
    classes: Iterable[Any] | None, looks: str | Mapping[str, str] = TEXT, *, regression: bool = False
) -> str:
    """The labeling configuration (XML) of a project: `looks` above, one choice of `classes` (a number, in a
    `regression`) below, in the control `label`; of pictures the other way round.

    `looks` is "image", "text" or "table", or what `looks_of` gives: field -> one of them. Keys 1 to 9 choose.
    Raises InvalidInput for fewer than two classes, two that are written alike, or text that XML cannot hold.
    """
    if isinstance(looks, str):
        looks = {ROW if looks == TABLE else looks: looks}
    wrong = [kind for kind in looks.values() if kind not in TAGS]
    if wrong or not looks:
        raise InvalidInput(f"got looks={shown(dict(looks))}; wanted one or more of {', '.join(TAGS)}")
    view = ElementTree.Element("View")
    for number, (field, kind) in enumerate(looks.items()):
        name = f"{OBJECT}{number + 1}" if number else OBJECT
        ElementTree.SubElement(view, TAGS[kind], {"name": name, "value": f"${_legal(field)}"})
    target = {"name": CONTROL, "toName": OBJECT}
    if regression:
        ElementTree.SubElement(view, "Number", {**target, "required": "true"})
    else:
        control = ElementTree.SubElement(view, "Choices", {**target, "choice": "single", "required": "true"})
        for label in _written_classes(classes):
            ElementTree.SubElement(control, "Choice", {"value": _legal(label)})
    if IMAGE in looks.values():  # a picture is as high as the window: choices below it are out of sight
        view.insert(0, view[-1])
        del view[-1]
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _called(names: Iterable[str]) -> dict[str, str]:
    """Field -> its name in a task, to which the configuration can refer: letters, digits and underscores."""
    words = {name: re.sub(r"\W", "_", name) or "_" for name in names}
    alike = distinct_names(dict.fromkeys(words.values()), OURS)
    made: dict[str, str] = {}
    for name, word in words.items():
        made[name] = next(iter(distinct_names([alike[word]], made.values()).values()))
    return made


def _written_classes(classes: Iterable[Any] | None) -> list[str]:
    names = [] if classes is None else [str(plain(name)) for name in classes]
    if len(names) < 2:
        raise InvalidInput(f"got {len(names)} classes for the page of labels; wanted two or more: name them (classes=)")
    if len(set(names)) < len(names):
        raise InvalidInput(f"got classes that are written alike ({shown(names)}); wanted each once")
    return names


def _legal(text: str) -> str:
    found = FORBIDDEN.search(text)
    if found:
        raise InvalidInput(f"got {shown(text)}, which holds {found.group()!r}; wanted text that XML can hold")
    return text


def _all(values: Sequence[Any], test: Any) -> bool:
    given = [value for value in values if value is not None]
    return bool(given) and all(test(value) for value in given)


def _addressed(fields: Mapping[str, Any], root: Path | None) -> dict[str, Any]:
    """The fields with local pictures as addresses that Label Studio serves."""
    return {name: local_address(value, root) if is_picture(value) else value for name, value in fields.items()}


def local_address(value: str, root: Path | None) -> str:
    if "://" in value or value.startswith(("data:", "/data/")):
        return value
    path = Path(value)
    try:
        is_here = path.is_absolute() and path.is_file()
    except (OSError, ValueError):  # a name too long, a NUL in it
        is_here = False
    if not is_here:
        return value  # an address on the server that shows it
    if root is None:
        raise InvalidInput(
            f"got the local file {value!r}; Label Studio serves files below one folder: name it with files_root="
        )
    try:
        below = path.relative_to(root)
    except ValueError as error:
        raise InvalidInput(f"the picture {value!r} is not below files_root={str(root)!r}; name another") from error
    return LOCAL + quote(below.as_posix())


def _guesses(predictions: Any) -> dict[str, tuple[Any, float | None]]:
    """Written id -> label and confidence."""
    if predictions is None:
        return {}
    if is_polars(predictions, "DataFrame"):
        predictions = predictions.to_pandas()
    if isinstance(predictions, pd.DataFrame):
        missing = {"id", "label"} - set(predictions.columns)
        if missing:
            raise InvalidInput(
                f"got predictions with the columns {shown(list(predictions.columns))}; wanted id, label and confidence"
            )
        confidence = (
            predictions["confidence"].tolist() if "confidence" in predictions.columns else [None] * len(predictions)
        )
        triples = zip(predictions["id"].tolist(), predictions["label"].tolist(), confidence, strict=True)
        return {written(name): (plain(label), _score(score, name)) for name, label, score in triples}
    if not isinstance(predictions, Mapping):
        raise InvalidInput(f"got predictions of type {type(predictions).__name__}; wanted a frame, or a dict by id")
    made = {}
    for name, value in predictions.items():
        label, score = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        made[written(name)] = (plain(label), _score(score, name))
    return made


def _score(value: Any, name: Any) -> float | None:
    value = plain(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput(f"got the confidence {shown(value)} for {shown(name, 40)}; wanted a number in 0..1")
    return float(value)


def _prediction(label: Any, score: float | None, regression: bool, model_version: str) -> dict[str, Any]:
    kind, value = ("number", {"number": label}) if regression else ("choices", {"choices": [str(label)]})
    result: dict[str, Any] = {"from_name": CONTROL, "to_name": OBJECT, "type": kind, "value": value}
    made: dict[str, Any] = {"model_version": model_version, "result": [result]}
    if score is not None and math.isfinite(score):
        made["score"] = result["score"] = score
    return made
