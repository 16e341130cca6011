"""Argilla's records: responses of several people, each submitted, discarded or still a draft.

Three shapes: responses by question (`to_list()`), the same flattened (`to_list(flatten=True)`, which alone has the
status of each), and a list of responses by user (its REST interface and version 1). Suggestions are no answers.
Format: https://docs.argilla.io, "Import and export datasets".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from autoal.errors import AutoALWarning, InvalidInput, shown
from autoal.session.answers import Answer
from autoal.session.formats.files import Rows
from autoal.session.formats.values import Problems, annotator_of, objects, one_label

__all__ = ["STATUSES", "is_records", "record_answers"]

STATUSES = ("submitted", "discarded", "draft")
FLAT = ".responses"


class Response(NamedTuple):
    question: str
    """Empty where a record was discarded as a whole."""
    value: Any
    user: Any
    status: Any
    """None where the export does not say."""


def is_records(rows: Rows) -> bool:
    """Whether these are records of Argilla."""
    return any(
        ("responses" in row and ("fields" in row or "suggestions" in row)) or any(key.endswith(FLAT) for key in row)
        for _, row in rows
    )


def record_answers(
    rows: Rows, *, id: str | None = None, label: str | None = None, cancelled: str = "cancelled"
) -> list[Answer]:
    """One answer for each response: a submitted one is a label, a discarded one a skip with the reason `cancelled`
    where nobody gave a label, a draft is none yet.

    The point is that of the record's `id` (or of its `external_id`; `id=` names another, also a field or metadata).
    `label=` names the question where there are several. Where an export has no status, as `to_list()` writes it, each
    response counts as submitted, with a warning.

    Raises InvalidInput, naming each record, for a status that is none of these, several labels in one response, and
    questions of which none was named.
    """
    responses = [list(_responses(row, where)) for where, row in rows]
    questions = list(dict.fromkeys(response.question for made in responses for response in made if response.question))
    if label is not None and questions and label not in questions:
        raise InvalidInput(
            f"no record has a question {shown(label)}, only {', '.join(map(shown, questions))}; say which of them "
            "holds the label with label="
        )
    if label is None and len(questions) > 1:
        raise InvalidInput(
            f"got answers to several questions ({', '.join(map(shown, questions))}); say which holds the label with "
            "label="
        )
    answers: list[Answer] = []
    problems, unsaid = Problems(), 0
    for (where, row), made in zip(rows, responses, strict=True):
        given = [response for response in made if label is None or response.question in (label, "")]
        unsaid += sum(response.status is None for response in given)
        try:
            answers += _of_record(row, f"{where}: ", given, id, cancelled)
        except InvalidInput as error:
            problems.add(error)
    problems.tell()
    if unsaid:
        warnings.warn(
            f"{unsaid} responses carry no status, and were taken as submitted, discarded ones too; export with "
            "to_list(flatten=True), which says it",
            AutoALWarning,
            stacklevel=2,
        )
    return answers


def _of_record(
    row: Mapping[str, Any], where: str, responses: list[Response], id: str | None, cancelled: str
) -> list[Answer]:
    name = _id(row, where, id) if responses else None
    place = f"{where}{shown(name, 60)}: "
    labels, skips = [], []
    for response in responses:
        if response.status is not None and response.status not in STATUSES:
            raise InvalidInput(f"{place}got the status {shown(response.status)}; wanted one of {', '.join(STATUSES)}")
        who = annotator_of(response.user, place)
        if response.status == "discarded":
            skips.append(Answer(where, name, skip=cancelled, annotator=who))
        elif response.status != "draft":
            found = one_label(response.value, place)
            if found is not None:
                labels.append(Answer(where, name, found, annotator=who))
    return labels or skips[:1]


def _id(row: Mapping[str, Any], where: str, field: str | None) -> Any:
    parts = [row, *(row[part] for part in ("metadata", "fields") if isinstance(row.get(part), Mapping))]
    for name in (field,) if field is not None else ("external_id", "id"):
        value = next((part[name] for part in parts if part.get(name) not in (None, "")), None)
        if value is not None:
            return value
    raise InvalidInput(f"{where}got no {field or 'id'}; wanted one in each record")


def _responses(row: Mapping[str, Any], where: str) -> Iterator[Response]:
    given = row.get("responses")
    if isinstance(given, Mapping):  # by question
        for question, made in given.items():
            for response in objects(made, f"{where}: responses"):
                yield Response(question, response.get("value"), response.get("user_id"), response.get("status"))
    elif given is not None:  # by user
        for response in objects(given, f"{where}: responses"):
            values = response.get("values") or {}
            if not isinstance(values, Mapping):
                raise InvalidInput(f"{where}: got responses with values {shown(values)}; wanted an object by question")
            for question, value in values.items():
                inner = value.get("value") if isinstance(value, Mapping) else value
                yield Response(question, inner, response.get("user_id"), response.get("status"))
            if not values and response.get("status") == "discarded":
                yield Response("", None, response.get("user_id"), "discarded")
    for key in row:
        if key.endswith(FLAT) and row[key] is not None:
            values = row[key] if isinstance(row[key], list) else [row[key]]
            users = _beside(row, f"{key}.users", len(values), where)
            statuses = _beside(row, f"{key}.status", len(values), where)
            for value, user, status in zip(values, users, statuses, strict=True):
                yield Response(key.removesuffix(FLAT), value, user, status)


def _beside(row: Mapping[str, Any], key: str, count: int, where: str) -> list[Any]:
    made = row.get(key)
    made = [None] * count if made is None else made if isinstance(made, list) else [made]
    if len(made) != count:
        raise InvalidInput(f"{where}: got {len(made)} entries in {key!r} for {count} responses; wanted as many")
    return made
