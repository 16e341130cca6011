"""Files that people bring back from labelling: CSV, JSON lines, and what Label Studio exports."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoal.data.files import LABEL_COLUMNS
from autoal.errors import SHOWN, DataMissing, InvalidInput, shown
from autoal.session.answers import Answer
from autoal.session.ids import DIGITS, text_of

__all__ = ["ANSWER_FILES", "read_answers"]

ANSWER_FILES = (".csv", ".jsonl", ".json")
CHOICES = (*LABEL_COLUMNS, "choice", "choices", "category")
"""Names under which a label is looked for."""
RESULTS = ("choices", "number", "rating", "text", "taxonomy", "labels")
"""Fields of a Label Studio result that may hold a label."""
WRAPPED = 8
"""Lists and objects around one label, at most."""
SHORT_MARK = "annotation_id"
"""The column by which Label Studio's short formats (JSON-MIN, CSV) are known."""


def read_answers(
    path: str | os.PathLike[str], *, id: str | None = None, label: str | None = None, cancelled: str = "cancelled"
) -> list[Answer]:
    """The answers in a file, in its order; points without an answer yet are passed over.

    - `.csv`, `.jsonl`, or a `.json` list of objects: a field `id` and a field `label` (or y, target, class, choice,
      category; `id=` and `label=` name others). A field `skip` that is not empty holds the reason of a skip.
    - Label Studio's JSON export: the id is that of the task's `data`, as `Query.to_label_studio` wrote it; the label is
      the one choice (or number, rating, text) of its annotations, of those marked as ground truth where there are any.
      Where a task has only cancelled annotations, the point is skipped, with `cancelled` as the reason. `label=` names
      the control (`from_name`) where there are several.
    - Label Studio's JSON-MIN and CSV exports. There the tool writes its own number over `id`, so the field `index` of
      the task is read instead.

    Raises DataMissing where there is no file, InvalidInput, with the line or the task, where it cannot be read.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidInput(f"got {shown(path)}; wanted the path of a file of answers")
    for name, value in (("id", id), ("label", label), ("cancelled", cancelled)):
        if not isinstance(value, str) and (value is not None or name == "cancelled"):
            raise InvalidInput(f"got {name}={shown(value)}; wanted text")
    path = Path(path)
    if path.suffix.lower() not in ANSWER_FILES:
        raise InvalidInput(f"got {str(path)!r}; wanted a file of answers: {', '.join(ANSWER_FILES)}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{str(path)!r} is not UTF-8 text ({error}); save it as UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataMissing(f"{str(path)!r} cannot be read ({error}); check the path") from error
    if path.suffix.lower() == ".csv":
        return _flat(_csv_rows(text, path.name), path.name, id, label)
    if path.suffix.lower() == ".jsonl":
        return _flat(_jsonl_rows(text, path.name), path.name, id, label)
    content = _from_json(text, path.name, "; for one object a line use .jsonl")
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise InvalidInput(f"{path.name} holds {type(content).__name__}; wanted a list of objects, one for each point")
    if any("data" in task for task in content):
        answers = (
            _task_answer(task, f"{path.name}, task {n}: ", label, cancelled) for n, task in enumerate(content, 1)
        )
        return [answer for answer in answers if answer is not None]
    return _flat([(f"item {n}", row) for n, row in enumerate(content, 1)], path.name, id, label)


def _csv_rows(text: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InvalidInput(
                    f"{name}, line {reader.line_num}: got more or fewer fields than the first line, which has "
                    f"{len(reader.fieldnames or ())}; put text that holds {delimiter!r} into quotes"
                )
            rows.append((f"line {reader.line_num}", {str(key).strip(): value.strip() for key, value in row.items()}))
    except csv.Error as error:
        raise InvalidInput(f"{name}, line {reader.line_num}: {error}; wanted comma-separated values") from error
    if not reader.fieldnames:
        raise InvalidInput(f"{name} is empty; wanted a first line with the names of columns")
    columns = [column.strip() for column in reader.fieldnames]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise InvalidInput(f"{name} has more than one column named {shown(twice)}; rename or remove them")
    return rows


def _jsonl_rows(text: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = _from_json(line, f"{name}, line {number}")
        if not isinstance(row, dict):
            raise InvalidInput(f"{name}, line {number} holds {type(row).__name__}; wanted an object with id and label")
        rows.append((f"line {number}", row))
    return rows


def _flat(
    rows: Sequence[tuple[str, Mapping[str, Any]]], name: str, id_field: str | None, label_field: str | None
) -> list[Answer]:
    """Answers of rows that each have a field of the id and one of the label."""
    present = list(dict.fromkeys(key for _, row in rows for key in row))
    if not rows:
        return []
    short = id_field is None and {SHORT_MARK, "index"} <= set(present)
    id_field = id_field or ("index" if short else "id")
    for wanted, what in ((id_field, "id"), (label_field, "label")):
        if wanted is not None and wanted not in present:
            raise InvalidInput(
                f"{name} has no field {shown(wanted)}, only {shown(present)}; say which holds the {what} with {what}="
            )
    label_field = label_field or next((field for field in CHOICES if field in present), None)
    if label_field is None and "skip" not in present:
        raise InvalidInput(
            f"{name} has none of the fields {', '.join(CHOICES)}, only {shown(present)}; "
            "say which holds the label with label="
        )
    answers = []
    for where, row in rows:
        where = f"{name}, {where}: "
        value = row.get(id_field)
        if value is None or value == "":
            raise InvalidInput(f"{where}got no {id_field}; wanted one in each row")
        if short:
            value = _row_number(value, where)
        label = _one(row.get(label_field) if label_field else None, where)
        skip = row.get("skip")
        if skip is not None and skip is not False and str(skip).strip().lower() not in ("", "false", "0"):
            if label is not None:
                raise InvalidInput(f"{where}got a label and a skip; wanted one or the other")
            reason = "skipped" if skip is True or str(skip).strip().lower() in ("true", "1") else str(skip).strip()
            answers.append(Answer(where, value, skip=reason, is_row=short))
        elif label is not None:
            answers.append(Answer(where, value, label, is_row=short))
    return answers


def _row_number(value: Any, where: str) -> int:
    text = text_of(value)
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
        raise InvalidInput(f"{where}got index {shown(value)}; wanted the row number that the task came with")
    return int(text)


def _task_answer(task: Mapping[str, Any], where: str, control: str | None, cancelled: str) -> Answer | None:
    """The answer of one task of Label Studio's JSON; None where there is none yet."""
    data = task.get("data")
    data = data if isinstance(data, dict) else {}
    value, is_row = (data["id"], False) if data.get("id") is not None else (data.get("index"), True)
    if value is None:
        raise InvalidInput(f"{where}got no id in its data; wanted tasks that Query.to_label_studio has written")
    if is_row:
        value = _row_number(value, where)
    annotations = _objects(task.get("annotations", task.get("completions")), f"{where}annotations")
    given = [made for made in annotations if not made.get("was_cancelled", made.get("skipped", False))]
    given = [made for made in given if made.get("ground_truth")] or given
    found = {label for made in given for label in [_annotated(made, where, control)] if label is not None}
    if len(found) > 1:
        raise InvalidInput(
            f"{where}its annotators disagree ({', '.join(sorted(map(shown, found))[:5])}); "
            "mark one annotation as ground truth, or leave the task out"
        )
    if found:
        return Answer(where, value, found.pop(), is_row=is_row)
    if annotations and not given:
        return Answer(where, value, skip=cancelled, is_row=is_row)
    return None


def _annotated(made: Mapping[str, Any], where: str, control: str | None) -> Any:
    """The label in one annotation; None where it is empty."""
    results = _objects(made.get("result"), f"{where}result")
    values = [
        result["value"][kind]
        for result in results
        if isinstance(result.get("value"), dict) and control in (None, result.get("from_name"))
        for kind in RESULTS
        if kind in result["value"]
    ]
    if len(values) > 1:
        names = ", ".join(dict.fromkeys(str(result.get("from_name")) for result in results))[:SHOWN]
        raise InvalidInput(f"{where}got {len(values)} results ({names}); say which control holds the label with label=")
    return _one(values[0], where) if values else None


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    """A list of JSON objects; none where there is nothing."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise InvalidInput(f"{where} holds {shown(value)}; wanted a list of objects, as Label Studio exports them")
    return value


def _one(value: Any, where: str) -> Any:
    """A label that may come wrapped, as in ["oak"] or {"choices": ["oak"]}; None for an empty one."""
    for _ in range(WRAPPED):
        if isinstance(value, Mapping):
            kind = next((kind for kind in RESULTS if kind in value), None)
            if kind is None:
                raise InvalidInput(f"{where}got {shown(dict(value))} as a label; wanted text or a number")
            value = value[kind]
        elif isinstance(value, list):
            if len(value) > 1:
                raise InvalidInput(f"{where}got {len(value)} labels {shown(value[:4])}; wanted one for each point")
            value = value[0] if value else None
        elif isinstance(value, str):
            value = value.strip()
            with_json = _parsed(value, where) if value.startswith(('{"', "[{")) else None
            if with_json is None:
                return value or None
            value = with_json  # Label Studio's CSV writes what is not simple as JSON
        else:
            return None if value is None or value != value else value
    raise InvalidInput(f"{where}got a label in more than {WRAPPED} brackets; wanted text or a number")


def _parsed(text: str, where: str) -> Any:
    try:
        return _from_json(text, where)
    except InvalidInput:
        return None


def _from_json(text: str, where: str, hint: str = "") -> Any:
    """The value of JSON text. Raises InvalidInput for anything that is none, and for an object with a name twice."""
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error
    except (ValueError, RecursionError) as error:  # ValueError: also an integer of thousands of digits
        raise InvalidInput(f"{where} is not JSON: {error}{hint}") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InvalidInput(f"got an object with more than one {shown(twice)}; wanted each name once")
    return made
