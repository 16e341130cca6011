"""What a journal amounts to: labels, pending and skipped points, rounds. The same lines give the same state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from autoal.errors import RunError
from autoal.session.ids import Ids
from autoal.session.labels import Label

__all__ = ["DISAGREEMENT", "OUT_OF_CLASS", "Record", "State", "Told", "replayed"]

Record = dict[str, Any]
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
        self.checkpoint = "start"
        """Name of what the search remembers."""

    @property
    def taken(self) -> int:
        """Points that will not be asked for as things stand."""
        return len(self.labels) + len(self.skipped) + len(self.pending)

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
        try:
            rows = [_row(ids, value) for value in record["ids"]]
            if record["event"] == "ask":
                self.pending.update(dict.fromkeys(rows, len(self.asks)))
                self.asked.update(dict.fromkeys(rows, len(self.asks)))
                self.asks.append(record)
                self.checkpoint = record.get("checkpoint", self.checkpoint)
                return
            self._count(record, ids)
            for row, label in zip(rows, record.get("labels", [None] * len(rows)), strict=True):
                self.pending.pop(row, None)
                self.skipped.pop(row, None)
                if label is None:
                    self.labels.pop(row, None)
                else:
                    self.labels[row] = label
            for value, reason in record.get("skips", []):
                row = _row(ids, value)
                self.pending.pop(row, None)
                self.labels.pop(row, None)
                self.skipped[row] = str(reason)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"the journal holds a line that does not belong to this session ({error!r}); it was changed "
                "from outside"
            ) from error

    def _count(self, record: Record, ids: Ids) -> None:
        """The votes in a line, and which of its answers follow from votes."""
        for value, annotator, label in record.get("votes", []):
            votes = self.votes.setdefault(_row(ids, value), {})
            if label is None:  # taken back
                votes.pop(str(annotator), None)
            else:
                votes[str(annotator)] = label
            if not votes:
                del self.votes[_row(ids, value)]
        answered = [*record["ids"], *(value for value, _ in record.get("skips", []))]
        self.voted.difference_update(_row(ids, value) for value in answered)
        self.voted.update(_row(ids, value) for value in record.get("voted", []))


def _row(ids: Ids, value: Any) -> int:
    row = ids.row(value)
    if row is None:
        raise KeyError(value)
    return row


def replayed(records: Iterable[Record], ids: Ids) -> State:
    """The state after these lines."""
    state = State()
    for record in records:
        state.apply(record, ids)
    return state
