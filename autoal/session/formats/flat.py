"""Rows that each have a field of the id and one of the label: CSV and JSON lines, Prodigy's, doccano's, and Label
Studio's short formats (JSON-MIN, CSV).

Formats: https://prodi.gy/docs/api-interfaces, https://github.com/doccano/doccano, https://labelstud.io/guide/export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from autoal.data.labels import LABEL_COLUMNS
from autoal.errors import InvalidInput, shown
from autoal.session.answers import Answer
from autoal.session.formats.argilla import STATUSES
from autoal.session.formats.files import Rows
from autoal.session.formats.values import Problems, annotator_of, one_label, row_number

__all__ = ["CHOICES", "flat_answers"]

CHOICES = (*LABEL_COLUMNS, "choice", "choices", "category")
"""Names under which a label is looked for."""
ANNOTATORS = ("annotator", "completed_by", "_annotator_id", "_session_id")
"""Names under which whoever answered is looked for."""
SHORT_MARK = "annotation_id"
"""The column by which Label Studio's short formats are known; there the tool writes its own number over `id`."""
PRODIGY_MARKS = ("_task_hash", "_input_hash")
ANSWERS = ("accept", "reject", "ignore")
"""What Prodigy says of each example."""
DOCCANO_MARK = "Comments"
OURS = ("index", "utility")
"""Beside `id`, fields of a table that a Query wrote."""


class _Layout(NamedTuple):
    """Which field is what."""

    id: str
    label: str | None
    annotator: str | None
    answer: bool
    """Whether `answer` says what became of each, as Prodigy writes it."""
    status: bool
    """The same of `status`, as Argilla names it."""
    short: bool
    checked: bool
    """Whether `index` has to agree with the id."""
    doccano: bool


def flat_answers(
    rows: Rows, file: str, *, id: str | None = None, label: str | None = None, cancelled: str = "cancelled"
) -> list[Answer]:
    """The answers of rows, in their order; those without one are passed over.

    - `id` and `label` name the fields; by default `id`, and the first of CHOICES. A field `skip` that is not empty
      holds the reason of a skip. `annotator` (or completed_by, _annotator_id, _session_id) says who answered.
    - Prodigy: `answer` accept is the label (or the one choice in `accept`), ignore a skip with the reason `cancelled`,
      reject no label at all. `status` submitted, discarded, draft: a label, a skip, nothing yet.
    - doccano: a list of one label. It numbers examples itself where they were imported without an `id`; such a file is
      refused.
    - Label Studio's short formats: the point is that of the row number `index`.

    Raises InvalidInput, naming each row, for several labels of one point and an `answer` or `status` nobody knows.
    """
    present = list(dict.fromkeys(key for _, row in rows for key in row))
    if not rows:
        return []
    layout = _layout(rows, present, file, id, label)
    answers: list[Answer] = []
    problems = Problems()
    for where, row in rows:
        try:
            made = _of_row(row, f"{where}: ", layout, cancelled)
        except InvalidInput as error:
            problems.add(error)
        else:
            answers += [] if made is None else [made]
    problems.tell()
    return answers


def _layout(rows: Rows, present: Sequence[str], file: str, id: str | None, label: str | None) -> _Layout:
    short = id is None and {SHORT_MARK, "index"} <= set(present)
    if id is None and DOCCANO_MARK in present and "index" not in present:
        raise InvalidInput(
            f"{file} looks like an export of doccano, which numbers examples itself, and its rows have no index of "
            "ours; import the table that a Query wrote (its columns come back), or name the field of the id with id="
        )
    id_field = id or ("index" if short else "id")
    for wanted, what in ((id_field, "id"), (label, "label")):
        if wanted is not None and wanted not in present:
            raise InvalidInput(
                f"{file} has no field {shown(wanted)}, only {shown(present)}; say which holds the {what} with {what}="
            )
    label_field = label or next((field for field in CHOICES if field in present), None)
    answer = label_field != "answer" and _speaks(rows, "answer", ANSWERS, present, PRODIGY_MARKS)
    status = label_field != "status" and _speaks(rows, "status", STATUSES, present, ())
    if label_field is None and "skip" not in present and not (answer and "accept" in present):
        raise InvalidInput(
            f"{file} has none of the fields {', '.join(CHOICES)}, only {shown(present)}; "
            "say which holds the label with label="
        )
    names = (field for field in ANNOTATORS if field in present and field not in (id_field, label_field))
    checked = id is None and not short and set(OURS) <= set(present)
    return _Layout(id_field, label_field, next(names, None), answer, status, short, checked, DOCCANO_MARK in present)


def _speaks(rows: Rows, field: str, words: Sequence[str], present: Sequence[str], marks: Sequence[str]) -> bool:
    """Whether a field holds what a tool says of its examples, and not something of the user's own."""
    if field not in present:
        return False
    return any(mark in present for mark in marks) or any(_word(row.get(field)) in words for _, row in rows)


def _word(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else "" if value is None else str(value)


def _of_row(row: Mapping[str, Any], where: str, layout: _Layout, cancelled: str) -> Answer | None:
    value = row.get(layout.id)
    if value is None or value == "":
        raise InvalidInput(f"{where}got no {layout.id}; wanted one in each row")
    if layout.short:
        value = row_number(value, where)
    place = f"{where}{shown(value, 60)}: "
    beside = None
    if layout.checked and row.get("index") not in (None, ""):
        beside = row_number(row["index"], place)
    who = annotator_of(row.get(layout.annotator), place) if layout.annotator else None
    base = Answer(where, value, is_row=layout.short, annotator=who, beside=beside, foreign=layout.short)
    said = _said(row, layout, place)
    if said in ("reject", "draft"):
        return base._replace(rejected=True) if said == "reject" else None
    if said in ("ignore", "discarded"):
        return base._replace(skip=cancelled)
    given = row.get(layout.label) if layout.label else None
    if layout.answer and "accept" in row:
        given = row["accept"] if row["accept"] is not None else given
    label = one_label(given, place)
    if layout.doccano and isinstance(given, str) and all(given.split("#")[:2]) and "#" in given:
        raise InvalidInput(
            f"{place}got the labels {shown(given)}, joined by # as doccano's CSV does; wanted one for each point "
            "(where it is one label, export JSONL)"
        )
    skip = row.get("skip")
    if skip is not None and skip is not False and str(skip).strip().lower() not in ("", "false", "0"):
        if label is not None:
            raise InvalidInput(f"{place}got a label and a skip; wanted one or the other")
        return base._replace(skip="skipped" if str(skip).strip().lower() in ("true", "1") else str(skip).strip())
    return None if label is None else base._replace(label=label)


def _said(row: Mapping[str, Any], layout: _Layout, where: str) -> str:
    """What the tool says of this row; empty where it says nothing."""
    for field, words, asked in (("answer", ANSWERS, layout.answer), ("status", STATUSES, layout.status)):
        word = _word(row.get(field)) if asked else ""
        if word and word not in words:
            raise InvalidInput(f"{where}got {field} {shown(row[field])}; wanted one of {', '.join(words)}")
        if word and word not in ("accept", "submitted"):
            return word
    return ""
