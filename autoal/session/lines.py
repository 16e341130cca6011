"""What a line of a session's journal may hold. A line that says anything else is refused, and not read in part."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter
from pydantic import ValidationError as Invalid

from autoal.errors import shown

__all__ = ["check_line", "now"]

Id = StrictInt | StrictStr
Value = StrictStr | StrictInt | StrictBool | StrictFloat
Count = Annotated[StrictInt, Field(ge=0)]
Number = StrictFloat | StrictInt | None
"""Null where it was not finite."""
Name = Annotated[StrictStr, Field(min_length=1)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Drawn(_Line):
    """What an audit needs to know of a batch: its points, by the ranks of their ids among all, those drawn at random,
    and what the model said of those, among so many classes."""

    chosen: list[Count]
    random: list[Count]
    predicted: list[StrictFloat | StrictInt]
    classes: Count


class Ask(_Line):
    """A batch."""

    event: Literal["ask"]
    round: Count
    ids: list[Id]
    utilities: list[Number]
    weights: dict[str, Number] = {}
    votes: dict[str, list[Count]] = {}
    labels: Count = 0
    given: list[StrictStr] = []
    diagnostics: dict[str, Any] = {}
    checkpoint: Any = "start"  # its name is checked where it is looked for
    saved: StrictStr | None = None
    seconds: Number = None
    model: dict[str, Any] | None = None
    versions: dict[str, Any] = {}
    time: StrictStr = ""
    stopping: Any = None
    asked: Drawn | None = None
    lines: Count | None = None

    def fault(self) -> str | None:
        """What does not fit together."""
        if len(self.utilities) != len(self.ids):
            return f"{len(self.ids)} ids and {len(self.utilities)} utilities"
        if len(set(self.ids)) < len(self.ids):
            return "an id that is asked for twice"
        if any(pick >= len(self.ids) for picks in self.votes.values() for pick in picks):
            return "a vote for a point that is not in the batch"
        if self.asked is not None and len(self.asked.predicted) != len(self.asked.random):
            return f"{len(self.asked.random)} points drawn at random and {len(self.asked.predicted)} predictions"
        return None


class Answers(_Line):
    """Answers of one call, or a label that is taken back."""

    event: Literal["tell", "relabel"]
    ids: list[Id]
    labels: list[Value | None]
    skips: list[tuple[Id, Name]] = []
    votes: list[tuple[Id, Name, Value | None]] = []
    voted: list[Id] = []
    on_conflict: StrictStr = "fail"
    source: StrictStr = ""
    time: StrictStr = ""

    def fault(self) -> str | None:
        if len(self.labels) != len(self.ids):
            return f"{len(self.ids)} ids and {len(self.labels)} labels"
        if self.event == "tell" and None in self.labels:
            return "an answer without a label"
        return None


class Undo(_Line):
    """Answers that are taken back."""

    event: Literal["undo"]
    ids: list[Id]
    time: StrictStr = ""

    def fault(self) -> str | None:
        return None


LINE: TypeAdapter[Ask | Answers | Undo] = TypeAdapter(Annotated[Ask | Answers | Undo, Field(discriminator="event")])


def check_line(record: dict[str, Any]) -> None:
    """Raises ValueError, in a few words, for a line with an unknown event or key, or a value of another kind."""
    try:
        fault = LINE.validate_python(record).fault()
    except Invalid as error:
        first = error.errors()[0]
        if first["type"].startswith("union_tag"):
            raise ValueError(f"the event {shown(record.get('event'), 40)}, which this version does not know") from error
        where = ".".join(str(part) for part in first["loc"][1:3])
        if first["type"] == "extra_forbidden":
            raise ValueError(f"{shown(where, 60)}, which this version does not know") from error
        said = "is missing" if first["type"] == "missing" else f"is {shown(first['input'], 40)}"
        raise ValueError(f"a value that does not belong there: {where} {said}") from error
    if fault is not None:
        raise ValueError(fault)


def now() -> str:
    """The time, UTC, to the second, as lines have it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
