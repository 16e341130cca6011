"""What a journal amounts to: labels, pending and skipped points, rounds. The same lines give the same state."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from autoal.errors import InvalidInput, RunError, UnknownName
from autoal.journal import Damage
from autoal.session.ids import Ids
from autoal.session.labels import Label, LabelSpace

__all__ = ["BEGINNING", "DISAGREEMENT", "OUT_OF_CLASS", "Record", "State", "Told", "checked_state", "replayed"]

Record = dict[str, Any]
BEGINNING = "create"
"""Source of the labels that a session was made with."""
DISAGREEMENT = "disagreement"
"""Reason of a skip that says: annotators differ, and nobody has decided."""
OUT_OF_CLASS = "ood"
"""Reason of a skip that says: this point belongs to none of the classes."""


class Told(NamedTuple):
    """What became of the answers of one call."""

    new: int
    """Labels of points that had none."""
    repeated: int
    """Answers that were known already."""
    corrected: int
    """Labels that replaced another."""
    skipped: int
    """Points newly skipped."""
    disagreed: int = 0
    """Points whose answers differ, and were left out or decided (they are counted above too)."""
    rejected: int = 0
    """Answers that only say which label a point has not; they teach nothing."""
    foreign: int = 0
    """Answers to tasks of somebody else's, passed over."""


class Before(NamedTuple):
    """How a point stood before an answer, for taking that answer back."""

    row: int
    label: Label | None
    reason: str | None
    """Of a skip."""
    pending: int | None
    """The round whose answer was waited for."""
    place: int
    """Where it stood among the labels or skips, which are kept in order."""
    rounds: int
    """Batches asked for by then."""
    voted: bool
    """Whether its answer followed from votes."""


class State:
    """Everything is counted in rows of the pool."""

    def __init__(self) -> None:
        self.labels: dict[int, Label] = {}
        """In the order they were told."""
        self.skipped: dict[int, str] = {}
        """Reason of each."""
        self.votes: dict[int, dict[str, Label]] = {}
        """What each annotator said of a point, as far as they are named."""
        self.voted: set[int] = set()
        """Points whose label, or skip, follows from the votes."""
        self.pending: dict[int, int] = {}
        """The round that asked for each, in the order of asking."""
        self.asked: dict[int, int] = {}
        """The latest round that asked for each point, answered or not."""
        self.asks: list[Record] = []
        self.answers: list[Before] = []
        """What each answer that still stands replaced, in the order they were given; not of the labels that a session
        began with."""
        self.lines = 0
        """Of the journal, that this is the state after."""
        self.checkpoint = "start"
        """Name of what the search remembers."""
        self.saved: str | None = None
        """Its digest, where the journal holds one."""

    @property
    def taken(self) -> int:
        """Points that will not be asked for as things stand."""
        return len(self.labels) + len(self.skipped) + len(self.pending)

    def open(self, rows: Iterable[int]) -> bool:
        """Whether none of these points has an answer or is waited for."""
        return not any(row in self.labels or row in self.skipped or row in self.pending for row in rows)

    @property
    def rejected(self) -> list[int]:
        """Rows that belong to none of the classes."""
        return sorted(row for row, reason in self.skipped.items() if reason == OUT_OF_CLASS)

    @property
    def example(self) -> Label | None:
        """Any label, for its type."""
        return next(iter(self.labels.values()), None)

    def apply(self, record: Record, ids: Ids) -> None:
        """One line of the journal. Raises RunError for a line that does not belong to this pool."""
        self.lines += 1
        try:
            rows = _rows(record, ids)
            if record["event"] == "ask":
                if "lines" in record:  # chosen while answers came in, perhaps of these very points
                    rows = [row for row in rows if row not in self.labels and row not in self.skipped]
                self.pending.update(dict.fromkeys(rows, len(self.asks)))
                self.asked.update(dict.fromkeys(rows, len(self.asks)))
                self.asks.append(record)
                if record.get("checkpoint", self.checkpoint) != self.checkpoint:
                    self.checkpoint, self.saved = record["checkpoint"], record.get("saved")
                return
            if record["event"] == "undo":
                if rows != self.latest(len(rows)):
                    raise ValueError("an undo of other answers than the latest")
                for _ in rows:
                    self._take_back()
                self._order_pending(ids)
                return
            voted = self._count(record, ids)
            for row, label in zip(rows, record.get("labels", [None] * len(rows)), strict=True):
                self._answer(row, label, None, row in voted)
            for value, reason in record.get("skips", []):
                row = _row(ids, value)
                self._answer(row, None, str(reason), row in voted)
            if record.get("source") == BEGINNING:
                self.answers.clear()
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"what does not belong to this session ({error!r})") from error

    def _count(self, record: Record, ids: Ids) -> set[int]:
        """The votes in a line, and which of its answers follow from votes; gives which of them did before."""
        for value, annotator, label in record.get("votes", []):
            votes = self.votes.setdefault(_row(ids, value), {})
            if label is None:  # taken back
                votes.pop(str(annotator), None)
            else:
                votes[str(annotator)] = label
            if not votes:
                del self.votes[_row(ids, value)]
        answered = [*record["ids"], *(value for value, _ in record.get("skips", []))]
        before = self.voted.intersection(_row(ids, value) for value in answered)
        self.voted -= before
        self.voted.update(_row(ids, value) for value in record.get("voted", []))
        return before

    def latest(self, count: int) -> list[int]:
        """The points of the last `count` answers, the latest first; one that was answered twice is there twice."""
        return [before.row for before in reversed(self.answers[max(len(self.answers) - count, 0) :])]

    def _answer(self, row: int, label: Label | None, reason: str | None, voted: bool) -> None:
        """A label, a skip, or with neither a label or skip that is taken back."""
        label_was, reason_was = self.labels.get(row), self.skipped.get(row)
        place = _place(self.labels, row) if label is None else 0
        place += _place(self.skipped, row) if reason is None else 0  # a point is in one of them at most
        waiting = self.pending.pop(row, None)
        self.answers.append(Before(row, label_was, reason_was, waiting, place, len(self.asks), voted))
        if label is None:
            self.labels.pop(row, None)
        else:
            self.labels[row] = label
        if reason is None:
            self.skipped.pop(row, None)
        else:
            self.skipped[row] = reason

    def _take_back(self) -> None:
        """Undoes the latest answer: all is as it was before, but for what has been asked for since."""
        before = self.answers.pop()
        row = before.row
        _restore(self.labels, row, before.label, before.place)
        _restore(self.skipped, row, before.reason, before.place)
        self.pending.pop(row, None)
        self.voted.discard(row)
        if before.voted:
            self.voted.add(row)
        if before.label is None and before.reason is None:
            since = self.asked.get(row, -1)
            number = since if since >= before.rounds else before.pending
            if number is not None:
                self.pending[row] = number

    def _order_pending(self, ids: Ids) -> None:
        """Back into the order of asking."""
        batches = {number: _rows(self.asks[number], ids) for number in set(self.pending.values())}
        order = [(number, row) for number in sorted(batches) for row in batches[number]]
        self.pending = {row: number for number, row in order if self.pending.get(row) == number}


def _rows(record: Record, ids: Ids) -> list[int]:
    return [_row(ids, value) for value in record["ids"]]


def _place(kept: dict[int, Any], row: int) -> int:
    return list(kept).index(row) if row in kept else 0


def _restore(kept: dict[int, Any], row: int, value: Any, place: int) -> None:
    """`value` where it stood; None: it was not there."""
    if value is None:
        kept.pop(row, None)
    elif row in kept:
        kept[row] = value
    else:
        pairs = list(kept.items())
        pairs.insert(place, (row, value))
        kept.clear()
        kept.update(pairs)


def _row(ids: Ids, value: Any) -> int:
    row = ids.row(value)
    if row is None:
        raise KeyError(value)
    return row


def replayed(records: Iterable[Record], ids: Ids) -> State:
    """The state after these lines, which were checked when they were read."""
    state = State()
    for record in records:
        state.apply(record, ids)
    return state


def checked_state(records: Iterable[Record], ids: Ids, space: LabelSpace, path: Path, remedy: str) -> State:
    """The state after these lines of the journal at `path`. Raises Damage, naming the line, at the first one that this
    session cannot have written: an unknown event or key, a batch out of turn, a label that is none of its labels."""
    from autoal.session.lines import check_line

    state = State()
    for number, record in enumerate(records, start=1):
        try:
            check_line(record)
            _check_turn(record, state, number)
            _check_labels(record, state, space)
            state.apply(record, ids)
        except (RunError, ValueError) as error:
            said = error.args[0] if type(error) is ValueError else str(error)
            raise Damage(
                f"{path}, line {number} holds {said}; it was changed from outside, or written by a newer version of "
                f"autoal: {remedy}",
                number,
            ) from error
    return state


def _check_turn(record: Record, state: State, number: int) -> None:
    if record["event"] != "ask":
        return
    if record["round"] != len(state.asks):
        raise ValueError(f"batch {record['round']}, where batch {len(state.asks)} is next")
    if record.get("lines", 0) >= number:
        raise ValueError("a batch chosen from lines that come after it")


def _check_labels(record: Record, state: State, space: LabelSpace) -> None:
    like = state.example
    for label in record.get("labels", ()) if record["event"] != "ask" else ():
        if label is None:
            continue
        try:
            plain = space.plain(label, like)
        except (InvalidInput, UnknownName) as error:
            raise ValueError(f"a label that is none of this session ({error})") from error
        if plain != label or (type(plain) is not type(label) and space.task != "regression"):
            raise ValueError(f"the label {label!r}, which this session would have written as {plain!r}")
        like = plain if like is None else like
