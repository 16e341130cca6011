"""Trials in this process, or several at a time in processes of their own."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna
import torch
from optuna.trial import TrialState

from autoal.disk import locked
from autoal.errors import AutoALWarning, RunError
from autoal.experiment.workers import POLL_S, check_travels, die_with_parent, start_undisturbed
from autoal.study.book import Book
from autoal.study.objective import CellsFailed, Objective, OnStep

__all__ = ["OnTrial", "play_all", "play_in_processes", "workers_gone"]

OnTrial = Callable[[int, int, str], None]
"""Called as progress(seeds of all trials done, in all, what finished last)."""
IDLE_DEATHS = 3
"""Processes that may die without a trial in hand before we give up."""


@dataclass
class _Tally:
    """Seeds done: of trials that are finished all, of those under way as many as they say."""

    trials: int
    seeds: int
    progress: OnTrial | None
    finished: int
    under_way: dict[int, int] = field(default_factory=dict)

    def step(self, number: int, done: int, seed: int, mean: float) -> None:
        self.under_way[number] = done
        if self.progress is not None:
            total = self.finished * self.seeds + sum(self.under_way.values())
            what = f"trial {number}, seed {seed}: gain {mean:+.2f}"
            self.progress(min(total, self.trials * self.seeds), self.trials * self.seeds, what)

    def end(self, number: int) -> None:
        self.under_way.pop(number, None)
        self.finished += 1


def play_all(book: Book, objective: Objective, progress: OnTrial | None) -> None:
    """Plays the trials that are missing, one after the other."""
    tally = _Tally(book.config.trials, len(objective.grid.seeds), progress, book.finished())
    while (trial := book.next()) is not None:
        error = _play(book, trial, objective, tally.step)
        tally.end(trial.number)
        if error:
            warnings.warn(error, AutoALWarning, stacklevel=3)


def _play(book: Book, trial: optuna.Trial, objective: Objective, step: OnStep) -> str:
    """Plays one trial and tells the storage its end; gives the error of one that failed, as text."""
    try:
        values = objective(trial, step)
    except optuna.TrialPruned:
        book.study.tell(trial, state=TrialState.PRUNED)
    except CellsFailed as error:
        trial.set_user_attr("error", str(error))
        book.study.tell(trial, state=TrialState.FAIL)
        return f"trial {trial.number} failed: {error}"
    else:
        book.study.tell(trial, list(values))
    return ""


def workers_gone(folder: Path) -> None:
    """Waits until the processes of a study that was killed are gone; each ends when it misses its parent."""
    with locked(_alive(folder), 60.0, f"processes of an earlier call are still at work in {folder}; end them first"):
        pass


def _alive(folder: Path) -> Path:
    """Locked, together with others, by each process of a study as long as it lives."""
    return folder / ".workers.lock"


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    owner: str
    ready: bool = False
    busy: bool = False
    over: bool = False


def play_in_processes(book: Book, objective: Objective, workers: int, progress: OnTrial | None) -> None:
    """Plays the trials that are missing, `workers` at a time.

    A process that dies is replaced; its trial is run once more. Raises RunError where processes cannot be started.
    """
    check_travels(objective.make_selector)
    name = book.study.study_name
    tally = _Tally(book.config.trials, len(objective.grid.seeds), progress, book.finished())
    started = idle_deaths = 0
    crew: list[_Worker] = []
    try:
        for _ in range(min(workers, max(1, book.config.trials - tally.finished))):
            crew.append(_start(objective, name, started))
            started += 1
        while crew:
            handles = [handle for worker in crew for handle in (worker.pipe, worker.process.sentinel)]
            multiprocessing.connection.wait(handles, timeout=POLL_S)
            for worker in list(crew):
                alive = worker.process.is_alive()
                _listen(worker, tally)
                if alive:
                    continue
                crew.remove(worker)
                worker.process.join()
                worker.pipe.close()
                if worker.over:
                    continue
                idle_deaths += not worker.busy
                if not worker.ready or idle_deaths > IDLE_DEATHS:
                    raise RunError(
                        f"a process of the study ended (exit code {worker.process.exitcode}; what it printed is "
                        "above); a script that starts a study needs `if __name__ == '__main__':`; or use workers=1"
                    )
                book.fail_over(worker.owner)
                crew.append(_start(objective, name, started))
                started += 1
    finally:
        for worker in crew:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def _start(objective: Objective, name: str, number: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    owner = f"worker {number}"
    process = context.Process(target=_work, args=(objective, name, owner, theirs), daemon=True)
    start_undisturbed(process)
    theirs.close()
    return _Worker(process, ours, owner)


def _listen(worker: _Worker, tally: _Tally) -> None:
    """Takes what the worker has sent."""
    try:
        while worker.pipe.poll():
            what, *values = worker.pipe.recv()
            if what == "ready":
                worker.ready = True
            elif what == "step":
                worker.busy = True
                tally.step(*values)
            elif what == "over":
                worker.over = True
            else:
                worker.busy = False
                number, error = values
                tally.end(number)
                if error:
                    warnings.warn(error, AutoALWarning, stacklevel=4)
    except (EOFError, OSError):
        return


def _work(objective: Objective, name: str, owner: str, pipe: Connection) -> None:
    """A worker's life: trials until none is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    die_with_parent()
    torch.set_num_threads(1)
    with locked(_alive(objective.folder), 60.0, "a study is being begun in this folder", shared=True):
        book = Book(objective.study, name, objective.folder, len(objective.grid.seeds))
        pipe.send(("ready",))
        while (trial := book.next(owner)) is not None:
            error = _play(book, trial, objective, lambda *values: pipe.send(("step", *values)))
            pipe.send(("end", trial.number, error))
    pipe.send(("over",))
