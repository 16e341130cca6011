"""Runs the cells of a config, here, in several processes or on Ray, and continues what was begun."""

from __future__ import annotations

import json
import platform
import subprocess
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from autoal.compute import resolve_device
from autoal.disk import differences, loads
from autoal.errors import AutoALWarning, ConfigError, DataMissing, RunError, UnknownName
from autoal.experiment.cell import Cell, MakeSelector, cells_of, is_finished
from autoal.experiment.config import ExperimentConfig, SelectorSpec, parse_config
from autoal.experiment.job import Job, Travelling
from autoal.experiment.progress import Ledger, OnProgress
from autoal.experiment.shards import Shard, compile_journal
from autoal.experiment.store import RunStore, early_key
from autoal.experiment.task import dataset_contents, dataset_fingerprint, forget_data
from autoal.experiment.task_models import check_model
from autoal.experiment.workers import run_in_processes
from autoal.installed import versions

__all__ = [
    "ENGINES",
    "Engine",
    "RunResult",
    "config_of_manifest",
    "manifest_of",
    "run",
    "run_cells",
    "try_selector",
]

Engine = Literal["local", "ray"]
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    folder: Path
    cells: int
    """How many this call was to compute."""
    failures: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Cells of other shards that are not there yet; while there are any, there is no journal."""

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
                f"details in {self.folder / 'failures*.jsonl'}; the same command computes the failed cells again and "
                "keeps the others",
            ]
        )


def run(
    config: ExperimentConfig,
    make_selector: MakeSelector,
    folder: str | Path,
    *,
    workers: int | None = None,
    engine: Engine = "local",
    shard: Shard | None = None,
    progress: OnProgress | None = None,
) -> RunResult:
    """Runs every cell of `config` that `folder` does not hold yet, and compiles the journal.

    With a `shard`, only the cells of that part; several shards may be at work in one folder, and whichever finds that
    all cells are there compiles the journal. A cell that raises is recorded and the others go on. Raises RunError
    where the folder holds another config or another process is at work in it, ConfigError or UnknownName where a
    selector or the model cannot be built.
    """
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    for scenario in config.datasets:
        check_model(config.of(scenario).model)
    for spec in config.selectors:
        try_selector(spec, make_selector)
    store = RunStore(folder)
    cells = cells_of(config)
    name = str(shard or "")
    with store.lock(name):
        store.begin(manifest_of(config))
        if shard is None:
            for path in store.shard_failures():  # these cells are all computed again
                path.unlink()
        mine = cells if shard is None else shard.part(cells)
        result = run_cells(
            config, mine, make_selector, store, workers=workers, engine=engine, shard=name, progress=progress
        )
    if shard is None:
        return result
    return RunResult(store.folder, len(mine), result.failures, compile_journal(store.folder))


def run_cells(
    config: ExperimentConfig,
    cells: Sequence[Cell],
    make_selector: MakeSelector,
    store: RunStore,
    *,
    workers: int | None = None,
    engine: Engine = "local",
    shard: str = "",
    progress: OnProgress | None = None,
) -> RunResult:
    """Runs `cells` and writes which of them failed; without a `shard`, compiles journal.jsonl and timings.jsonl too.

    The caller holds the lock of `store`.
    """
    store.write_failures([], shard)
    for cell in cells:  # all of them before any is read: in version 0.1.0 two could have one name
        store.cell(cell.key, cell.owner(config)).adopt(early_key(cell.dataset.label, cell.selector.label, cell.seed))
    found = {cell.key: _finished_rounds(store, cell, config) for cell in cells}
    done = {key for key, (_, finished) in found.items() if finished}
    rounds = {cell.key: config.of(cell.dataset).rounds + 1 for cell in cells}
    ledger = Ledger(cells, rounds, {key: number for key, (number, _) in found.items()}, progress)
    for cell in cells:
        if cell.key in done:
            ledger.counts[cell.key] = rounds[cell.key]  # fewer where the pool ran out
    ledger.done |= done
    ledger.report()
    failures: dict[str, dict[str, Any]] = {}

    def settle(cell: Cell, error: BaseException | None) -> None:
        if error is None:
            done.add(cell.key)
        else:
            failures[cell.key] = _failure(cell, error, store, config)
            # Written at once: what failed should be on disk if the run is killed later.
            store.write_failures(failures.values(), shard)
        ledger.settled(cell, failed=error is not None)

    todo = [cell for cell in cells if cell.key not in done]
    asked = workers or config.workers
    job = Job(config, make_selector, store.folder)
    if engine == "ray" and todo:
        from autoal.experiment.ray_engine import run_on_ray  # ray takes seconds to import, and is an extra

        run_on_ray(job, todo, workers or (asked if asked > 1 else None), ledger, settle)
    # A single cell needs no process of its own, except where a limit may have to end it.
    elif min(asked, len(todo)) <= 1 and (asked == 1 or config.cell_time_limit is None):
        for cell in todo:
            ledger.begun(cell)
            settle(cell, job.attempt(cell, lambda cell, number: ledger.round(cell, number + 1)))
    else:
        ledger.abreast = min(asked, len(todo))
        run_in_processes(job, todo, ledger.abreast, ledger, settle)
    if not shard:
        store.compile((cell.key for cell in cells), done)
    ordered = [failures[cell.key] for cell in cells if cell.key in failures]
    store.write_failures(ordered, shard)
    return RunResult(store.folder, len(cells), ordered)


def _finished_rounds(store: RunStore, cell: Cell, config: ExperimentConfig) -> tuple[int, bool]:
    """How many rounds of `cell` are on disk, and whether they are all."""
    files = store.cell(cell.key, cell.owner(config))
    if not files.path.exists():
        return 0, False
    records, _ = files.look()
    if is_finished(records):
        return len(records), True
    with files.open():
        return len(files.read()), False


def _failure(cell: Cell, error: BaseException, store: RunStore, config: ExperimentConfig) -> dict[str, Any]:
    kind, message = type(error).__name__, str(error)
    text = "".join(traceback.format_exception(error))
    if isinstance(error, Travelling):
        kind, message, text = error.kind, error.message, error.text
    try:
        number: int | None = len(store.cell(cell.key, cell.owner(config)).look()[0])
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
    forget_data()
    return {
        "format": 2,
        "config": config.identity(),
        "focus": config.focus,
        "reference": config.compared_with(),
        "stopping": list(config.stopping),
        "data": {spec.label: dataset_fingerprint(spec) for spec in config.datasets},
        "contents": {spec.label: dataset_contents(spec) for spec in config.datasets},
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
        manifest = loads(path.read_bytes())
    except OSError as error:
        raise DataMissing(
            f"got manifest {str(path)!r}, which cannot be read ({error.strerror}); wanted the manifest.json of a run"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error
    wanted = isinstance(manifest, dict) and all(isinstance(manifest.get(part), dict) for part in ("config", "data"))
    if not wanted:
        raise ConfigError(f"{path}: got JSON without config and data; wanted the manifest.json of a run")
    reference = {"reference": manifest["reference"]} if "reference" in manifest else {}
    rules = {"stopping": manifest.get("stopping", [])}
    config = parse_config({**manifest["config"], **reference, **rules}, where=str(path))
    now = json.loads(json.dumps(manifest_of(config)))
    changes = differences(manifest["data"], now["data"], "data")
    if isinstance(manifest.get("contents"), dict):  # earlier versions looked at 64 rows
        changes += differences(manifest["contents"], now["contents"], "contents")
    if changes:
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
