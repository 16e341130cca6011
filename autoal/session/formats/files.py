"""The records of a file, each with its place for messages."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from autoal.errors import DataMissing, InvalidInput, shown
from autoal.formulas import restored

__all__ = ["ANSWER_FILES", "Rows", "from_json", "records"]

ANSWER_FILES = (".csv", ".jsonl", ".json")
Rows = list[tuple[str, dict[str, Any]]]
"""Place, as `a.csv, line 3`, and the fields there."""


def records(path: Path) -> Rows:
    """Every record of a `.csv`, of a `.jsonl`, or of a `.json` list of objects. Raises DataMissing where there is no
    file, InvalidInput, with the line, where it cannot be read."""
    kind = path.suffix.lower()
    if kind not in ANSWER_FILES:
        raise InvalidInput(f"got {str(path)!r}; wanted a file of answers: {', '.join(ANSWER_FILES)}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{str(path)!r} is not UTF-8 text ({error}); save it as UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataMissing(f"{str(path)!r} cannot be read ({error}); check the path") from error
    if kind == ".csv":
        return _csv_rows(text, path.name)
    if kind == ".jsonl":
        return _jsonl_rows(text, path.name)
    content = from_json(text, path.name, "; for one object a line use .jsonl")
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise InvalidInput(f"{path.name} holds {type(content).__name__}; wanted a list of objects, one for each point")
    what = "task" if any(isinstance(row.get("data"), dict) for row in content) else "item"
    return [(f"{path.name}, {what} {number}", row) for number, row in enumerate(content, 1)]


def _csv_rows(text: str, name: str) -> Rows:
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
            fields = {restored(str(key).strip()): restored(value.strip()) for key, value in row.items()}
            rows.append((f"{name}, line {reader.line_num}", fields))
    except csv.Error as error:
        raise InvalidInput(f"{name}, line {reader.line_num}: {error}; wanted comma-separated values") from error
    if not reader.fieldnames:
        raise InvalidInput(f"{name} is empty; wanted a first line with the names of columns")
    columns = [restored(column.strip()) for column in reader.fieldnames]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise InvalidInput(f"{name} has more than one column named {shown(twice)}; rename or remove them")
    return rows


def _jsonl_rows(text: str, name: str) -> Rows:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = from_json(line, f"{name}, line {number}")
        if not isinstance(row, dict):
            raise InvalidInput(f"{name}, line {number} holds {type(row).__name__}; wanted an object with id and label")
        rows.append((f"{name}, line {number}", row))
    return rows


def from_json(text: str, where: str, hint: str = "") -> Any:
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
