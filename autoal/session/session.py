"""A labelling that lasts for weeks: ask for a batch, tell the answers as they come, in a folder that survives kills."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from autoal.data import Rows, as_rows
from autoal.data.sources import picture_files
from autoal.disk import dumps
from autoal.encoders import check_encoder
from autoal.errors import AutoALError, AutoALWarning, DataMissing, InvalidInput, PoolExhausted, RunError, shown
from autoal.rng import derive_seed
from autoal.selectors import AutoAL, Query
from autoal.selectors.checks import integer
from autoal.session.agreement import Agreement, agreement_of, disagreements
from autoal.session.ahead import choosing, due, labels_at_asks
from autoal.session.answers import Answer, annotator_name, answers_of, listed
from autoal.session.asking import Asked, Asking, pending_query
from autoal.session.card import session_card
from autoal.session.creating import make_session, now, package_versions
from autoal.session.describe import describe_model, warn_of_changes
from autoal.session.exports import read_answers
from autoal.session.fitting import Known, Trained, check_can_fit, kept, lacks_model, trained
from autoal.session.folder import WAIT_S, Folder
from autoal.session.inputs import file_of, load_inputs, same_inputs
from autoal.session.labels import Label, LabelSpace, nearly_alike
from autoal.session.names import alike, says_alike
from autoal.session.outlook import MOMENTS, Outlook, outlook_of
from autoal.session.predictions import check_out, predictions, write_frame
from autoal.session.settling import settle
from autoal.session.stamps import check_stamp, mark_of
from autoal.session.state import OUT_OF_CLASS, Record, State, Told, checked_state, replayed
from autoal.session.suspects import NO_PROBABILITIES, find_suspects
from autoal.session.votes import OnConflict, check_on_conflict
from autoal.session.watching import rounds_of
from autoal.settings import Mode, Task
from autoal.stopping import DEFAULT, DEFAULT_REGRESSION, Rule, parse_rule
from autoal.strategies.base import check_batch_size
from autoal.tasks import show_pool

__all__ = ["Session"]

TRIES = 2
"""How often a batch is chosen again because its points were answered meanwhile, before others have to wait."""


class Session:
    """Asks for batches of labels and takes the answers, for as long as a labelling lasts.

    Made by `Session.create` and opened again, by any process, with `Session.open`. Every batch and every answer is a
    line in the folder's journal before the call returns, so a process may be killed at any moment: nothing that was
    told is lost, and the next batch is the one it would have been, bit for bit on a CPU. Several processes may have
    one session open; they write in turn.

    Answers may be partial, out of order, repeated and corrected, and may be of points that were never asked for.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, truth = load_iris(return_X_y=True)
    >>> folder = tempfile.mkdtemp()
    >>> session = Session.create(folder, X, candidates="fast", model=LogisticRegression(), random_state=0)
    >>> batch = session.ask(6)  # nothing is labeled yet: typical points of the clusters of X
    >>> session.tell(batch, truth[batch])
    Told(new=6, repeated=0, corrected=0, skipped=0, disagreed=0, rejected=0, foreign=0)
    >>> len(session.ask(4)), len(session.pending)
    (4, 4)
    """

    def __init__(
        self, folder: Folder, *, model: Any = None, encoder: Any = None, device: Any = None, progress: Any = None
    ) -> None:
        """For `create` and `open`, which check what they pass."""
        self._folder, self._model, self._device, self._progress = folder, model, device, progress
        self._encoder = encoder
        self._manifest = folder.manifest()
        self._space = LabelSpace(self._manifest["task"], self._manifest["classes"])
        self._ids = folder.ids(self._manifest)
        self._rows: Any = None
        self._given, self._pool_mark = False, None
        self._files_of = functools.cache(picture_files)
        self._replayed = State()
        self._seen: Any = self  # no mark of a journal: it has not been read
        self._looked: dict[Any, Outlook] = {}
        self.selector: AutoAL | None = None
        """The AutoAL of the latest `ask` of this process, to look into (`leaderboard()`, `model_`); None before."""

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        X: Any,
        *,
        y: Any = None,
        labeled: Any = None,
        ids: Any = None,
        classes: Sequence[Any] | None = None,
        costs: Any = None,
        candidates: str | Sequence[Any] = "default",
        model: Any = None,
        task: Task = "auto",
        mode: Mode = "bilevel",
        search: Any = None,
        device: Any = "auto",
        random_state: Any = None,
        time_limit: float | None = None,
        strict: bool = False,
        encoder: Any = None,
        progress: Any = None,
    ) -> Self:
        """A new session in `folder`, which must not exist, or be empty.

        X (n, ...) is the whole pool. The path of a `.npy` file, of a table or of a folder of pictures is remembered and
        must stay; arrays, tensors, frames, texts and sparse matrices are copied into the folder; a Dataset, a dict of
        arrays and a list of other objects are not, and `open` wants them again. `y` holds what is
        labeled already (NaN, -1 or None where nothing is, or `labeled` says which rows). `ids` (n,) are integers or
        text, row numbers otherwise. With `classes` a label outside them is refused; without, new classes may turn up.
        `costs` (n,) are prices. A session without labels is a classification unless `task` says "regression".

        The rest is as in `AutoAL`, and is fixed for the session. A model, and an encoder, cannot be stored: give `open`
        the same ones.
        Best is a function that makes an nn.Module, since a module's present weights are part of what it is.

        Raises InvalidInput on bad input, RunError where the folder is in use.
        """
        rows = make_session(
            folder, X, y=y, labeled=labeled, ids=ids, classes=classes, costs=costs, candidates=candidates, model=model,
            task=task, mode=mode, search=search, device=device, random_state=random_state, time_limit=time_limit,
            strict=strict, encoder=encoder,
        )  # fmt: skip
        session = cls(Folder(os.path.abspath(folder)), model=model, encoder=encoder, device=device, progress=progress)
        about = session._manifest["data"]
        session._rows, session._given = rows, about["kind"] != "path"
        session._pool_mark = None if session._given else mark_of(Path(about["path"]))
        return session

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        X: Any = None,
        model: Any = None,
        *,
        encoder: Any = None,
        device: Any = None,
        progress: Any = None,
    ) -> Self:
        """The session in `folder`, as it stands.

        `X` is needed only where the folder does not hold it (a Dataset; a file that was moved), and is compared with
        the pool of then. `model` is the one that `create` was given, if any: without it answers can be told, but
        nothing asked for. Another model is taken, with a warning. `device` takes the place of the session's for this
        process.

        Raises DataMissing where there is no session, RunError where `X` is another pool or the journal was changed.
        """
        check_encoder(encoder)
        session = cls(Folder(os.path.abspath(folder)), model=model, encoder=encoder, device=device, progress=progress)
        if X is not None:
            about = session._manifest["data"]
            if isinstance(X, str | os.PathLike):
                check_stamp(Path(X).expanduser(), about.get("file"), session._folder.path)
            session._rows, session._given = same_inputs(as_rows(X), about, session._folder.path), True
            session._rows.use(encoder)
        with contextlib.suppress(AutoALError):  # another process writes, or the folder is read-only: nothing to mend
            with session._folder.lock(wait_s=0.0):
                session._state(mend=True)
        session._state()
        session._folder.say_plain()
        latest = session._replayed.asks[-1] if session._replayed.asks else session._manifest
        warn_of_changes(session.folder, latest, describe_model(model), package_versions())
        return session

    # --- asking -----------------------------------------------------------------------------------------------

    def ask(self, batch_size: int, *, embeddings: Any = None, probs: Any = None) -> Query:
        """The `batch_size` points to label next, none of which is labeled, pending or skipped.

        It is in the journal when this returns; `pending_query()` gives it again. Other processes may tell answers while
        it is being chosen: it is the one that the labels at the beginning lead to. `embeddings` (n, D) and `probs`
        (n, C) take the place of the model's, as in `AutoAL.fit_query`. With fewer than two labels, or two classes,
        there is nothing to learn from: then the batch is the most typical points of clusters of the inputs (TypiClust),
        and `diagnostics["cold_start"]` says so.

        Raises PoolExhausted where fewer points are left, InvalidInput where the session's model was not passed to
        `open`, and whatever `fit_query` raises; then nothing is written.
        """
        batch_size = integer(batch_size, "batch_size")
        with choosing(self._folder, WAIT_S):
            asked = None
            for tries in range(TRIES, -1, -1):
                with contextlib.ExitStack() as held:
                    state = held.enter_context(self._writing())
                    self._check_left(batch_size, state)
                    if tries:  # others may answer while it is chosen; after some rounds of that they have to wait
                        held.close()
                    asked = self._asking(state).ask(
                        batch_size, model=self._model, device=self._device, progress=self._progress,
                        embeddings=embeddings, probs=probs,
                    )  # fmt: skip
                    latest = state if not tries else held.enter_context(self._writing())
                    if latest.lines > state.lines:
                        if len(latest.asks) > len(state.asks) or not latest.open(asked.query.indices.tolist()):
                            continue
                        asked = asked._replace(record={**asked.record, "lines": state.lines})
                    self._keep(asked, latest)
                    break
        return self._shown(asked.query)

    def _check_left(self, batch_size: int, state: State) -> None:
        left = len(self) - state.taken
        if batch_size > left:
            raise PoolExhausted(
                f"got batch_size={batch_size}, but {left} of {len(self)} points are left: {len(state.labels)} are "
                f"labeled, {len(state.pending)} pending, {len(state.skipped)} skipped; ask for {left} or fewer"
            )
        check_batch_size(batch_size, left)

    def ask_ahead(self, batch_size: int) -> Query | None:
        """The next batch, once half of the latest one has an answer; None before, and where no point is left.

        It is what `ask` would have given right after the answer that made it half, whatever is told while it is being
        chosen, and however often the process is killed meanwhile: a function of the journal, and not of the time it
        takes. So nobody waits for it, at the price of a model that has not seen the other half. Answers may be told
        all along, by this and by other processes. Where fewer than `batch_size` points are left it asks for those.
        A session without a batch gets its first one.

        Raises what `ask` does, and RunError where another process is choosing this batch.
        """
        batch_size = integer(batch_size, "batch_size")
        check_batch_size(batch_size, batch_size)
        with choosing(self._folder):
            with self._writing():
                records = self._folder.read()[0]
            lines = due(records, self._ids)
            if lines is None:
                return None
            past = replayed(records[:lines], self._ids)
            if past.taken == len(self):
                return None
            asked = self._asking(past).ask(
                min(batch_size, len(self) - past.taken), model=self._model, device=self._device,
                progress=self._progress, embeddings=None, probs=None,
            )  # fmt: skip
            with self._writing() as state:
                if len(state.asks) > len(past.asks):  # by a call of `ask`: theirs is the next batch
                    return None
                self._keep(asked._replace(record={**asked.record, "lines": lines}), state)
        return self._shown(asked.query)

    def pending_query(self) -> Query:
        """Every point that was asked for and has no answer yet, in the order of asking: the same batch again, as far as
        it is open, for instance where a process was killed before it had exported it. Utilities of other points are
        NaN; weights are those of the latest batch."""
        return self._shown(pending_query(self._state(), self._ids))

    # --- answering --------------------------------------------------------------------------------------------

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

    # --- looking ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Rows of the pool, labeled ones included."""
        return len(self._ids)

    @property
    def ids(self) -> list[Any]:
        """The id of each row."""
        return self._ids.of(range(len(self)))

    @property
    def folder(self) -> Path:
        return self._folder.path

    @property
    def task(self) -> str:
        """`classification` or `regression`."""
        return self._space.task

    @property
    def n_rounds(self) -> int:
        """Batches asked for so far."""
        return len(self._state().asks)

    @property
    def pending(self) -> list[Any]:
        """Ids asked for and not answered, in the order of asking."""
        return self._ids.of(self._state().pending)

    @property
    def labeled(self) -> dict[Any, Label]:
        """id -> label, in the order they were told."""
        labels = self._state().labels
        return dict(zip(self._ids.of(labels), labels.values(), strict=True))

    @property
    def skipped(self) -> dict[Any, str]:
        """id -> reason."""
        skipped = self._state().skipped
        return dict(zip(self._ids.of(skipped), skipped.values(), strict=True))

    @property
    def rows(self) -> Rows:
        """The pool, as it was handed over; read when first looked at."""
        return self._inputs()

    @property
    def classes(self) -> list[Label] | None:
        """The classes there are, in their order; None where more may turn up."""
        return None if self._space.classes is None else list(self._space.classes)

    def state(self) -> State:
        """What the journal amounts to by now, counted in rows of the pool; to look at, not to change."""
        return self._state()

    @property
    def needs_this_process(self) -> bool:
        """Whether its model, its encoder or its rows are objects here, which another process cannot open."""
        return self._model is not None or self._encoder is not None or self._manifest["data"]["kind"] == "outside"

    def reopened(self) -> Session:
        """The same session on the same rows, model and encoder, for another thread: one object is for one thread."""
        other = type(self)(
            self._folder, model=self._model, encoder=self._encoder, device=self._device, progress=self._progress
        )
        other._rows, other._given, other._pool_mark = self._rows, self._given, self._pool_mark
        return other

    def training_set(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (L,) int64, ascending, and their labels (L,): `model.fit(X[rows], labels)`."""
        labels = self._state().labels
        rows = sorted(labels)
        return np.asarray(rows, dtype=np.int64), np.asarray([labels[row] for row in rows])

    def status(self) -> dict[str, int]:
        """How many points are labeled, pending, skipped and left, rounds, and classes seen; where annotators are named,
        how many there are, and points on which they differ."""
        state = self._state()
        seen = 0 if self.task == "regression" else len(set(state.labels.values()))
        people = {who for made in state.votes.values() for who in made}
        return {
            "points": len(self),
            "labeled": len(state.labels),
            "pending": len(state.pending),
            "skipped": len(state.skipped),
            "left": len(self) - state.taken,
            "rounds": len(state.asks),
            "classes": seen,
            **({"annotators": len(people), "disagreements": disagreements(state.votes)} if people else {}),
        }

    def agreement(self) -> Agreement | None:
        """How well annotators agree: Cohen's kappa of two, Krippendorff's alpha of more; None where fewer than two
        have answered for the same points."""
        return agreement_of(self._state().votes, self.task)

    @property
    def votes(self) -> dict[Any, dict[str, Label]]:
        """id -> annotator -> what they said, as far as they are named."""
        votes = self._state().votes
        return {name: dict(made) for name, made in zip(self._ids.of(votes), votes.values(), strict=True)}

    def to_frame(self) -> pd.DataFrame:
        """One row for each point that is labeled, pending or skipped: id, index, state, label, reason, and the round
        that asked for it (missing where none did)."""
        state = self._state()
        rows = [*state.labels, *state.pending, *state.skipped]
        states = ["labeled"] * len(state.labels) + ["pending"] * len(state.pending) + ["skipped"] * len(state.skipped)
        return pd.DataFrame(
            {
                "id": self._ids.of(rows),
                "index": np.asarray(rows, dtype=np.int64),
                "state": states,
                "label": pd.Series([state.labels.get(row) for row in rows], dtype=object),
                "reason": pd.Series([state.skipped.get(row) for row in rows], dtype=object),
                "round": pd.array([state.asked.get(row) for row in rows], dtype="Int64"),
            }
        )

    # --- what the labels have brought --------------------------------------------------------------------------

    def fit(self) -> Any:
        """The session's model, fitted on all labels, to keep: a scikit-learn estimator on the user's own labels, or the
        nn.Module in evaluation mode, whose outputs are the classes in the order of `classes=`, else sorted (with the
        standardisation around it where training had one); a ModelAdapter of another kind as it is.

        The same labels give the same model; `predict` is by this one. Raises InvalidInput where there are fewer than
        two labels or classes, where the session's model was not passed to `open`, or where batches were asked for with
        outputs of a model that this session does not have.
        """
        model = self._fitted(self._state())
        for sentence in model.says_of_codes():
            warnings.warn(sentence, AutoALWarning, stacklevel=2)
        return kept(model)

    def predict(self, out: str | os.PathLike[str] | None = None) -> pd.DataFrame:
        """What the model, fitted on all labels, says of every row of the pool, in its order; to `out` (.csv, .parquet)
        too, written whole or not at all.

        - `id`;
        - `label`: what people said, where they labeled the row; missing where they said that it is of no class; else
          the prediction, a class of the user's own type, or the value of a regression;
        - `predicted`: the prediction, for every row;
        - `confidence`: probability of the predicted class, not calibrated; left out, with a warning, where the model
          has no probabilities, and in a regression;
        - `labeled`: whether people labeled the row.

        Raises what `fit` raises, and InvalidInput or DataMissing for an `out` that cannot be, before any training.
        """
        path = None if out is None else check_out(out)
        state = self._state()
        model = self._fitted(state)
        frame = predictions(self._inputs(), model, state, self._ids)
        if model.known.num_classes and "confidence" not in frame:
            warnings.warn(f"{NO_PROBABILITIES}, and predictions come without confidence", AutoALWarning, stacklevel=2)
        if path is not None:
            write_frame(frame, path)
        return frame

    def suspects(self, n: int | None = None) -> pd.DataFrame:
        """Labels that held-out predictions contradict, the most suspicious first; with `n` the `n` most suspicious,
        whether contradicted or not.

        Of classes, by confident learning (Northcutt, Jiang and Chuang 2021): the confident joint (eq. 1 to 3) of
        held-out probabilities says how many labels are wrong, and so many are contradicted. Which ones, and the order,
        is by the margin of log probabilities, log p(label) - log p(likeliest other), which finds more than the paper's
        margin of probabilities does (baselines/results/suspects.md). Probabilities are means of three cross-validations
        of five parts, so this takes fifteen trainings. Classes with fewer than five labels are left out, with a
        warning. Columns: `id`, `label`, `suggested` (what it would be instead), `confidence` (probability of that),
        `label_confidence` (probability of the label), `contradicted`.

        Of a regression, where the residual of a held-out prediction is far from the others (modified z-score above
        3.5, Iglewicz and Hoaglin 1993): `id`, `label`, `suggested`, `score` (that z-score), `contradicted`.

        Class names that differ only in how they are written (`cat`, `Cat`) are warned of, and are in
        `.attrs["alike"]`. Raises InvalidInput where there are too few labels, and what `fit` raises.
        """
        n = None if n is None else integer(n, "n")
        if n is not None and n < 1:
            raise InvalidInput(f"got n={n}; wanted 1 or more labels, or None for all that are contradicted")
        state = self._state()
        labels = dict(state.labels)
        groups = alike(dict.fromkeys(labels.values()))
        if groups:
            warnings.warn(says_alike(groups), AutoALWarning, stacklevel=2)
        check_can_fit(self._manifest, state, self._model, self.folder)
        frame, said = find_suspects(
            self._inputs(), labels, self.task, self._ids, model=self._model, device=self._own_device,
            seed=self._manifest["seed"], most=n,
        )  # fmt: skip
        for sentence in said:
            warnings.warn(sentence, AutoALWarning, stacklevel=2)
        frame.attrs["alike"] = groups
        return frame

    def report(self, *, estimate: bool = True) -> Path:
        """Writes report.html into the folder, and labels.csv beside it; gives the page's path.

        With `estimate` the model is trained on five parts of the labels of each round, to say how good it was then:
        on labels that were chosen, which are no fair sample of the pool.
        """
        from autoal.session.report import write_report  # draws, and drawing takes a second to import

        return write_report(self, estimate=estimate)

    def outlook(self, labels: int | None = None, *, rule: str | Rule | None = None, estimate: bool = True) -> Outlook:
        """What the next `labels` labels may bring (as many as the latest batch, unless given), and whether it is
        reasonable to stop, in a sentence (`.says`) and in numbers; `.stop` is True, False, or None where it cannot be
        told yet, as with few labels.

        It goes by what the journal holds of every batch, and by cross-validation on the labels of the latest batches,
        which trains the model five times for a batch, once, and is left out where `estimate` is false: then the gain
        is known from audit points alone. The same journal gives the same outlook, kept while nothing is added.
        `rule` is one of `autoal.stopping.RULES`, or several, as text: "stable_predictions | budget(labels=500)"; where
        none is given, `autoal.stopping.DEFAULT`, which was measured (`DEFAULT_REGRESSION` in a regression, which was
        not).

        Raises UnknownName and ConfigError for a rule that is none, InvalidInput for `labels` below 1.
        """
        usual = DEFAULT_REGRESSION if self.task == "regression" else DEFAULT
        rule = usual if rule is None else parse_rule(rule)
        state = self._state()
        batch = len(state.asks[-1]["ids"]) if state.asks else 10
        ahead = batch if labels is None else integer(labels, "labels")
        if ahead < 1:
            raise InvalidInput(f"got labels={ahead}; wanted how many labels more the outlook is about, 1 or more")
        key = (self._seen, str(rule), ahead, estimate)
        if key not in self._looked:
            values, missing = self._values() if estimate else ({}, " without cross-validation")
            rounds = rounds_of(state, self._ids, values)
            self._looked = {
                key: outlook_of(
                    rounds, rule=rule, ahead=ahead, labels=len(state.labels), left=len(self) - state.taken,
                    task=self.task, missing=missing,
                )
            }  # fmt: skip
        return self._looked[key]

    def _values(self) -> tuple[dict[int, float], str]:
        """Cross-validated values by number of labels at the latest batches, or why there are none."""
        found = self.cross_validate(self.history()[2][:-1][-MOMENTS:])
        if isinstance(found, str):
            return {}, " without cross-validation: " + found[0].lower() + found[1:].rstrip(".")
        return {int(n): float(v) for n, v in zip(found["labels"], found["value"], strict=True)}, " yet"

    def history(self) -> tuple[Record, State, list[dict[int, Label]]]:
        """For the report: the manifest, the state, and what was labeled at each batch and now, by row."""
        state = self._state()
        now_labeled = state.labels
        then = labels_at_asks(self._folder.read()[0], self._ids)
        moments = [{row: now_labeled[row] for row in labels if row in now_labeled} for labels in then]
        return self._manifest, state, [*moments, dict(now_labeled)]

    def cross_validate(self, moments: Sequence[dict[int, Label]]) -> pd.DataFrame | str:
        """What the model is worth on the labels of each moment, or why that cannot be said."""
        from autoal.session.estimate import cross_validated

        lacks = lacks_model(self._manifest, self._state(), self._model)
        if lacks is not None:
            return f"It needs {lacks}."
        key = describe_model(self._model)
        try:
            return cross_validated(
                self._inputs(), list(moments), self.task, model=self._model,
                device=self._own_device, seed=self._manifest["seed"],
                key=key["digest"] if key else "", cache=self.folder / "estimates.json",
            )  # fmt: skip
        except AutoALError as error:  # a part of the labels that the model does not take is no reason for no page
            return f"The model could not be trained on a part of the labels: {error}"

    def __repr__(self) -> str:
        shown = ", ".join(f"{count} {what}" for what, count in self.status().items() if what != "classes")
        return f"Session({str(self.folder)!r}: {shown})"

    def _repr_html_(self) -> str:
        """For notebooks: how the labelling stands, labels by class, and what the audit says."""
        return session_card(self.folder, self.task, self.status(), self._state())

    # --- inside -----------------------------------------------------------------------------------------------

    def _asking(self, state: State) -> Asking:
        return Asking(self._folder, self._manifest, self._ids, self._space, self._inputs(), state)

    def _keep(self, asked: Asked, state: State) -> None:
        """Puts a batch into the journal. The caller holds the lock."""
        self.selector = asked.selector
        before = state.checkpoint
        asked.remember(self._folder)
        self._write(asked.record, state)
        self._folder.forget("start", before, state.checkpoint)

    def _state(self, mend: bool = False) -> State:
        """The state as the journal has it, read again where another process has added to it."""
        mark = self._folder.mark()
        if mark != self._seen or mark is None:
            records, good = self._folder.read()
            if mend:
                self._folder.mend(good)
                mark = self._folder.mark()
            journal, remedy = self._folder.journal, self._folder.remedy
            self._replayed = checked_state(records, self._ids, self._space, journal, remedy)
            self._seen = mark
        return self._replayed

    @contextlib.contextmanager
    def _writing(self) -> Iterator[State]:
        """The newest state, which nobody else changes meanwhile."""
        with self._folder.lock():
            yield self._state(mend=True)

    def _write(self, record: Record, state: State) -> None:
        record = json.loads(dumps(record))  # the state holds what the journal holds
        self._folder.append(record)
        state.apply(record, self._ids)
        self._seen = self._folder.mark()

    def _shown(self, query: Query) -> Query:
        """The query with what there is to look at, and the classes for whoever labels."""
        seen = set(self._state().labels.values()) if self.task == "classification" else set()
        about, show = self._manifest["data"], None
        if about["kind"] != "outside" or self._rows is not None:
            try:
                show = show_pool(about, self._pool, query.indices, self._files_of)
            except (DataMissing, RunError) as error:
                warnings.warn(f"the batch holds ids only, since its rows are not at hand: {error}", AutoALWarning, 3)
        return replace(query, show=show, classes=self._space.classes or sorted(seen, key=str), task=self.task)

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

    @property
    def _own_device(self) -> Any:
        return self._device or self._manifest["device"]

    def _fitted(self, state: State) -> Trained:
        check_can_fit(self._manifest, state, self._model, self.folder)
        known = Known.of(state.labels, self.task, self._space.classes)
        seed = derive_seed(self._manifest["seed"], "fit")
        return trained(self._inputs(), known, model=self._model, device=self._own_device, seed=seed)

    def _pool(self) -> Rows:
        path = None if self._given else file_of(self._manifest["data"], self._folder.path)
        mark = None if path is None else mark_of(path)
        if self._rows is None or (path is not None and mark != self._pool_mark):
            # Again where it was written to meanwhile: what is mapped of a file that has shrunk ends the process.
            self._rows = load_inputs(self._manifest["data"], self._folder.path)
            self._rows.use(self._encoder)
            self._pool_mark = mark
        return self._rows

    def _inputs(self) -> Rows:
        rows = self._pool()
        described = self._manifest.get("encoder")
        if described is not None and self._encoder is None:
            raise InvalidInput(
                f"this session was created with the encoder {described}; pass it again: "
                f"Session.open({str(self._folder.path)!r}, encoder=...)"
            )
        return rows
