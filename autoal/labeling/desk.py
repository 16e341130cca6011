"""The desk at which somebody labels: what is next, and what becomes of an answer. One object for one page server."""

from __future__ import annotations

import threading
import time
from typing import Any

from autoal.errors import InvalidInput
from autoal.labeling.chooser import Chooser
from autoal.labeling.choosing import guesses_of
from autoal.labeling.gains import gains, outlook
from autoal.labeling.keys import keys_of
from autoal.labeling.looks import Looks, Picture
from autoal.labeling.options import Notes
from autoal.session import Session
from autoal.session.labels import Label, LabelSpace
from autoal.session.state import OUT_OF_CLASS

__all__ = ["Desk", "Superseded", "first_batch"]

AHEAD = 5
"""Points sent at once: the one to label, and some that a page may load beforehand."""
SKIPPED = "skipped in the page"
MOST_CLASSES = 500
PATIENCE_S = 1.5
"""After which the process that chooses is started, where there is something to label meanwhile."""


class Superseded(InvalidInput):
    """An answer to a point that has another by now."""


class Desk:
    """Every method may be called from any thread; answers are in the journal when it returns."""

    def __init__(self, session: Session, notes: Notes, chooser: Chooser) -> None:
        self._session, self._notes, self._chooser = session, notes, chooser
        self._lock = threading.RLock()
        self._looks = Looks(session, session.history()[0]["data"], notes.show)
        self._space = LabelSpace(session.task, session.classes)
        self._guesses: dict[int, dict[str, tuple[Any, float]]] = {}
        self._outlook: str | None = None
        self._looked_at = -1
        self._ids = session.ids
        if session.pending:
            # Another process that loads torch would take the processor from the first picture, and has time.
            later = threading.Timer(PATIENCE_S, chooser.check)
            later.daemon = True
            later.start()
        else:
            chooser.check()

    # --- answers ----------------------------------------------------------------------------------------------

    def label(self, row: int, name: str) -> None:
        """Takes the class called `name`, or in a regression the number, as the label of a row that is asked for.

        Raises InvalidInput for a class that is not on the page, Superseded where the row has another answer by now.
        """
        with self._lock:
            self._open(row)
            if self._session.task == "regression":
                label: Any = self._space.read([name])[0]
            else:
                known = {str(label): label for label in self.classes()}
                if name not in known:
                    raise InvalidInput(f"got the class {name!r}, which is not on the page; reload it")
                label = known[name]
            self._session.tell(self._ids[row], label)
        self._chooser.check()

    def skip(self, row: int, *, foreign: bool) -> None:
        """Passes a row over; `foreign` says that it belongs to none of the classes, from which the selector learns."""
        with self._lock:
            self._open(row)
            self._session.skip(self._ids[row], OUT_OF_CLASS if foreign else SKIPPED)
        self._chooser.check()

    def undo(self) -> None:
        """Takes the latest answer back; its point is the next one again."""
        with self._lock:
            self._session.undo()
        self._chooser.check()

    def add_class(self, name: str) -> None:
        """One more class at the end. Raises InvalidInput where classes are fixed, and for what cannot be a label."""
        with self._lock:
            if not self.can_add:
                raise InvalidInput("the classes of this session are fixed; begin another one to have others")
            known = self.classes()
            example = known[0] if known else None
            text = name.strip()
            label = self._space.plain(self._space.read([text], example)[0] if example is not None else text, example)
            if str(label) in {str(other) for other in known}:
                raise InvalidInput(f"the class {text!r} is there already")
            if len(known) >= MOST_CLASSES:
                raise InvalidInput(f"got more than {MOST_CLASSES} classes; wanted fewer")
            self._notes.added.append(label)
            self._notes.write()

    def retry(self) -> None:
        """Tries to choose the next batch once more."""
        self._chooser.check()

    def close(self) -> None:
        """Ends the choosing."""
        with self._lock:
            self._chooser.close()

    def standing(self) -> str:
        """How the session stands, in words."""
        with self._lock:
            status = self._session.status()
        open_ = status["left"] + status["pending"]
        return f"{status['labeled']} labeled, {status['skipped']} skipped, {open_} left of {status['points']}"

    def _open(self, row: int) -> None:
        """Raises InvalidInput for no row of the pool, Superseded for one that is not waiting for an answer."""
        if not 0 <= row < len(self._ids):
            raise InvalidInput(f"got row {row}; wanted one of the {len(self._ids)} of the pool")
        if row not in self._session.state().pending:
            raise Superseded(f"{self._ids[row]!r} has an answer already, perhaps from another page; this is the next")

    # --- looking ----------------------------------------------------------------------------------------------

    @property
    def can_add(self) -> bool:
        return self._session.task != "regression" and self._session.classes is None

    def classes(self) -> list[Label]:
        """In the order they were named in, then others that labels have; none in a regression."""
        if self._session.task == "regression":
            return []
        fixed = self._session.classes
        known = self._session.labeled.values() if fixed is None else fixed
        named = [label for label in self._notes.added if fixed is None or label in fixed]
        return list(dict.fromkeys([*named, *known]))

    def picture(self, row: int) -> Picture:
        """Raises InvalidInput for a row that is not in the pool, or no picture."""
        if not 0 <= row < len(self._ids) or self._looks.kind != "picture":
            raise InvalidInput(f"got row {row}; wanted a picture of the pool, which has {len(self._ids)} rows")
        return self._looks.picture(row)

    def view(self) -> dict[str, Any]:
        """All that the page shows, as JSON."""
        with self._lock:
            session, standing, state = self._session, self._chooser.standing, self._session.state()
            status = session.status()
            self._look_again(status["rounds"])
            rows = list(state.pending)
            number = state.pending[rows[0]] if rows else len(state.asks) - 1
            asked = [row for row, latest in state.asked.items() if latest == number]
            names = [str(label) for label in self.classes()]
            began = standing.since
            return {
                "phase": "labeling" if rows else "choosing" if status["left"] or not status["rounds"] else "done",
                "session": session.folder.name,
                "task": session.task,
                "kind": self._looks.kind,
                "classes": [{"name": name, "key": key} for name, key in zip(names, keys_of(names), strict=True)],
                "can_add": self.can_add,
                "counts": {**status, "rejected": len(state.rejected)},
                "batch": {
                    "number": number + 1,
                    "size": len(asked),
                    "done": sum(row not in state.pending for row in asked),
                },
                "items": [self._item(row, state.pending[row]) for row in rows[:AHEAD]],
                "choosing": None if began is None else {"for": time.monotonic() - began, "usual": standing.usual},
                "failed": standing.failed,
                "says": gains(session, state, self._ids, self._guesses),
                "outlook": self._outlook,
                "can_undo": bool(state.answers),
            }

    def _item(self, row: int, number: int) -> dict[str, Any]:
        label, confidence = self._guesses.get(number, {}).get(str(self._ids[row]), (None, None))
        guess = None if label is None else {"name": _plain(label), "confidence": confidence}
        return {"row": row, "name": str(self._ids[row]), "round": number + 1, "guess": guess, **self._looks.of(row)}

    def _look_again(self, rounds: int) -> None:
        """What is read once for each batch: guesses for it, and the outlook."""
        if rounds != self._looked_at:
            self._guesses, self._outlook = guesses_of(self._session.folder), outlook(self._session)
            # Guesses are written right after the batch; until they are there, look again.
            self._looked_at = rounds if rounds - 1 in self._guesses or self._cold(rounds - 1) else -1

    def _cold(self, number: int) -> bool:
        """Whether a batch was chosen without a model."""
        return number < 0 or "cold_start" in self._session.state().asks[number]["diagnostics"]


def first_batch(session: Session, batch_size: int) -> None:
    """Asks for the first batch here where it takes no model: that is quicker than another process starts."""
    status = session.status()
    if not status["rounds"] and not status["labeled"]:
        session.ask_ahead(batch_size)


def _plain(label: Any) -> str:
    return f"{label:.6g}" if isinstance(label, float) else str(label)
