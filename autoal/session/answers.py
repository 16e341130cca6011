"""Answers of one call, checked together: either all of them go into the journal, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autoal.data.labels import label_array
from autoal.errors import AutoALError, InvalidInput, shown
from autoal.selectors import Query
from autoal.session.ids import Ids, is_text
from autoal.session.labels import Label, LabelSpace
from autoal.session.state import OUT_OF_CLASS, Record, State, Told

__all__ = ["Answer", "answers_of", "listed", "settle"]

SHOWN = 5
"""Mistakes named in one message."""
LONGEST = 200
"""Characters of an answer in a message."""


class Answer(NamedTuple):
    """A label, or a skip, as it came in."""

    where: str
    """For messages, as in `leaves.csv, line 3: `; empty where the id says it all."""
    id: Any
    label: Any = None
    skip: str | None = None
    """Reason, where the point was skipped."""
    is_row: bool = False
    """Whether `id` is a row number whatever the ids are."""


def listed(values: Any, what: str) -> list[Any]:
    """Ids as a list: of a Query its ids, of one id that id alone."""
    if isinstance(values, Query):
        return list(values.ids.tolist())
    if isinstance(values, str | int | np.integer):
        return [values]
    if isinstance(values, bytes | bytearray | memoryview | Mapping) or hasattr(values, "columns"):
        # A list of these would be of other things than were meant.
        raise InvalidInput(f"got {what} of type {type(values).__name__}; wanted a list, an array or a Query")
    try:
        return list(values.tolist() if hasattr(values, "tolist") else values)
    except Exception as error:  # each kind of array has its own
        raise InvalidInput(f"got {what} of type {type(values).__name__}; wanted a list, an array or a Query") from error


def answers_of(ids: Any, labels: Any) -> list[Answer]:
    """What `tell(ids, labels)` was given. Raises InvalidInput where there is not one label for each id."""
    if isinstance(ids, Set):
        raise InvalidInput("got a set of ids, which has no order; wanted a list, an array or a Query, as the labels")
    names = listed(ids, "ids")
    if isinstance(ids, str | int | np.integer) and not isinstance(labels, list | tuple | np.ndarray | pd.Series):
        given = [labels]
    else:
        given = list(label_array(labels, "labels").tolist())
    if len(names) != len(given):
        raise InvalidInput(f"got {len(names)} ids and {len(given)} labels; wanted one label for each id")
    return [Answer("", name, label) for name, label in zip(names, given, strict=True)]


def settle(
    answers: Sequence[Answer], state: State, ids: Ids, space: LabelSpace, *, correct: bool, hint: str
) -> tuple[Record | None, Told]:
    """The line of the journal that holds what is new in these answers (None where nothing is), and what they came to.

    With `correct` a label may replace another, and a skip a label. Raises InvalidInput, naming up to five of them, for
    ids that do not exist, labels that cannot be, and answers that contradict the journal or one another; `hint` says
    how to correct.
    """
    rows, labels = _read(answers, state, ids, space)
    told: dict[int, Label] = {}
    skips: dict[int, str] = {}
    said: dict[int, str] = {}
    repeated = corrected = 0
    conflicts: list[str] = []
    for answer, row, label in zip(answers, rows, labels, strict=True):
        name = f"{answer.where}{_named(answer.id)}"
        known = state.labels.get(row)
        meant = f"label {label!r}" if answer.skip is None else f"skip {answer.skip!r}"
        if said.setdefault(row, meant) != meant:
            conflicts.append(f"{name} is answered twice in this call: {_brief(said[row])} and {_brief(meant)}")
            continue
        if label is None and answer.skip is not None:
            if known is not None and not correct:
                conflicts.append(f"{name} has the label {shown(known)} and is skipped here")
            repeated += state.skipped.get(row) == answer.skip
            if state.skipped.get(row) != answer.skip:
                skips[row] = answer.skip
        elif label is not None:
            if known is not None and known != label:
                if not correct:
                    conflicts.append(f"{name} has the label {shown(known)}, and not {shown(label)}")
                corrected += row not in told
            repeated += known == label
            if known != label:
                told[row] = label
    if conflicts:
        more = f" (and {len(conflicts) - SHOWN} more)" if len(conflicts) > SHOWN else ""
        raise InvalidInput(f"nothing was written: {'; '.join(conflicts[:SHOWN])}{more}; to correct an answer {hint}")
    if not told and not skips:
        return None, Told(0, repeated, 0, 0)
    record: Record = {"event": "tell", "ids": ids.of(told), "labels": list(told.values())}
    if skips:
        record["skips"] = [list(pair) for pair in zip(ids.of(skips), skips.values(), strict=True)]
    return record, Told(len(told) - corrected, repeated, corrected, len(skips))


def _read(answers: Sequence[Answer], state: State, ids: Ids, space: LabelSpace) -> tuple[list[int], list[Label | None]]:
    """The row of each answer, and its label (None for a skip)."""
    rows: list[int] = []
    labels: list[Label | None] = []
    unknown: list[str] = []
    wrong: list[str] = []
    like = state.example
    for answer in answers:
        row = answer.id if answer.is_row and isinstance(answer.id, int) else ids.row(answer.id)
        if row is None or not 0 <= row < len(ids):
            unknown.append(f"{answer.where}{_named(answer.id)}")
            continue
        label = None
        try:
            if answer.skip is None:
                label = space.plain(answer.label, like)
                like = like if like is not None else label
            else:
                _check_reason(answer.skip, space)
        except AutoALError as error:
            wrong.append(f"{answer.where}{_named(answer.id)}: {error}")
        rows.append(row)
        labels.append(label)
    if unknown:
        some = ids.of(range(min(3, len(ids))))
        raise InvalidInput(
            f"nothing was written: {len(unknown)} ids are not among the {len(ids)} of this session, e.g. "
            f"{', '.join(unknown[:SHOWN])}; wanted ids such as {', '.join(map(shown, some))}"
        )
    if wrong:
        more = f" (and {len(wrong) - SHOWN} more)" if len(wrong) > SHOWN else ""
        raise InvalidInput(f"nothing was written: {'; '.join(wrong[:SHOWN])}{more}")
    return rows, labels


def _check_reason(reason: str, space: LabelSpace) -> None:
    """Raises InvalidInput for a reason of a skip that no later round could use."""
    if not is_text(reason):
        raise InvalidInput(f"got reason={shown(reason)}; wanted text without NUL and lone surrogates")
    if reason == OUT_OF_CLASS and space.task == "regression":
        raise InvalidInput("got reason='ood' in a regression, which has no classes to be out of; wanted another")


def _named(value: Any) -> str:
    """An id in a message."""
    return shown(value.item() if isinstance(value, np.generic) else value)


def _brief(words: str) -> str:
    """Words that somebody else wrote, for a message."""
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}..."
