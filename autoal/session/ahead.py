"""When the next batch is due, so that it is there before the latest one is done: a matter of the journal alone.

Once half of a batch has an answer, the next one is chosen from the journal as it was then. Answers that come in
meanwhile stand behind that line; the next batch is the same whether they do or not, and the same when the process that
was choosing is killed and another one begins again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from autoal.disk import locked
from autoal.session.folder import REMEDY, Folder
from autoal.session.ids import Ids
from autoal.session.state import Record, State, replayed

__all__ = ["choosing", "due", "labels_at_asks"]

WAIT_S = 1.0


def due(records: Sequence[Record], ids: Ids) -> int | None:
    """The number of lines of the journal that the next batch is chosen from; None where it is not due yet.

    Those up to the first line after which half of the points of the latest batch, rounded up, are answered; all there
    are where there is no batch yet. An answer taken back later changes nothing: the next batch was due by then.
    """
    asks = [place for place, record in enumerate(records) if record["event"] == "ask"]
    if not asks:
        return len(records)
    state = replayed(records[: asks[-1] + 1], ids)
    number = len(asks) - 1
    waiting = sum(latest == number for latest in state.pending.values())
    half = waiting // 2
    for place in range(asks[-1] + 1, len(records) + 1):
        if sum(latest == number for latest in state.pending.values()) <= half:
            return place
        if place < len(records):
            state.apply(records[place], ids)
    return None


def labels_at_asks(records: Sequence[Record], ids: Ids) -> list[list[int]]:
    """The rows that were labeled in the lines that each batch was chosen from."""
    asks = [record.get("lines", place) for place, record in enumerate(records) if record["event"] == "ask"]
    state = State()
    found: dict[int, list[int]] = {0: []}
    for place, record in enumerate(records, start=1):
        state.apply(record, ids)
        if place in asks:
            found[place] = list(state.labels)
    return [found[lines] for lines in asks]


@contextlib.contextmanager
def choosing(folder: Folder, wait_s: float | None = None) -> Iterator[None]:
    """Held while a batch is chosen, which others may write during, but not choose. Raises RunError where another
    process holds it for longer than `wait_s` (WAIT_S)."""
    folder.check()
    message = f"another process is choosing the next batch of {folder.path}; wait until it is done, then do it again"
    with locked(folder.path / ".choosing", WAIT_S if wait_s is None else wait_s, message, remedy=REMEDY):
        yield
