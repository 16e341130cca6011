"""Cells in several processes of this machine. A process that hangs or dies costs its own cell and no other."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from autoal.errors import RunError
from autoal.experiment.cell import Cell, CellTimeLimit, MakeSelector
from autoal.experiment.job import Job, travelling
from autoal.experiment.progress import Ledger

__all__ = ["Settle", "check_travels", "die_with_parent", "run_in_processes", "start_undisturbed"]

Settle = Callable[[Cell, BaseException | None], None]
"""Called once for each cell, with what it raised."""
POLL_S = 0.5
DEATHS = 2
"""A cell whose process dies this often has failed; the first time may have been a neighbour's fault (memory)."""


def check_travels(make_selector: MakeSelector) -> None:
    """Raises RunError where `make_selector` cannot be sent to another process."""
    try:
        pickle.dumps(make_selector)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RunError(
            f"make_selector cannot be sent to worker processes ({error}); use a function at the top of a module, or "
            "workers=1"
        ) from error


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    cell: Cell | None = None
    begun: float | None = None
    """When the cell in hand was begun; None while the process is still importing."""
    ready: bool = False

    def overdue(self, limit_s: float | None) -> bool:
        # A moment more than the worker gives itself, so that a cell that ends between rounds says so itself.
        return limit_s is not None and self.begun is not None and time.monotonic() - self.begun > limit_s + POLL_S

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_in_processes(job: Job, todo: Sequence[Cell], workers: int, ledger: Ledger, settle: Settle) -> None:
    """Computes `todo`, one cell per process at a time.

    A cell that is over the time limit is ended with its process. Raises RunError where no worker can be started.
    """
    check_travels(job.make_selector)
    waiting = list(reversed(todo))
    deaths: dict[str, int] = {}
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.cell is not None for worker in crew):
            while len(crew) < min(workers, len(waiting) + sum(worker.cell is not None for worker in crew)):
                crew.append(_start(job))
            for worker in crew:
                if worker.cell is None and waiting:
                    worker.cell = waiting.pop()
                    worker.pipe.send(worker.cell)
            handles = [handle for worker in crew for handle in (worker.pipe, worker.process.sentinel)]
            multiprocessing.connection.wait(handles, timeout=POLL_S)
            for worker in list(crew):
                # Looked at before the pipe is read: what a process said before it died is then read too.
                alive = worker.process.is_alive()
                _listen(worker, ledger, settle)
                cell = worker.cell
                if alive and not worker.overdue(job.config.cell_time_limit):
                    continue
                crew.remove(worker)
                worker.end()
                if not worker.ready:
                    raise RunError(
                        f"a worker process ended while it started (exit code {worker.process.exitcode}; what it "
                        "printed is above); a script that starts a run needs `if __name__ == '__main__':`; or use "
                        "workers=1"
                    )
                if cell is None:
                    continue
                if alive:
                    assert job.config.cell_time_limit is not None
                    settle(cell, CellTimeLimit(job.config.cell_time_limit))
                    continue
                deaths[cell.key] = deaths.get(cell.key, 0) + 1
                if deaths[cell.key] < DEATHS:
                    ledger.stopped(cell)
                    waiting.insert(0, cell)
                else:
                    code = worker.process.exitcode
                    settle(
                        cell,
                        RunError(
                            f"its process died twice (exit code {code}), as when memory runs out; try --workers 1"
                        ),
                    )
    finally:
        for worker in crew:
            worker.end()


def start_undisturbed(process: BaseProcess) -> None:
    """Starts a process that no interrupt reaches, which the parent ends: also not while it imports, where Python would
    print a traceback of its own. One that comes meanwhile reaches the parent."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        process.start()
        return
    resource_tracker.ensure_running()  # which lets interrupts through once it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(job: Job) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(job, theirs), daemon=True)
    start_undisturbed(process)
    theirs.close()
    return _Worker(process, ours)


def _listen(worker: _Worker, ledger: Ledger, settle: Settle) -> None:
    """Takes what the worker has sent."""
    try:
        while worker.pipe.poll():
            what, value = worker.pipe.recv()
            if what == "ready":
                worker.ready = True
                continue
            cell = worker.cell
            assert cell is not None
            if what == "begun":
                worker.begun = time.monotonic()
                ledger.begun(cell)
            elif what == "round":
                ledger.round(cell, value)
            else:
                worker.cell = worker.begun = None
                settle(cell, value)
    except (EOFError, OSError):
        return


def _work(job: Job, pipe: Connection) -> None:
    """A worker's life: cells until the pipe closes."""
    # Ctrl-C reaches the whole group; the parent ends us, and one message is enough.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    torch.set_num_threads(1)
    pipe.send(("ready", None))

    def on_round(cell: Cell, number: int) -> None:
        pipe.send(("round", number + 1))

    while True:
        try:
            cell: Any = pipe.recv()
        except EOFError:
            return
        pipe.send(("begun", None))
        pipe.send(("done", travelling(job.attempt(cell, on_round))))


def die_with_parent() -> None:
    """Sees to it that this process ends when its parent is killed, so that nobody writes into a folder that a new
    run has taken over."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        assert parent is not None
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
