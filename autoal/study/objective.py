"""What a trial is worth: the gain of its setting over the base, and what it costs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import Trial

from autoal.disk import dumps, locked, read_jsonl
from autoal.errors import RunError
from autoal.experiment.cell import Cell, MakeSelector, cells_of
from autoal.experiment.config import ExperimentConfig, SelectorSpec, StudyConfig
from autoal.experiment.progress import OnProgress
from autoal.experiment.runner import RunResult, run_cells
from autoal.experiment.store import RunStore
from autoal.report.tables import paired_areas, read_journal
from autoal.study.space import merged, suggest

__all__ = ["CellsFailed", "Objective", "OnStep", "base_error", "compute_base"]

OnStep = Callable[[int, int, int, float], None]
"""Called as step(number of the trial, seeds done, seed, mean gain so far)."""


class CellsFailed(Exception):
    """Cells of a trial raised."""


def compute_base(
    grid: ExperimentConfig,
    make_selector: MakeSelector,
    folder: Path,
    workers: int | None,
    progress: OnProgress | None = None,
) -> RunResult:
    """The cells of the base, which all trials are measured against, in `folder/base`."""
    store = RunStore(folder / "base")
    store.make()
    return run_cells(
        grid, _cells(grid, grid.selectors[1]), make_selector, store, workers=workers, progress=progress
    )  # fmt: skip


@dataclass(frozen=True)
class Objective:
    """Values of a trial: mean paired gain of the target over the base, in points of AUBC, and seconds where asked.

    Seconds are what the target adds to a round, the model's outputs and the selection, on average over the rounds of
    all cells. Cells that are on disk are read and not computed again, their seconds too.
    """

    grid: ExperimentConfig
    """Selectors `target` and `base`, measured on rows of the training part."""
    study: StudyConfig
    make_selector: MakeSelector
    folder: Path

    def __call__(self, trial: Trial, step: OnStep | None = None) -> tuple[float, ...]:
        """Raises TrialPruned, and CellsFailed where a cell of the trial raises."""
        options = merged(self.grid.selectors[0].options, suggest(trial, self.study.space))
        trial.set_user_attr("options", options)
        target = SelectorSpec(name=self.grid.selectors[0].name, label="target", options=options)
        try:
            self.make_selector(target)
        except Exception as error:
            raise CellsFailed(f"{type(error).__name__}: {error}") from error
        base = paired_areas(read_journal(self.folder / "base"))["base"]
        # Named by what is tried, so that a trial that is run again finds its cells.
        folder = self.folder / "trials" / hashlib.sha256(dumps([options]).encode()).hexdigest()[:12]
        gains: list[float] = []
        seconds: list[float] = []
        # Where two trials try the same, the second waits for the cells of the first.
        RunStore(folder).make()
        with locked(folder / ".lock", math.inf, ""):
            for number, seed in enumerate(self.grid.seeds):
                areas, spent = self._compute(target, seed, folder)
                gains.append(sum(area - base.loc[key] for key, area in areas.items()) / len(areas))
                seconds += spent
                mean = sum(gains) / len(gains)
                for key, value in {"seeds": len(gains), "gain": mean, "seconds": sum(seconds) / len(seconds)}.items():
                    trial.set_user_attr(key, value)
                if step is not None:
                    step(trial.number, number + 1, seed, mean)
                if len(self.study.objectives) == 1:  # Optuna prunes nothing else
                    self._report(trial, number, gains)
        values = {"gain": sum(gains) / len(gains), "seconds": sum(seconds) / len(seconds)}
        return tuple(values[name] for name in self.study.objectives)

    def _report(self, trial: Trial, number: int, gains: list[float]) -> None:
        pruning = self.study.pruning()
        # The Wilcoxon pruner compares trials seed by seed, the others their running means; Hyperband counts seeds.
        value = gains[-1] if pruning == "wilcoxon" else sum(gains) / len(gains)
        trial.report(value, number + (pruning == "hyperband"))
        if number + 1 < len(self.grid.seeds) and trial.should_prune():
            raise optuna.TrialPruned

    def _compute(
        self, target: SelectorSpec, seed: int, folder: Path
    ) -> tuple[dict[tuple[str, int], float], list[float]]:
        """AUBC by (data set, seed) of the cells of one seed, more being better, and seconds of each of their rounds."""
        cells = [cell for cell in _cells(self.grid, target) if cell.seed == seed]
        store = RunStore(folder)
        result = run_cells(self.grid, cells, self.make_selector, store, workers=1)
        if result.failures:
            raise CellsFailed(result.failure_message())
        areas = paired_areas(read_journal(folder))["target"]
        lines = read_jsonl(folder / "timings.jsonl")[0]
        stages = [line["seconds"] for line in lines if "select" in line["seconds"]]
        if not stages:
            raise CellsFailed(
                f"{folder} holds no round in which anything was selected: the pool is empty from the start"
            )
        return {key: float(areas.loc[key]) for key in areas.index}, [s["outputs"] + s["select"] for s in stages]


def _cells(grid: ExperimentConfig, spec: SelectorSpec) -> list[Cell]:
    return [Cell(c.dataset, spec, c.seed) for c in cells_of(grid) if c.selector.label == spec.label]


def base_error(result: RunResult) -> RunError:
    """What to raise where cells of the base failed: no trial could be measured."""
    return RunError(f"the base cannot be computed, so no trial could be measured: {result.failure_message()}")
