"""Cells as tasks of Ray, on one machine or on a cluster that shares the run's folder.

A cell is one task with one CPU and one thread. It writes its files where a local process would, into the folder of
the run: on a cluster that folder, and the data below `$AUTOAL_DATA`, must be on a file system that all machines see
under the same path. Each machine needs autoal and the package of the selectors installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch

from autoal.cluster import ray_module
from autoal.compute import resolve_device
from autoal.errors import ConfigError, RunError
from autoal.experiment.cell import Cell, CellTimeLimit
from autoal.experiment.job import Job, Travelling, travelling
from autoal.experiment.progress import Ledger
from autoal.experiment.workers import POLL_S, Settle

__all__ = ["run_on_ray"]

GRACE_S = 2.0
"""A cell over its limit ends itself between rounds; only when it does not is its process ended."""


def run_on_ray(job: Job, todo: Sequence[Cell], workers: int | None, ledger: Ledger, settle: Settle) -> None:
    """Computes `todo`. With $RAY_ADDRESS set, on that cluster; else on a Ray of our own with `workers` CPUs.

    `workers` is the most cells at a time; on a cluster, as many as it has CPUs (or GPUs) where None. A Ray that runs
    in this process already is used and left running. Raises RunError where ray is not installed.
    """
    ray = ray_module("use --engine local")
    device = resolve_device(job.config.device)
    if device.type == "cuda" and device.index is not None:
        raise ConfigError(f"got device {str(device)!r}; Ray hands out GPUs itself: wanted 'cuda' or 'cpu'")
    # The device of the process that began the run, so that no machine decides for itself; the folder likewise.
    job = replace(job, config=job.config.changed(device=device.type), folder=job.folder.resolve())
    ours = not ray.is_initialized()
    if ours:
        cluster = os.environ.get("RAY_ADDRESS")
        local = {} if cluster else {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
        ray.init(address=cluster or "local", log_to_driver=False, configure_logging=False, **local)
    try:
        slots = int(ray.cluster_resources().get("GPU" if device.type == "cuda" else "CPU", 1))
        ledger.abreast = max(1, min(slots, workers or slots))
        _run(ray, job, list(reversed(todo)), ledger, settle, gpus=1 if device.type == "cuda" else 0)
    finally:
        if ours:
            ray.shutdown()


@dataclass
class _Task:
    cell: Cell
    begun: float | None = None
    ended: bool = False


def _run(ray: ModuleType, job: Job, waiting: list[Cell], ledger: Ledger, settle: Settle, *, gpus: int) -> None:
    clerk = ray.remote(num_cpus=0)(_Clerk).remote()
    common = ray.put(job)
    # Two tries, as for local processes: the first death may have been a neighbour's fault.
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(_compute)
    data = os.environ.get("AUTOAL_DATA")
    running: dict[Any, _Task] = {}
    limit = job.config.cell_time_limit
    while waiting or running:
        # No more than can run at once, so that Ctrl-C leaves no queue behind.
        while waiting and len(running) < ledger.abreast:
            cell = waiting.pop()
            running[task.remote(common, cell, clerk, data)] = _Task(cell)
        finished, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
        keys = {entry.cell.key: entry for entry in running.values()}
        for key, count in ray.get(clerk.news.remote()):
            entry = keys.get(key)
            if entry is None:
                continue
            if count is None:
                entry.begun = time.monotonic()
                ledger.begun(entry.cell)
            else:
                ledger.round(entry.cell, count)
        for reference in finished:
            entry = running.pop(reference)
            settle(entry.cell, _outcome(ray, reference, entry, limit))
        for reference, entry in running.items():
            over = limit is not None and entry.begun is not None and time.monotonic() - entry.begun > limit + GRACE_S
            if over and not entry.ended:
                entry.ended = True
                ray.cancel(reference, force=True)


def _outcome(ray: ModuleType, reference: Any, entry: _Task, limit: float | None) -> BaseException | None:
    try:
        error: Travelling | None = ray.get(reference)
        return error
    except ray.exceptions.RayTaskError as error:
        # Cells give back what they raise; this came before, as when a module is not installed where the task ran.
        return RunError(f"its Ray task could not begin: {error.cause!r}; is everything installed on all machines?")
    except ray.exceptions.RayError as error:
        if entry.ended and limit is not None:
            return CellTimeLimit(limit)
        return RunError(
            f"its Ray task was lost twice ({type(error).__name__}), as when memory runs out; try fewer --workers"
        )


class _Clerk:
    """An actor that hands on what tasks report, in order."""

    def __init__(self) -> None:
        self.items: list[tuple[str, int | None]] = []

    def tell(self, key: str, count: int | None) -> None:
        self.items.append((key, count))

    def news(self) -> list[tuple[str, int | None]]:
        items, self.items = self.items, []
        return items


def _compute(job: Job, cell: Cell, clerk: Any, data: str | None) -> Travelling | None:
    """One task."""
    torch.set_num_threads(1)
    if data is not None:
        os.environ["AUTOAL_DATA"] = data
    clerk.tell.remote(cell.key, None)
    return travelling(job.attempt(cell, lambda _, number: clerk.tell.remote(cell.key, number + 1)))
