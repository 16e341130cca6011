"""Answers of a session: told, corrected, skipped and taken back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoal.errors import AutoALWarning, InvalidInput, shown
from autoal.session.answers import Answer, annotator_name, answers_of, listed
from autoal.session.exports import read_answers
from autoal.session.labels import nearly_alike
from autoal.session.lines import now
from autoal.session.looking import Looking
from autoal.session.settling import settle
from autoal.session.state import OUT_OF_CLASS, Told
from autoal.session.votes import OnConflict, check_on_conflict
from autoal.settings import integer

__all__ = ["Answering"]


class Answering(Looking):
    """The part of `Session` that takes answers. Opened by itself it never loads torch, which takes seconds."""

    def tell(
        self, ids: Any, labels: Any, *, annotator: Any = None, on_conflict: OnConflict = "fail", correct: bool = False
    ) -> Told:
        """Takes labels: of one id, of a list of ids, or of a Query (whose ids are meant), one label for each.

        The points need not have been asked for, nor all that were be there. A label that is known already changes
        nothing; another one is an error, unless `correct`. `annotator` names whoever answered, one for all or one for
        each; such votes are kept, and `on_conflict` says what becomes of a point whose answers differ ("fail", "skip",
        "majority", "dawid-skene": see `autoal.session.votes`). Either all are written, or none: InvalidInput for
        unknown ids, missing labels, labels of another type or outside `classes`, and answers that contradict one
        another.
        """
        hint = "call relabel(id, label), or pass correct=True"
        return self._take(answers_of(ids, labels, annotator), correct, hint, "tell", on_conflict)

    def tell_file(
        self,
        path: str | os.PathLike[str],
        *,
        id: str | None = None,
        label: str | None = None,
        cancelled: str = "cancelled",
        annotator: str | None = None,
        on_conflict: OnConflict = "fail",
        correct: bool = False,
    ) -> Told:
        """Takes the answers in a file: CSV, JSON lines, or an export of Label Studio, Prodigy, Argilla or doccano.

        See `autoal.session.exports.read_answers` for the formats. `id` and `label` name the fields where they are not
        so called, `cancelled` is the reason of points whose annotation was cancelled ("ood" where that is what it
        means), `annotator` whoever made the file, where it does not say. `on_conflict` is as in `tell`. The same export
        may be told again and again as it grows. Raises what `tell` does, with the line.
        """
        who = annotator_name(annotator)
        answers = read_answers(path, id=id, label=label, cancelled=cancelled)
        typed = Path(path).suffix.lower() != ".csv"
        read = [answer._replace(annotator=answer.annotator or who) for answer in answers]
        return self.tell_answers(read, Path(path).name, on_conflict=on_conflict, correct=correct, typed=typed)

    def tell_answers(
        self,
        answers: Sequence[Answer],
        source: str,
        *,
        on_conflict: OnConflict = "fail",
        correct: bool = False,
        typed: bool = True,
    ) -> Told:
        """Takes answers as `autoal.session.exports` and `autoal.session.formats` read them, labels as they are written
        there: of a session of integers "7" is 7. `source` is the name of where they are from; not `typed` is a file in
        which everything is text, as CSV. The rest, and what is raised, as in `tell`."""
        texts = self._space.read([answer.label for answer in answers], self._state().example, typed=typed)
        read = [answer._replace(label=text) for answer, text in zip(answers, texts, strict=True)]
        hint = "pass correct=True (on the command line: --correct)"
        return self._take(read, correct, hint, source, on_conflict)

    def skip(self, ids: Any, reason: str = OUT_OF_CLASS) -> Told:
        """Takes points out of the pool. With the reason "ood" they belong to none of the classes, and AutoAL learns
        from that; any other reason (illegible, too long, ...) teaches nothing.

        Raises InvalidInput for a point that has a label (take it back first: `relabel(id, None)`).
        """
        if not isinstance(reason, str) or not reason.strip():
            raise InvalidInput(f"got reason={shown(reason)}; wanted text, as 'ood' or 'illegible'")
        answers = [Answer("", name, skip=reason.strip()) for name in listed(ids, "ids")]
        return self._take(answers, False, "take its label back first: relabel(id, None)", "skip")

    def relabel(self, id: Any, label: Any) -> Told:
        """Corrects the label of one point, whether it was labeled, skipped or neither; None takes it back, and the
        point may be asked for again."""
        if label is not None:
            return self._take([Answer("", id, label)], True, "", "relabel")
        with self._writing() as state:
            row = self._ids.row(id)
            if row is None:
                raise InvalidInput(f"{shown(id)} is not among the {len(self)} ids of this session")
            if row not in state.labels and row not in state.skipped:
                return Told(0, 1, 0, 0)
            self._write({"event": "relabel", "ids": self._ids.of([row]), "labels": [None], "time": now()}, state)
            return Told(0, 0, 1, 0)

    def undo(self, n: int = 1) -> list[Any]:
        """Takes back the last `n` answers (labels, corrections, skips, labels taken back); gives their ids, latest
        first.

        Each point is as it was before that answer: with its earlier label where it was a correction, and pending where
        the answer was waited for. What was asked for stays asked for, whenever it was; a batch that was asked for after
        the answer is not taken back. An answer is that of one point, whether it came alone or in a file; answers that
        changed nothing, and labels that the session was created with, do not count. With the same answers told again
        the next batch is the one it would have been.

        Raises InvalidInput where there are fewer than `n` answers; then nothing is taken back.
        """
        n = integer(n, "n")
        if n < 1:
            raise InvalidInput(f"got n={n}; wanted 1 or more answers to take back")
        with self._writing() as state:
            if n > len(state.answers):
                there = f"{len(state.answers)} of them" if state.answers else "none"
                remedy = f"take back {len(state.answers)} or fewer" if state.answers else "tell one first"
                raise InvalidInput(f"got n={n} answers to take back, but there are {there}; {remedy}")
            undone = self._ids.of(state.latest(n))
            self._write({"event": "undo", "ids": undone, "time": now()}, state)
        return undone

    def retract(self, id: Any, annotators: Sequence[str] = ()) -> None:
        """Takes back the answer to one point, label or skip, and the votes of these annotators, as where an annotation
        was deleted; it may be asked for again. Raises InvalidInput for an id that does not exist."""
        with self._writing() as state:
            row = self._ids.row(id)
            if row is None:
                raise InvalidInput(f"{shown(id)} is not among the {len(self)} ids of this session")
            votes = [[id, who, None] for who in annotators if who in state.votes.get(row, {})]
            if votes or row in state.labels or row in state.skipped:
                name = self._ids.of([row])
                self._write({"event": "relabel", "ids": name, "labels": [None], "votes": votes, "time": now()}, state)

    def _take(
        self, answers: Sequence[Answer], correct: bool, hint: str, source: str, on_conflict: OnConflict = "fail"
    ) -> Told:
        check_on_conflict(on_conflict, self.task)
        with self._writing() as state:
            before = set(state.labels.values())
            record, told = settle(
                answers, state, self._ids, self._space, correct=correct, hint=hint, on_conflict=on_conflict
            )
            if record is not None:
                self._write({**record, "source": source, "time": now()}, state)
        for known, new in nearly_alike(record["labels"], before) if record is not None else ():
            warnings.warn(
                f"the labels {known!r} and {new!r} are nearly alike, and count as two classes; to merge them tell "
                "their points again with one name, and correct=True (--correct)",
                AutoALWarning,
                stacklevel=3,
            )
        return told
