"""The lines of a run: what a round may say, and the journal of all cells as it is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic import ValidationError as Invalid

from autoal.disk import digest, dumps, loads, read_jsonl, write_atomic
from autoal.errors import RunError, shown
from autoal.journal import read_lines, split_journals

__all__ = ["check_round", "read_run", "write_run"]

Record = dict[str, Any]
Count = Annotated[StrictInt, Field(ge=0)]
Number = StrictFloat | StrictInt | None
AGAIN = "run the same command again, which makes it anew from the cells"


class Round(BaseModel):
    """One finished round of a cell, as versions that wrote no hashes left it too."""

    model_config = ConfigDict(extra="forbid")
    dataset: StrictStr
    selector: StrictStr
    seed: StrictInt
    round: Count
    labels: Count
    labeled: Count
    rejected: Count = 0
    value: Number
    metric: StrictStr = "accuracy"
    metrics: dict[str, Number] = {}
    picked: list[StrictInt | StrictStr] | None = None
    weights: dict[str, Number] = {}
    votes: dict[str, Any] = {}
    diagnostics: dict[str, Any] = {}
    stopping: Any = None
    last: StrictBool


def check_round(record: Record) -> None:
    """Raises ValueError, in a few words, for a line that no version writes."""
    try:
        Round.model_validate(record)
    except Invalid as error:
        first = error.errors()[0]
        where = shown(".".join(map(str, first["loc"])), 60)
        if first["type"] == "extra_forbidden":
            raise ValueError(f"{where}, which this version does not know") from error
        said = "is missing" if first["type"] == "missing" else f"is {shown(first['input'], 40)}"
        raise ValueError(f"a value that does not belong there: {where} {said}") from error


def write_run(path: Path, content: bytes) -> None:
    """The journal of a run, whole or absent, and beside it what shows that it is as it was written."""
    head = _head(path)
    head.unlink(missing_ok=True)  # one of other lines would accuse the new ones
    write_atomic(path, content)
    write_atomic(head, dumps({"bytes": len(content), "hash": digest(content)}) + "\n")


def read_run(folder: Path) -> list[Record]:
    """The lines of all cells of the run in `folder`. Raises RunError where there is no journal, or where it is not as
    it was written."""
    path = folder / "journal.jsonl"
    if not path.is_file():
        raise RunError(f"{path} is not there; finish the run first: the same command continues it")
    content = path.read_bytes()
    if _head(path).is_file():
        try:
            says = loads(_head(path).read_bytes())
            whole = says["bytes"] == len(content) and says["hash"] == digest(content)
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            for part in split_journals(content):
                read_lines(part, path, None, AGAIN)
            raise RunError(f"{path} is not as it was written (lines are gone, or more, or changed): {AGAIN}")
    elif _wants_head(folder):
        raise RunError(f"{_head(path)}, which shows that {path.name} is as it was written, is gone: {AGAIN}")
    records, good = read_jsonl(path, AGAIN)
    if good < len(content):  # it was written at once
        raise RunError(f"{path} ends in the middle of a line; the file was changed from outside: {AGAIN}")
    if not records:
        raise RunError(f"{path} holds no finished cell; see failures.jsonl beside it")
    for record in records:
        for key in ("of", "line", "hash"):
            record.pop(key, None)
    return records


def _head(path: Path) -> Path:
    return path.with_name("journal.head")


def _wants_head(folder: Path) -> bool:
    """Whether a version that writes heads began this run."""
    try:
        return bool(loads((folder / "manifest.json").read_bytes())["format"] >= 2)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
