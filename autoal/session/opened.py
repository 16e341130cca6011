"""A session's folder as it stands: the journal replayed, written to under its lock, and the rows of the pool."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from autoal.disk import dumps
from autoal.errors import AutoALError, InvalidInput
from autoal.installed import versions
from autoal.session.describe import describe_model, warn_of_changes
from autoal.session.folder import Folder
from autoal.session.labels import LabelSpace
from autoal.session.stamps import check_stamp, mark_of
from autoal.session.state import Record, State, checked_state

if TYPE_CHECKING:
    from autoal.data import Rows
    from autoal.selectors import AutoAL
    from autoal.session.outlook import Outlook

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
        self._replayed = State()
        self._seen: Any = self  # no mark of a journal: it has not been read
        self._looked: dict[Any, Outlook] = {}
        self.selector: AutoAL | None = None
        """The AutoAL of the latest `ask` of this process, to look into (`leaderboard()`, `model_`); None before."""

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
        if encoder is not None:
            from autoal.encoders import check_encoder

            check_encoder(encoder)
        session = cls(Folder(os.path.abspath(folder)), model=model, encoder=encoder, device=device, progress=progress)
        if X is not None:
            from autoal.data import as_rows
            from autoal.session.inputs import same_inputs

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
        warn_of_changes(session._folder.path, latest, describe_model(model), versions())
        return session

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

    @property
    def _own_device(self) -> Any:
        return self._device or self._manifest["device"]

    def _pool(self) -> Rows:
        from autoal.session.inputs import file_of, load_inputs

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
