"""Label Studio with a session behind it: batches go in, answers come back, for as long as somebody labels.

What is where is read from the two sides, never remembered: a point has a task or it has none, an annotation was taken
or it was not. So either side may be stopped at any moment, and whoever comes back goes on from what is there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from autoal.disk import locked
from autoal.errors import AutoALError, InvalidInput
from autoal.labeling.guesses import guesses_of
from autoal.labeling.label_studio import MOMENT, Studio, Task, Unreachable
from autoal.labeling.serve_notes import Notes
from autoal.labeling.studio_answers import Rules, Taken, take_answers
from autoal.labeling.studio_tasks import Control, Found, found_in, session_tasks
from autoal.labeling.webhook import Bell
from autoal.selectors import Query
from autoal.session import Session
from autoal.tasks import Show, show_of

__all__ = ["ServeOptions", "Serving"]

Say = Callable[[str], None]

MARGIN_S = 10
"""Changes are asked for from this long before the latest one seen: they need not show in the order of their times."""
WHOLE_S = 300.0
"""After so long all tasks are read again, which shows what was deleted."""
RUNG_S = 60.0
"""How often is asked, at least, where a webhook says when to."""
SETTLE_S = 1.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0


@dataclass(frozen=True)
class ServeOptions:
    """How a session is served; names as in `autoal serve`."""

    batch_size: int = 20
    refill: int | None = None
    """Fewer open tasks than this, and the next batch follows; a quarter of a batch if None."""
    budget: int | None = None
    """Labels after which nothing more is asked for."""
    interval_s: float = 5.0
    cancelled: str = "cancelled"
    """Reason of points whose annotation was cancelled."""
    on_conflict: str = "fail"
    """What becomes of points whose annotators differ: see `autoal.session.votes`; "fail" leaves them until they
    agree."""
    guesses: bool = True
    files_root: str | None = None
    show: Any = None
    """What there is to look at, by id, where the pool does not say."""

    @property
    def low(self) -> int:
        return max(1, self.batch_size // 4) if self.refill is None else self.refill


class Serving:
    """One session in one project. `run` goes on until every point, or the budget, is done; `step` is one look."""

    def __init__(
        self, session: Session, studio: Studio, project: int, control: Control, options: ServeOptions, notes: Notes,
        say: Say, bell: Bell | None = None,
    ) -> None:  # fmt: skip
        self._session, self._studio, self._project, self._control = session, studio, project, control
        self._options, self._notes, self._say, self._bell = options, notes, say, bell
        self._rules = Rules(control.name, options.cancelled, options.on_conflict, f"label studio, project {project}")
        self._tasks: dict[int, Task] = {}
        self._since: str | None = None
        self._whole_at = -WHOLE_S
        self._said = ""
        self._complained: dict[int, str] = {}
        self._foreign: int | None = None

    def run(self, *, once: bool = False) -> None:
        """Looks, and looks again, until all is done; one time only with `once`.

        Where Label Studio does not answer it is asked again after a while, with `once` five times. Raises whatever
        cannot be mended by waiting, and KeyboardInterrupt, at which nothing is lost.
        """
        wait, failures = FIRST_WAIT_S, 0
        while True:
            try:
                done = self.step()
                if failures:
                    self._say("Label Studio answers again")
                wait, failures = FIRST_WAIT_S, 0
            except Unreachable as error:
                failures += 1
                if once and failures == 5:
                    raise
                self._say(f"{error}; trying again in {wait:.0f} s, nothing is lost")
                time.sleep(wait)
                wait, self._whole_at = min(2 * wait, LONGEST_WAIT_S), -WHOLE_S
                continue
            if done or once:
                return
            self._sleep()

    def step(self) -> bool:
        """Takes what was answered, and adds what is to be labeled next; whether all is done."""
        if self._notes.adding:
            self._settle()
        found = self._look(whole=time.monotonic() - self._whole_at >= WHOLE_S)
        missing, size = self._wanted(found)
        if missing or size:
            found = self._look(whole=True)  # nothing is added on the word of an old list
            missing, size = self._wanted(found)
        if missing:
            self._add(self._pending(missing), "asked for before")
        if size:
            began = time.monotonic()
            self._say(f"choosing the next {size} points")
            query = self._session.ask(size)
            how = query.diagnostics.get("cold_start") or f"chosen in {time.monotonic() - began:.1f} s"
            self._add(query, f"batch {self._session.n_rounds}; {how}")
        return self._standing(self._found())

    # --- what came back ---------------------------------------------------------------------------------------

    def _look(self, *, whole: bool) -> Found:
        """The session's tasks, once every answer in them is taken."""
        changed = self._studio.tasks(self._project, None if whole else self._since)
        if whole:
            self._tasks, self._whole_at = {}, time.monotonic()
        self._tasks.update({int(task["id"]): task for task in changed})
        latest = max((task["updated_at"] for task in self._tasks.values()), default="")
        if latest:
            self._since = (datetime.strptime(latest, MOMENT) - timedelta(seconds=MARGIN_S)).strftime(MOMENT)
        found = self._found()
        if found.foreign != self._foreign:
            if found.foreign:
                self._say(f"{many(found.foreign, 'task')} of the project not of this session, passed over")
            self._foreign = found.foreign
        if whole:
            for task in found.doubles:
                self._studio.remove(int(task["id"]))
                del self._tasks[int(task["id"])]
                self._say(f"task {task['id']} was there twice, and nobody had begun it: removed")
            found = self._found()
        self._report(take_answers(self._session, found.rows, self._notes, self._rules))
        return found

    def _found(self) -> Found:
        return found_in(self._tasks.values(), self._notes.session, len(self._session))

    def _report(self, taken: Taken) -> None:
        if taken.said:
            self._say(f"answers: {taken.said}")
        for row, words in taken.refused.items():
            if self._complained.get(row) != words:
                self._say(words)
        self._complained = dict(taken.refused)

    # --- what goes in -----------------------------------------------------------------------------------------

    def _wanted(self, found: Found) -> tuple[list[int], int]:
        """Rows that were asked for and have no task, and how many points to ask for."""
        status, opened = self._session.status(), self._open(found)
        missing = [row for row in self._rows("pending") if row not in found.rows]
        room = status["left"]
        if self._options.budget is not None:
            room = min(room, self._options.budget - status["labeled"] - len(opened) - len(missing))
        enough = len(opened) + len(missing) >= self._options.low
        return missing, 0 if enough else max(0, min(self._options.batch_size, room))

    def _rows(self, *states: str) -> list[int]:
        frame = self._session.to_frame()
        rows: list[int] = frame.loc[frame["state"].isin(states), "index"].tolist()
        return rows

    def _open(self, found: Found) -> list[int]:
        """Rows with a task that waits for its first annotation."""
        closed = set(self._rows("labeled", "skipped"))
        return [
            row
            for row, tasks in found.rows.items()
            if row not in closed and not any(task["annotations"] for task in tasks)
        ]

    def _pending(self, rows: list[int]) -> Query:
        return _only(self._session.pending_query(), set(rows))

    def _add(self, query: Query, how: str) -> None:
        show = query.show if self._options.show is None else show_of(query.ids, self._options.show)
        if show is None:
            raise nothing_to_show()
        guesses = guesses_of(self._session, query) if self._options.guesses else None
        tasks = session_tasks(
            query, self._notes.session, self._session.n_rounds, show, guesses, control=self._control,
            files_root=self._options.files_root,
        )  # fmt: skip
        self._notes.write(adding=True)
        self._studio.add(self._project, tasks)
        self._notes.write(adding=False)
        self._say(f"{many(len(tasks), 'task')} added ({how})")
        self._look(whole=True)

    def _settle(self) -> None:
        """After an addition of which nobody knows how it ended: waits until no more tasks turn up."""
        before = -1
        while before != (now := len(self._studio.tasks(self._project))):
            before = now
            time.sleep(SETTLE_S)
        self._notes.write(adding=False)

    # --- how it stands ----------------------------------------------------------------------------------------

    def _standing(self, found: Found) -> bool:
        status, opened = self._session.status(), len(self._open(found))
        words = (
            f"{opened} open in Label Studio; {status['labeled']} labeled, {status['skipped']} skipped, "
            f"{status['left']} left"
        )
        if words != self._said:
            self._say(words)
            self._said = words
        enough = self._options.budget is not None and status["labeled"] >= self._options.budget
        if (status["left"] == 0 or enough) and opened == 0 and not self._complained:
            self._say("every point is labeled or skipped: done" if not enough else "the budget is spent: done")
            return True
        return False

    def _sleep(self) -> None:
        if self._bell is None:
            time.sleep(self._options.interval_s)
        elif self._bell.rung.wait(max(self._options.interval_s, RUNG_S)):
            self._bell.rung.clear()
            time.sleep(0.2)  # several ring at a time, and the tool rings while it is still writing


def many(count: int, what: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def nothing_to_show() -> AutoALError:
    return InvalidInput(
        "the pool of this session is numbers, of which Label Studio has nothing to show; name a CSV with the ids and "
        "what to look at with --show"
    )


def _only(query: Query, rows: set[int]) -> Query:
    """The picks of a query that are of these rows."""
    kept = [place for place, row in enumerate(query.indices.tolist()) if row in rows]
    show = None if query.show is None else Show([query.show.fields[place] for place in kept], query.show.root)
    return replace(
        query, indices=query.indices[kept], ids=query.ids[kept], show=show,
        votes={name: vote[kept] for name, vote in query.votes.items()},
    )  # fmt: skip


@contextlib.contextmanager
def alone(session: Session) -> Iterator[None]:
    """Raises RunError where another process serves this session: both would add the same tasks."""
    message = f"{session.folder} is being served by another process; stop that one first"
    with locked(session.folder / ".serve", 0.0, message, remedy="choose a folder that can be written to"):
        yield
