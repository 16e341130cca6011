"""A session's folder as it stands: the journal replayed, written to under its lock, and the rows of the pool."""

from __future__ import annotations

import contextlib
import functools
import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from autoal.data import Rows
from autoal.data.sources import picture_files
from autoal.disk import dumps
from autoal.errors import AutoALWarning, DataMissing, InvalidInput, RunError
from autoal.selectors import AutoAL, Query
from autoal.session.folder import Folder
from autoal.session.inputs import file_of, load_inputs
from autoal.session.labels import LabelSpace
from autoal.session.outlook import Outlook
from autoal.session.stamps import mark_of
from autoal.session.state import Record, State, checked_state
from autoal.tasks import show_pool

__all__ = ["Opened"]


class Opened:
    """What `Session` is made on: its folder, and what the journal amounts to by now."""

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
        seen = set(self._state().labels.values()) if self._space.task == "classification" else set()
        about, show = self._manifest["data"], None
        if about["kind"] != "outside" or self._rows is not None:
            try:
                show = show_pool(about, self._pool, query.indices, self._files_of)
            except (DataMissing, RunError) as error:
                warnings.warn(f"the batch holds ids only, since its rows are not at hand: {error}", AutoALWarning, 3)
        return replace(query, show=show, classes=self._space.classes or sorted(seen, key=str), task=self._space.task)

    @property
    def _own_device(self) -> Any:
        return self._device or self._manifest["device"]

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
