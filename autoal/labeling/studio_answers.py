"""From the annotations of Label Studio to the session's journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from autoal.errors import InvalidInput
from autoal.labeling.label_studio import Task
from autoal.labeling.serve_notes import Notes
from autoal.labeling.studio_tasks import annotations_of, digest_of
from autoal.session import Session
from autoal.session.answers import Answer
from autoal.session.formats.label_studio import task_answers

__all__ = ["Rules", "Taken", "answers_in", "take_answers"]


@dataclass(frozen=True)
class Rules:
    """How annotations are read."""

    control: str | None = None
    cancelled: str = "cancelled"
    on_conflict: str = "fail"
    source: str = "label studio"


@dataclass
class Taken:
    """What became of the annotations that were new."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: dict[int, str] = field(default_factory=dict)
    """row -> why its annotations cannot be taken."""

    @property
    def said(self) -> str:
        """In one line; empty where there was nothing new."""
        return ", ".join(f"{count} {words}" for words, count in self.counts.items() if count)


class _New(NamedTuple):
    row: int
    digest: str
    answers: list[Answer]

    @property
    def people(self) -> list[str]:
        return sorted({answer.annotator for answer in self.answers if answer.annotator is not None})


def take_answers(session: Session, rows: Mapping[int, Sequence[Task]], notes: Notes, rules: Rules) -> Taken:
    """Tells the session whatever was annotated, changed or deleted since `notes`, which then know it.

    Label Studio's word is the newest: it corrects what the session has. Answers that cannot be taken (of a class that
    is none, empty, of people who disagree where `on_conflict` is "fail") are left and named, and tried again with every
    call. An annotation that was deleted takes back its label, unless the session has another one by now.
    """
    taken = Taken()
    new: list[_New] = []
    gone: list[int] = []
    for row, tasks in rows.items():
        annotations = annotations_of(tasks)
        digest, known = digest_of(annotations), notes.taken.get(row)
        if not digest:
            gone += [row] if known is not None else []
        elif known is None or known[0] != digest:
            try:
                new.append(_New(row, digest, answers_in(row, tasks, rules)))
            except InvalidInput as error:
                taken.refused[row] = str(error)
    if not new and not gone:
        return taken
    names = session.ids
    for row in gone:
        _, said, people = notes.taken.pop(row)
        if _standing(session, names[row]) == said:
            session.retract(names[row], people)
            taken.counts["taken back"] += 1
    for one in new:
        _, _, before = notes.taken.get(one.row, ("", None, []))
        if left := sorted(set(before) - set(one.people)):
            session.retract(names[one.row], left)
    for part in _accepted(session, new, rules, taken):
        labels, skips = session.labeled, session.skipped
        for one in part:
            notes.taken[one.row] = (one.digest, _said(names[one.row], labels, skips), one.people)
    notes.write()
    return taken


def answers_in(row: int, tasks: Sequence[Task], rules: Rules) -> list[Answer]:
    """What the annotations of one row say. Raises InvalidInput where they are empty, or hold several labels."""
    numbers = ", ".join(str(task["id"]) for task in tasks)
    task = {"data": {"index": row}, "annotations": annotations_of(tasks)}
    answers = task_answers([(f"task {numbers}", task)], label=rules.control, cancelled=rules.cancelled)
    if not answers:
        raise InvalidInput(f"task {numbers}: its annotation is empty; choose a label there, or skip it")
    return answers


def _accepted(session: Session, new: Sequence[_New], rules: Rules, taken: Taken) -> list[Sequence[_New]]:
    """Tells all together, or one by one where that is refused; those that were taken."""
    try:
        _tell(session, new, rules, taken)
        return [new]
    except InvalidInput:
        accepted: list[Sequence[_New]] = []
        for one in new:
            try:
                _tell(session, [one], rules, taken)
                accepted.append([one])
            except InvalidInput as error:
                words = str(error).removeprefix("nothing was written: ")
                taken.refused[one.row] = f"{words} (left as it is; it is taken once it is changed in Label Studio)"
        return accepted


def _tell(session: Session, new: Sequence[_New], rules: Rules, taken: Taken) -> None:
    if not new:
        return
    told = session.tell_answers(
        [answer for one in new for answer in one.answers], correct=True,
        on_conflict=rules.on_conflict,  # type: ignore[arg-type]  # checked when the command began
        source=rules.source,
    )  # fmt: skip
    taken.counts.update({"new": told.new, "corrected": told.corrected, "skipped": told.skipped})
    taken.counts.update({"on which annotators differ": told.disagreed})


def _standing(session: Session, name: Any) -> list[Any] | None:
    return _said(name, session.labeled, session.skipped)


def _said(name: Any, labels: Mapping[Any, Any], skips: Mapping[Any, str]) -> list[Any] | None:
    if name in labels:
        return ["label", labels[name]]
    return ["skip", skips[name]] if name in skips else None
