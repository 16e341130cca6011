"""A labelling that lasts for weeks: ask for a batch, tell the answers as they come, in a folder that survives kills."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from autoal.data.sources import picture_files
from autoal.errors import AutoALWarning, DataMissing, PoolExhausted, RunError
from autoal.selectors import Query
from autoal.session.ahead import choosing, due
from autoal.session.answering import Answering
from autoal.session.asking import Asked, Asking, pending_query
from autoal.session.creating import make_session
from autoal.session.folder import WAIT_S, Folder
from autoal.session.learned import Learned
from autoal.session.stamps import mark_of
from autoal.session.state import State, replayed
from autoal.settings import Mode, Task, integer
from autoal.strategies.base import check_batch_size
from autoal.tasks import show_pool

__all__ = ["Session"]

TRIES = 2
"""How often a batch is chosen again because its points were answered meanwhile, before others have to wait."""


class Session(Answering, Learned):
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
            for tries in range(TRIES, -1, -1):
                asked = self._chosen(batch_size, embeddings, probs, alone=not tries)
                if asked is not None:
                    return self._shown(asked.query)
        raise AssertionError("with others kept out a batch is kept")

    def _chosen(self, batch_size: int, embeddings: Any, probs: Any, *, alone: bool) -> Asked | None:
        """The next batch, once it is in the journal. Unless `alone`, others may answer while it is chosen; where they
        answered its points meanwhile it is None, and nothing is written."""
        with contextlib.ExitStack() as held:
            state = held.enter_context(self._writing())
            self._check_left(batch_size, state)
            if not alone:
                held.close()
            asked = self._asking(state).ask(
                batch_size, model=self._model, device=self._device, progress=self._progress, embeddings=embeddings,
                probs=probs,
            )  # fmt: skip
            latest = state if alone else held.enter_context(self._writing())
            if latest.lines > state.lines:
                if len(latest.asks) > len(state.asks) or not latest.open(asked.query.indices.tolist()):
                    return None
                asked = asked._replace(record={**asked.record, "lines": state.lines})
            self._keep(asked, latest)
            return asked

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

    def _shown(self, query: Query) -> Query:
        """The query with what there is to look at, and the classes for whoever labels."""
        seen = set(self._state().labels.values()) if self._space.task == "classification" else set()
        about, show = self._manifest["data"], None
        if about["kind"] != "outside" or self._rows is not None:
            try:
                show = show_pool(about, self._pool, query.indices, self._files_of)
            except (DataMissing, RunError) as error:
                warnings.warn(f"the batch holds ids only, since its rows are not at hand: {error}", AutoALWarning, 3)
        return replace(query, show=show, classes=self._space.classes or sorted(seen, key=str), task=self._space.task)

    @functools.cached_property
    def _files_of(self) -> Callable[[Path], list[Path]]:
        return functools.cache(picture_files)

    def _asking(self, state: State) -> Asking:
        return Asking(self._folder, self._manifest, self._ids, self._space, self._inputs(), state)

    def _keep(self, asked: Asked, state: State) -> None:
        """Puts a batch into the journal. The caller holds the lock."""
        self.selector = asked.selector
        before = state.checkpoint
        asked.remember(self._folder)
        self._write(asked.record, state)
        self._folder.forget("start", before, state.checkpoint)

    def reopened(self) -> Session:
        """The same session on the same rows, model and encoder, for another thread: one object is for one thread."""
        other = type(self)(
            self._folder, model=self._model, encoder=self._encoder, device=self._device, progress=self._progress
        )
        other._rows, other._given, other._pool_mark = self._rows, self._given, self._pool_mark
        return other
