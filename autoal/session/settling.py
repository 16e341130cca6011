"""What the answers of one call come to: either all of them go into the journal, in one line, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from autoal.errors import InvalidInput, shown
from autoal.session.answers import SHOWN, Answer, brief, heard, named
from autoal.session.ids import Ids
from autoal.session.labels import Label, LabelSpace
from autoal.session.state import DISAGREEMENT, Record, State, Told
from autoal.session.votes import Ballot, OnConflict, decided

__all__ = ["settle"]


class Point(NamedTuple):
    """What one call says of one point."""

    row: int
    name: str
    """For messages."""
    skip: str | None = None
    label: Label | None = None
    ballots: tuple[Ballot, ...] = ()
    """All there are, of earlier calls too, where annotators are named or differ; else none."""
    named: dict[str, Label] = {}  # noqa: RUF012 - never changed
    """What each annotator says in this call."""
    final: bool = False
    """Whether the label counts as the truth."""
    torn: bool = False
    """Whether somebody gives two answers in this call."""

    @property
    def agreed(self) -> bool:
        return not self.torn and len({label for _, label in self.ballots}) < 2


def settle(
    answers: Sequence[Answer],
    state: State,
    ids: Ids,
    space: LabelSpace,
    *,
    correct: bool,
    hint: str,
    on_conflict: OnConflict = "fail",
) -> tuple[Record | None, Told]:
    """The line of the journal that holds what is new in these answers (None where nothing is), and what they came to.

    With `correct` a label may replace another, and a skip a label. `on_conflict` says what becomes of a point whose
    answers differ: see `autoal.session.votes`. A label that follows from votes may change as votes come in.

    Raises InvalidInput, naming them, for what `heard` refuses, answers that contradict the journal or one another;
    `hint` says how to correct.
    """
    found = heard(answers, state, ids, space)
    conflicts: list[str] = []
    points = [_point(row, given, state, conflicts) for row, given in found.rows.items()]
    for point in points:
        for who, vote in point.named.items():
            before = state.votes.get(point.row, {}).get(who, vote)
            if before != vote and not correct:
                conflicts.append(f"{point.name} has {shown(before)} from {who}, and not {shown(vote)}")
    _refuse(conflicts, hint)
    differ = [point for point in points if not point.agreed and not _is_done(point, state, on_conflict)]
    if differ and on_conflict == "fail":
        _disagree(differ)
    merged = {row: dict(votes) for row, votes in state.votes.items()}
    for point in points:
        merged.setdefault(point.row, {}).update(point.named)
    outcome = decided({point.row: point.ballots for point in differ}, merged, on_conflict)
    told: dict[int, Label] = {}
    skips: dict[int, str] = {}
    voted: list[int] = []
    repeated = corrected = 0
    for point in points:
        row, known = point.row, state.labels.get(point.row)
        skip = point.skip
        label: Label | None = point.label
        if point.row in outcome:
            label = outcome[row]
            skip = DISAGREEMENT if label is None else None
        elif not point.agreed:
            repeated += 1
            continue
        by_votes = bool(point.ballots)
        may_change = correct or ((by_votes or point.final) and row in state.voted)
        if label is None and skip is not None:
            left = by_votes and (row in state.skipped or (known is not None and row not in state.voted))
            if left or state.skipped.get(row) == skip:
                repeated += 1
                continue
            if known is not None and not may_change:
                conflicts.append(f"{point.name} has the label {shown(known)} and is skipped here")
            skips[row] = skip
        elif label is not None:
            by_hand = row in state.skipped and row not in state.voted
            if known == label or (by_votes and by_hand and _all_known(point, state)):
                repeated += 1
                continue
            if known is not None and not may_change:
                if by_votes and _all_known(point, state):  # somebody has looked again since these votes
                    repeated += 1
                    continue
                conflicts.append(f"{point.name} has the label {shown(known)}, and not {shown(label)}")
            corrected += known is not None
            told[row] = label
        if by_votes:
            voted.append(row)
    _refuse(conflicts, hint)
    votes = [
        (p.row, who, vote)
        for p in points
        for who, vote in p.named.items()
        if state.votes.get(p.row, {}).get(who) != vote
    ]
    counts = {"disagreed": len(differ), "rejected": found.rejected, "foreign": found.foreign}
    if not told and not skips and not votes:
        return None, Told(0, repeated, 0, 0, **counts)
    record: Record = {"event": "tell", "ids": ids.of(told), "labels": list(told.values())}
    if skips:
        record["skips"] = [list(pair) for pair in zip(ids.of(skips), skips.values(), strict=True)]
    if votes:
        names = ids.of(row for row, _, _ in votes)
        record["votes"] = [[name, who, vote] for name, (_, who, vote) in zip(names, votes, strict=True)]
    if voted:
        record["voted"] = ids.of(voted)
    if differ:
        record["on_conflict"] = on_conflict
    return record, Told(len(told) - corrected, repeated, corrected, len(skips), **counts)


def _point(row: int, given: list[tuple[Answer, Label | None]], state: State, conflicts: list[str]) -> Point:
    """The answers to one point together."""
    name = f"{given[0][0].where}{named(given[0][0].id)}"
    labels = [(answer, label) for answer, label in given if label is not None]
    labels = [(answer, label) for answer, label in labels if answer.final] or labels
    skips = [(answer, answer.skip) for answer, label in given if label is None and answer.skip is not None]
    people = [answer.annotator for answer, _ in given]
    if None in people and (len({reason for _, reason in skips}) > 1 or (labels and skips)):
        said = [f"label {label!r}" if label is not None else f"skip {answer.skip!r}" for answer, label in given]
        conflicts.append(f"{name} is answered twice in this call: {', '.join(map(brief, dict.fromkeys(said)))}")
    if not labels:
        return Point(row, name, skip=skips[0][1])
    by_person: dict[str, list[Label]] = {}
    anonymous: list[Ballot] = [(None, label) for answer, label in labels if answer.annotator is None]
    for answer, label in labels:
        if answer.annotator is not None:
            by_person.setdefault(answer.annotator, []).append(label)
    sure = {who: made[0] for who, made in by_person.items() if len(set(made)) == 1}
    torn: list[Ballot] = [
        (who, label) for who, made in by_person.items() if len(set(made)) > 1 for label in dict.fromkeys(made)
    ]
    final = labels[0][0].final
    if (final or not by_person) and len({label for _, label in labels}) == 1:
        return Point(row, name, label=labels[0][1], named=sure, final=final)
    before = sure if final else {**state.votes.get(row, {}), **sure}
    ballots = (*before.items(), *torn, *anonymous)
    return Point(row, name, label=labels[0][1], ballots=ballots, named=sure, torn=bool(torn))


def _all_known(point: Point, state: State) -> bool:
    """Whether this call says nothing new of a point."""
    known = state.votes.get(point.row, {})
    anonymous = any(who is None for who, _ in point.ballots)
    return not point.torn and not anonymous and all(known.get(who) == label for who, label in point.named.items())


def _is_done(point: Point, state: State, on_conflict: OnConflict) -> bool:
    """Whether these votes were known when the point got the answer it has: from them, or by hand."""
    answered = point.row in state.labels or point.row in state.skipped
    by_hand = point.row not in state.voted
    return _all_known(point, state) and answered and (by_hand or on_conflict == "fail")


def _refuse(conflicts: list[str], hint: str) -> None:
    if conflicts:
        more = f" (and {len(conflicts) - SHOWN} more)" if len(conflicts) > SHOWN else ""
        raise InvalidInput(f"nothing was written: {'; '.join(conflicts[:SHOWN])}{more}; to correct an answer {hint}")


def _disagree(points: Sequence[Point]) -> None:
    """Raises InvalidInput that names every point, and how often each label was given."""
    lines = []
    for point in points:
        counts = Counter(label for _, label in point.ballots).most_common()
        lines.append(f"{point.name} ({', '.join(f'{brief(shown(label))} {count}' for label, count in counts)})")
    raise InvalidInput(
        f"nothing was written: {len(points)} points are answered twice or more, in different ways: {'; '.join(lines)}; "
        "leave them out, or let the votes decide, with on_conflict= (on the command line --on-conflict) skip, majority "
        "or dawid-skene; or mark one annotation as ground truth"
    )
