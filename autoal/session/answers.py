"""Answers of one call, read and checked together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from autoal.data.labels import label_array
from autoal.errors import AutoALError, InvalidInput, shown
from autoal.lazy import is_a
from autoal.session.ids import Ids, is_text, text_of
from autoal.session.labels import Label, LabelSpace
from autoal.session.state import OUT_OF_CLASS, State

__all__ = ["SHOWN", "Answer", "Heard", "annotator_name", "answers_of", "brief", "heard", "listed", "named"]

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
    annotator: str | None = None
    """Who answered, where that is known."""
    rejected: bool = False
    """Whether it only says which label the point has not, which tells nothing here."""
    foreign: bool = False
    """Whether the point may be somebody else's, as in a project that holds other tasks too."""
    beside: int | None = None
    """The row number that came along with the id, to be compared."""
    final: bool = False
    """Whether it counts as the truth, whatever others say."""


def listed(values: Any, what: str) -> list[Any]:
    """Ids as a list: of a Query its ids, of one id that id alone."""
    if is_a(values, "autoal.selectors.query", "Query"):
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


def answers_of(ids: Any, labels: Any, annotator: Any = None) -> list[Answer]:
    """What `tell(ids, labels, annotator=)` was given. Raises InvalidInput where there is not one label for each id, and
    one annotator for all or each."""
    if isinstance(ids, Set):
        raise InvalidInput("got a set of ids, which has no order; wanted a list, an array or a Query, as the labels")
    names = listed(ids, "ids")
    several = isinstance(labels, list | tuple | np.ndarray) or is_a(labels, "pandas", "Series")
    if isinstance(ids, str | int | np.integer) and not several:
        given = [labels]
    else:
        given = list(label_array(labels, "labels").tolist())
    if len(names) != len(given):
        raise InvalidInput(f"got {len(names)} ids and {len(given)} labels; wanted one label for each id")
    people: list[Any] = [None] * len(names) if annotator is None else listed(annotator, "annotators")
    if len(people) == 1:
        people = people * len(names)
    if len(people) != len(names):
        raise InvalidInput(f"got {len(people)} annotators for {len(names)} answers; wanted one, or one for each")
    who = [annotator_name(person) for person in people]
    return [Answer("", name, label, annotator=by) for name, label, by in zip(names, given, who, strict=True)]


def annotator_name(value: Any) -> str | None:
    """The name of whoever answered as text; None for nobody. Raises InvalidInput for what is no name."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    name = text_of(value)
    if name is None or not is_text(name) or len(name) > LONGEST:
        raise InvalidInput(
            f"got the annotator {shown(value, 60)}; wanted a name of up to {LONGEST} letters, or a number"
        )
    return name


class Heard(NamedTuple):
    """What the answers of one call say of each point."""

    rows: dict[int, list[tuple[Answer, Label | None]]]
    """Row -> its answers, with the label as the journal keeps it (None for a skip)."""
    rejected: int
    foreign: int


def heard(answers: Sequence[Answer], state: State, ids: Ids, space: LabelSpace) -> Heard:
    """The answers by point. Raises InvalidInput, naming up to five, for ids that do not exist (foreign tasks are passed
    over, unless nothing else is there), labels that cannot be, and an index that belongs to another id."""
    rows: dict[int, list[tuple[Answer, Label | None]]] = {}
    unknown: list[str] = []
    wrong: list[str] = []
    like = state.example
    rejected = foreign = 0
    for answer in answers:
        row = answer.id if answer.is_row and isinstance(answer.id, int) else ids.row(answer.id)
        name = f"{answer.where}{named(answer.id)}"
        if row is None or not 0 <= row < len(ids):
            foreign += answer.foreign
            if not answer.foreign:
                unknown.append(name)
            continue
        if answer.beside is not None and answer.beside != row:
            wrong.append(f"{name} is row {row} of this session, but the row number beside it says {answer.beside}")
            continue
        if answer.rejected:
            rejected += 1
            continue
        label = None
        try:
            if answer.skip is None:
                label = space.plain(answer.label, like)
                like = like if like is not None else label
            else:
                _check_reason(answer.skip, space)
        except AutoALError as error:
            wrong.append(f"{name}: {error}")
        rows.setdefault(row, []).append((answer, label))
    if foreign and not rows and not rejected:
        unknown += [f"{answer.where}{named(answer.id)}" for answer in answers if answer.foreign]
    if unknown:
        some = ids.of(range(min(3, len(ids))))
        raise InvalidInput(
            f"nothing was written: {len(unknown)} ids are not among the {len(ids)} of this session, e.g. "
            f"{', '.join(unknown[:SHOWN])}; wanted ids such as {', '.join(map(shown, some))}"
        )
    if wrong:
        more = f" (and {len(wrong) - SHOWN} more)" if len(wrong) > SHOWN else ""
        raise InvalidInput(f"nothing was written: {'; '.join(wrong[:SHOWN])}{more}")
    return Heard(rows, rejected, foreign)


def _check_reason(reason: str, space: LabelSpace) -> None:
    """Raises InvalidInput for a reason of a skip that no later round could use."""
    if not is_text(reason):
        raise InvalidInput(f"got reason={shown(reason)}; wanted text without NUL and lone surrogates")
    if reason == OUT_OF_CLASS and space.task == "regression":
        raise InvalidInput("got reason='ood' in a regression, which has no classes to be out of; wanted another")


def named(value: Any) -> str:
    """An id in a message."""
    return shown(value.item() if isinstance(value, np.generic) else value)


def brief(words: str) -> str:
    """Words that somebody else wrote, for a message."""
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}..."
