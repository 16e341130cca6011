"""Runs the cells of a config, here or in several processes, and continues what was begun."""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import multiprocessing.connection
import os
import pickle
import platform
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from autoal.compute import resolve_device
from autoal.errors import AutoALWarning, ConfigError, DataMissing, RunError
from autoal.experiment.cell import Cell, MakeSelector, cells_of, is_finished, run_cell
from autoal.experiment.config import ExperimentConfig, SelectorSpec, parse_config
from autoal.experiment.store import RunStore, differences, read_jsonl
from autoal.experiment.task import dataset_fingerprint
from autoal.experiment.task_models import check_model

__all__ = ["RunResult", "config_of_manifest", "manifest_of", "run", "run_cells", "try_selector"]

OnProgress = Callable[[int, int, str], None]
"""Called as progress(rounds done, rounds in all, what finished last)."""
POLL_S = 0.5


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    folder: Path
    cells: int
    failures: list[dict[str, Any]] = field(default_factory=list)

    def failure_message(self) -> str:
        """Which cells failed, why, and how to go on."""
        lines = [
            f"  {f['dataset']}, {f['selector']}, seed {f['seed']}, round {f['round']}: {f['type']}: {f['message']}"
            for f in self.failures
        ]
        more = [f"  ... and {len(lines) - 10} more"] if len(lines) > 10 else []
        return "\n".join(
            [
                f"{len(lines)} of {self.cells} cells failed:",
                *lines[:10],
                *more,
                f"details in {self.folder / 'failures.jsonl'}; the same command computes the failed cells again and "
                "keeps the others",
            ]
        )


def run(
    config: ExperimentConfig,
    make_selector: MakeSelector,
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> RunResult:
    """Runs every cell of `config` that `folder` does not hold yet, and compiles the journal.

    A cell that raises is recorded and the others go on. Raises RunError where the folder holds another config or
    another process is at work in it, ConfigError or UnknownName where a selector or the model cannot be built.
    """
    for scenario in config.datasets:
        check_model(config.of(scenario).model)
    for spec in config.selectors:
        try_selector(spec, make_selector)
    store = RunStore(folder)
    with store.lock():
        store.begin(manifest_of(config))
        return run_cells(config, cells_of(config), make_selector, store, workers=workers, progress=progress)


def run_cells(
    config: ExperimentConfig,
    cells: Sequence[Cell],
    make_selector: MakeSelector,
    store: RunStore,
    *,
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> RunResult:
    """Runs `cells`, writes failures.jsonl, journal.jsonl and timings.jsonl. The caller holds the lock of `store`."""
    store.write_failures([])
    rounds = {cell.key: config.of(cell.dataset).rounds + 1 for cell in cells}
    counts = {cell.key: 0 for cell in cells}
    done = set()
    for cell in cells:
        files = store.cell(cell.key)
        records = []
        if files.path.exists():
            with files.open():
                records = files.read()
        counts[cell.key] = len(records)
        if is_finished(records):
            done.add(cell.key)
            counts[cell.key] = rounds[cell.key]

    def report(what: str) -> None:
        if progress is not None:
            progress(sum(counts.values()), sum(rounds.values()), what)

    report("")
    failures: dict[str, dict[str, Any]] = {}

    def settle(cell: Cell, error: BaseException | None) -> None:
        counts[cell.key] = rounds[cell.key]
        if error is None:
            done.add(cell.key)
        else:
            failures[cell.key] = _failure(cell, error, store)
            # Written at once: what failed should be on disk if the run is killed later.
            store.write_failures(failures.values())
        report(str(cell))

    todo = [cell for cell in cells if cell.key not in done]
    workers = min(workers or config.workers, len(todo))
    if workers <= 1:
        for cell in todo:

            def on_round(cell: Cell, number: int) -> None:
                counts[cell.key] = number + 1
                report(str(cell))

            settle(cell, _attempt(config, cell, make_selector, store, on_round))
    else:
        _run_in_processes(config, todo, make_selector, store, workers, counts, settle, report)
    store.compile((cell.key for cell in cells), done)
    ordered = [failures[cell.key] for cell in cells if cell.key in failures]
    store.write_failures(ordered)
    return RunResult(store.folder, len(cells), ordered)


def _attempt(
    config: ExperimentConfig,
    cell: Cell,
    make_selector: MakeSelector,
    store: RunStore,
    on_round: Callable[[Cell, int], None] | None = None,
) -> Exception | None:
    """Runs one cell and gives back what it raised."""
    try:
        run_cell(config, cell, make_selector, store.cell(cell.key), on_round)
    except Exception as error:
        return error
    return None


def _work(config: ExperimentConfig, cell: Cell, make_selector: MakeSelector, folder: str) -> Exception | None:
    """The same in a worker process; an error that cannot travel back arrives as its text."""
    error = _attempt(config, cell, make_selector, RunStore(folder))
    if error is not None:
        text = "".join(traceback.format_exception(error))
        error = _Travelling(type(error).__name__, str(error), text)
    return error


class _Travelling(Exception):
    """An error of a worker as text: some exceptions pickle badly, and none keeps its traceback."""

    def __init__(self, kind: str, message: str, text: str) -> None:
        super().__init__(kind, message, text)
        self.kind, self.message, self.text = kind, message, text


def _failure(cell: Cell, error: BaseException, store: RunStore) -> dict[str, Any]:
    kind, message = type(error).__name__, str(error)
    text = "".join(traceback.format_exception(error))
    if isinstance(error, _Travelling):
        kind, message, text = error.kind, error.message, error.text
    try:
        number: int | None = len(read_jsonl(store.cell(cell.key).path)[0])
    except RunError:
        number = None
    return {
        "dataset": cell.dataset.label,
        "selector": cell.selector.label,
        "seed": cell.seed,
        "round": number,
        "type": kind,
        "message": message,
        "traceback": text,
    }


def _run_in_processes(
    config: ExperimentConfig,
    todo: list[Cell],
    make_selector: MakeSelector,
    store: RunStore,
    workers: int,
    counts: dict[str, int],
    settle: Callable[[Cell, BaseException | None], None],
    report: Callable[[str], None],
) -> None:
    """No more cells are handed out than there are workers, so that when one dies it is known which were at risk."""
    try:
        pickle.dumps(make_selector)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RunError(
            f"make_selector cannot be sent to worker processes ({error}); use a function at the top of a module, or "
            "workers=1"
        ) from error
    waiting = list(reversed(todo))
    deaths: dict[str, int] = {}
    while waiting:
        with ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
        ) as pool:
            running: dict[Future[Exception | None], Cell] = {}
            broken = False
            while (waiting and not broken) or running:
                while waiting and not broken and len(running) < workers:
                    cell = waiting.pop()
                    running[pool.submit(_work, config, cell, make_selector, str(store.folder))] = cell
                finished, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    cell = running.pop(future)
                    try:
                        settle(cell, future.result())
                    except BrokenProcessPool:
                        # One of the cells in hand killed its process (most often: out of memory). Each gets one
                        # more chance; the innocent ones pass it.
                        broken = True
                        deaths[cell.key] = deaths.get(cell.key, 0) + 1
                        if deaths[cell.key] > 1:
                            settle(cell, RunError("its process died twice, as when memory runs out; try --workers 1"))
                        else:
                            waiting.append(cell)
                for cell in running.values():
                    counts[cell.key] = _lines(store, cell)
                report("")


def _lines(store: RunStore, cell: Cell) -> int:
    path = store.cell(cell.key).path
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _begin_worker() -> None:
    """Sees to it that a worker ends when its parent is killed, so that nobody writes into a folder that a new run
    has taken over."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        assert parent is not None
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    torch.set_num_threads(1)


def try_selector(spec: SelectorSpec, make_selector: MakeSelector) -> None:
    """Builds a selector once, so that a wrong name or option stops a run before it begins.

    Raises UnknownName for a name, ConfigError for an option.
    """
    try:
        make_selector(spec)
    except TypeError as error:
        raise ConfigError(f"selector {spec.label!r} does not take {spec.options}: {error}") from error


def manifest_of(config: ExperimentConfig) -> dict[str, Any]:
    """What a reader needs in order to know how a journal was made. Loads the data sets."""
    return {
        "format": 1,
        "config": config.identity(),
        "focus": config.focus,
        "reference": config.compared_with(),
        "data": {spec.label: dataset_fingerprint(spec) for spec in config.datasets},
        "device": str(resolve_device(config.device)),
        "versions": versions(),
        "platform": platform.platform(),
        "revision": _revision(),
    }


def config_of_manifest(path: str | Path) -> ExperimentConfig:
    """The config of the run whose manifest.json this is; run again on a CPU it gives the same journal, bit for bit.

    Loads the data sets. Raises DataMissing where there is no such file, ConfigError where it is no manifest, RunError
    where a data set is not the one of then; warns where versions or the device differ.
    """
    path = Path(path)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataMissing(
            f"got manifest {str(path)!r}, which cannot be read ({error.strerror}); wanted the manifest.json of a run"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict) or not {"config", "data"} <= manifest.keys():
        raise ConfigError(f"{path}: got JSON without config and data; wanted the manifest.json of a run")
    reference = {"reference": manifest["reference"]} if "reference" in manifest else {}
    config = parse_config({**manifest["config"], **reference}, where=str(path))
    now = json.loads(json.dumps(manifest_of(config)))
    if changes := differences(manifest["data"], now["data"], "data"):
        shown = "\n  ".join(changes)
        raise RunError(
            f"{path} was made from other data:\n  {shown}\n"
            "put the data sets of then back, or run the config itself where their change is meant"
        )
    moved = [line for part in ("versions", "device") for line in differences(manifest.get(part), now[part], part)]
    if moved:
        warnings.warn(
            f"{path} was made elsewhere ({'; '.join(moved)}); figures may differ", AutoALWarning, stacklevel=2
        )
    return config


PACKAGES = ("autoal", "torch", "numpy", "scipy", "scikit-learn", "higher")


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Version of Python and of each package that is installed."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _revision() -> str | None:
    """Commit of the source this package runs from, with `+` where files differ from it; None outside a checkout."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    try:
        head = _git(source, "rev-parse", "HEAD").strip()
        return head + ("+" if _git(source, "status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(source: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=source, capture_output=True, text=True, check=True, timeout=10
    ).stdout
