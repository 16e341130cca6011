"""Files that people bring back from labelling: CSV, JSON lines, and what annotation tools export."""

from __future__ import annotations

import os
from pathlib import Path

from autoal.errors import InvalidInput, shown
from autoal.session.answers import Answer
from autoal.session.formats.argilla import is_records, record_answers
from autoal.session.formats.files import ANSWER_FILES, records
from autoal.session.formats.flat import flat_answers
from autoal.session.formats.label_studio import is_tasks, task_answers

__all__ = ["ANSWER_FILES", "read_answers"]


def read_answers(
    path: str | os.PathLike[str], *, id: str | None = None, label: str | None = None, cancelled: str = "cancelled"
) -> list[Answer]:
    """The answers in a file, in its order; points without an answer yet are passed over.

    The format is found by what is in the file, a `.csv`, a `.jsonl`, or a `.json` list of objects:

    - a field `id` and a field `label` (or y, target, class, choice, category), as a Query writes them; and Prodigy's,
      doccano's, and Label Studio's JSON-MIN and CSV: see `autoal.session.formats.flat`;
    - Label Studio's JSON: see `autoal.session.formats.label_studio`;
    - Argilla's records: see `autoal.session.formats.argilla`.

    `id=` and `label=` name other fields (of Label Studio's JSON a field of the data, and the control; of Argilla the
    question). Skips of the tools (cancelled, ignored, discarded) get the reason `cancelled`.

    Raises DataMissing where there is no file, InvalidInput, with the line or the task, where it cannot be read.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidInput(f"got {shown(path)}; wanted the path of a file of answers")
    for name, value in (("id", id), ("label", label), ("cancelled", cancelled)):
        if not isinstance(value, str) and (value is not None or name == "cancelled"):
            raise InvalidInput(f"got {name}={shown(value)}; wanted text")
    path = Path(path)
    rows = records(path)
    if is_tasks(rows):
        return task_answers(rows, id=id, label=label, cancelled=cancelled)
    if is_records(rows):
        return record_answers(rows, id=id, label=label, cancelled=cancelled)
    return flat_answers(rows, path.name, id=id, label=label, cancelled=cancelled)
