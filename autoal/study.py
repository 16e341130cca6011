"""Hyper-parameter studies: the one place that imports optuna.

A trial is a setting of the target selector's options. Its value is the mean, over seeds and data sets, of the gain
in AUBC over a base selector that starts from the same labels, measured on rows carved from the training part: test
labels are never read.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from autoal.errors import AutoALWarning, ConfigError, RunError
from autoal.experiment.cell import Cell, MakeSelector, cells_of
from autoal.experiment.config import ExperimentConfig, Parameter, SelectorSpec, StudyConfig, to_toml
from autoal.experiment.metrics import better
from autoal.experiment.runner import manifest_of, run_cells, try_selector
from autoal.experiment.store import RunStore, dumps, write_atomic
from autoal.experiment.task_models import check_model
from autoal.report.curves import study_history
from autoal.report.tables import curve_table, metric_of, read_journal
from autoal.rng import derive_seed

__all__ = ["StudyResult", "run_study"]

OnTrial = Callable[[int, int, str], None]
"""Called as progress(finished trials and seeds within the running one, in all, what finished last)."""
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class StudyResult:
    """What a study found."""

    folder: Path
    trials: pd.DataFrame
    """One row per trial: number, state, gain (points of AUBC), seeds, then the parameters."""
    best: dict[str, Any]
    """Options of the target in the best trial."""
    gain: float
    """Of the best trial over `base`, in points of AUBC."""
    base: str
    config: Path
    """`best.toml`, which `autoal compare` takes."""


def run_study(
    config: ExperimentConfig,
    make_selector: MakeSelector,
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: OnTrial | None = None,
) -> StudyResult:
    """Runs the trials that are missing, and writes best.toml, trials.csv and history.png.

    A study that was killed goes on where it was: a trial that was running is failed over and its parameters are run
    again, taking over the cells it had finished. The sampler is seeded by the number of finished trials, so a study
    that was continued tries what an undisturbed one would have. Raises ConfigError without a `[study]` section, and
    RunError where the folder holds another study, or every trial failed.
    """
    if config.study is None:
        raise ConfigError(
            "the config has no [study] section; add one with `trials` and a `space`, as configs/study.toml"
        )
    study_config = config.study
    target = _spec(config, study_config.target)
    base = _spec(config, study_config.base)
    # Labels are ours, so that a study may be run of one selector against another form of itself.
    grid = config.changed(
        holdout="validation",
        selectors=[
            SelectorSpec(name=target.name, label="target", options=target.options),
            SelectorSpec(name=base.name, label="base", options=base.options),
        ],
        reference="base",
        study=None,
    )
    check_model(grid.model)
    try_selector(grid.selectors[1], make_selector)
    # A wrong name in the space should stop the study, not fail each of its trials.
    first = _merged(target.options, _first(study_config.space))
    try_selector(SelectorSpec(name=target.name, label=target.label, options=first), make_selector)
    root = RunStore(folder)
    with root.lock():
        manifest = manifest_of(grid)
        manifest["config"]["study"] = json.loads(study_config.model_dump_json(exclude={"trials"}))
        root.begin(manifest)
        study = _open(study_config, config.name, root.folder)
        _fail_over(study, root.folder, shared=study_config.storage is not None)
        objective = _Objective(grid, study_config, make_selector, root.folder, workers, progress)
        while (finished := _finished(study)) < study_config.trials:
            study.sampler = _sampler(study_config, finished)
            trial = study.ask()
            trial.set_user_attr("folder", str(root.folder.resolve()))
            _play_trial(study, trial, objective, finished)
        return _results(study, config, study_config, target, root.folder)


def _spec(config: ExperimentConfig, name: str) -> SelectorSpec:
    """The entry of `selectors` with that label or name, or the name alone."""
    for spec in config.selectors:
        if name in (spec.label, spec.name):
            return spec
    return SelectorSpec(name=name)


def _open(config: StudyConfig, name: str, folder: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage: str | BaseStorage
    if config.storage is None:
        storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    else:
        storage = config.storage
    return optuna.create_study(
        study_name=config.study_name or name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=_pruner(config),
    )


def _pruner(config: StudyConfig) -> optuna.pruners.BasePruner:
    if config.pruner == "median":
        # Two seeds before anything is cut: one seed of active learning says next to nothing.
        return optuna.pruners.MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=1)
    if config.pruner == "wilcoxon":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=2)
    return optuna.pruners.NopPruner()


def _sampler(config: StudyConfig, finished: int) -> optuna.samplers.BaseSampler:
    """A sampler for one trial, a function of the trials that are finished and of nothing that died with a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=derive_seed(config.seed, "sampler", finished) % 2**31,
            n_startup_trials=config.startup_trials,
            multivariate=True,
            group=True,
        )


def _finished(study: optuna.Study) -> int:
    """Trials that count: those with a value, those pruned, and those whose cells raised (they would raise again)."""
    return sum(t.state in DONE or "error" in t.user_attrs for t in study.get_trials(deepcopy=False))


def _fail_over(study: optuna.Study, folder: Path, *, shared: bool) -> None:
    """Fails the trials that a killed process of this folder left running, and queues their parameters again.

    We hold the folder's lock, so none of them is alive. In a shared storage the trials of other folders are left alone.
    """
    mine = str(folder.resolve())
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state is TrialState.RUNNING and (not shared or trial.user_attrs.get("folder") == mine):
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _play_trial(study: optuna.Study, trial: Trial, objective: _Objective, finished: int) -> None:
    try:
        value = objective(trial, finished)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except _CellsFailed as error:
        trial.set_user_attr("error", str(error))
        study.tell(trial, state=TrialState.FAIL)
        warnings.warn(f"trial {trial.number} failed: {error}", AutoALWarning, stacklevel=3)
    else:
        study.tell(trial, value)


class _CellsFailed(Exception):
    """Cells of a trial raised."""


class _Objective:
    """Mean paired gain of the target over the base, in points of AUBC."""

    def __init__(
        self,
        grid: ExperimentConfig,
        study: StudyConfig,
        make_selector: MakeSelector,
        folder: Path,
        workers: int | None,
        progress: OnTrial | None,
    ) -> None:
        self.grid, self.study, self.make_selector = grid, study, make_selector
        self.folder, self.workers, self.progress = folder, workers, progress

    def __call__(self, trial: Trial, finished: int) -> float:
        options = suggest(trial, self.study.space)
        merged = _merged(self.grid.selectors[0].options, options)
        trial.set_user_attr("options", merged)
        # Named by what is tried, so that a trial that is run again finds its cells.
        name = hashlib.sha256(dumps([merged]).encode()).hexdigest()[:12]
        target = SelectorSpec(name=self.grid.selectors[0].name, label="target", options=merged)
        try:
            self.make_selector(target)
        except Exception as error:
            raise _CellsFailed(f"{type(error).__name__}: {error}") from error
        gains: list[float] = []
        for step, seed in enumerate(self.grid.seeds):
            base = self._areas(self.grid.selectors[1], seed, self.folder / "base")
            mine = self._areas(target, seed, self.folder / "trials" / name)
            gains.append(sum(mine[d] - base[d] for d in base) / len(base))
            mean = sum(gains) / len(gains)
            # The Wilcoxon pruner compares trials seed by seed; the median pruner their running means.
            trial.report(gains[-1] if self.study.pruner == "wilcoxon" else mean, step)
            trial.set_user_attr("seeds", len(gains))
            trial.set_user_attr("gain", mean)
            if self.progress is not None:
                n = len(self.grid.seeds)
                what = f"trial {trial.number}, seed {seed}: gain {mean:+.2f}"
                self.progress(finished * n + step + 1, self.study.trials * n, what)
            if step + 1 < len(self.grid.seeds) and trial.should_prune():
                raise optuna.TrialPruned
        return sum(gains) / len(gains)

    def _areas(self, spec: SelectorSpec, seed: int, folder: Path) -> dict[str, float]:
        """AUBC by data set, of cells that are computed unless `folder` has them."""
        cells = [Cell(c.dataset, spec, c.seed) for c in cells_of(self.grid) if c.selector.label == spec.label]
        store = RunStore(folder)
        result = run_cells(
            self.grid, [c for c in cells if c.seed == seed], self.make_selector, store, workers=self.workers
        )
        if result.failures:
            raise _CellsFailed(result.failure_message())
        journal = read_journal(folder)
        curves, sign = curve_table(journal), better(metric_of(journal))
        return {dataset: sign * area for dataset, area in zip(curves["dataset"], curves["aubc"], strict=True)}


def suggest(trial: Trial, space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Options, nested as their dotted names say, for one trial."""
    return _nested({name: _value(trial, name, parameter) for name, parameter in space.items()})


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"search.inner_lr": 1} as {"search": {"inner_lr": 1}}."""
    options: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = options
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return options


def _first(space: Mapping[str, Parameter]) -> dict[str, Any]:
    """One setting of the space, to see whether the selector takes it."""

    def value(parameter: Parameter) -> Any:
        if parameter.choices is not None:
            return parameter.choices[0]
        return list(parameter.subset) if parameter.subset is not None else parameter.low

    return _nested({name: value(parameter) for name, parameter in space.items()})


def _value(trial: Trial, name: str, parameter: Parameter) -> Any:
    if parameter.choices is not None:
        # Optuna's storages keep categories that are plain values; lists and tables go by their JSON text.
        plain = all(isinstance(choice, str | int | float | bool | None) for choice in parameter.choices)
        if plain:
            return trial.suggest_categorical(name, list(parameter.choices))
        texts = {json.dumps(choice): choice for choice in parameter.choices}
        return texts[trial.suggest_categorical(name, list(texts))]
    if parameter.subset is not None:
        chosen = [m for m in parameter.subset if trial.suggest_categorical(f"{name}:{m}", [True, False])]
        # Too small a subset is filled up in the order given, rather than wasting the trial.
        for member in parameter.subset:
            if len(chosen) >= parameter.at_least:
                break
            if member not in chosen:
                chosen.append(member)
        return [member for member in parameter.subset if member in chosen]
    low, high = parameter.low, parameter.high
    assert low is not None and high is not None
    if isinstance(low, int) and isinstance(high, int) and not isinstance(parameter.step, float):
        return trial.suggest_int(name, low, high, step=int(parameter.step or 1), log=parameter.log)
    return trial.suggest_float(name, float(low), float(high), step=parameter.step, log=parameter.log)


def _merged(fixed: Mapping[str, Any], tried: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed options of the config, with those of the trial over them, table by table."""
    merged = dict(fixed)
    for key, value in tried.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "gain": trial.user_attrs.get("gain", math.nan),
        "seeds": trial.user_attrs.get("seeds", 0),
        **trial.params,
    }


def _results(
    study: optuna.Study, config: ExperimentConfig, study_config: StudyConfig, target: SelectorSpec, folder: Path
) -> StudyResult:
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    table = pd.DataFrame([_row(trial) for trial in trials])
    write_atomic(folder / "trials.csv", table.to_csv(index=False))
    if not complete:
        errors = sorted({t.user_attrs["error"] for t in trials if "error" in t.user_attrs})
        raise RunError(
            f"no trial of the study in {folder} was completed; first error:\n{errors[0] if errors else 'none recorded'}"
        )
    shown = [t for t in trials if t.state in DONE and "gain" in t.user_attrs]
    study_history(
        [t.number for t in shown],
        [t.user_attrs["gain"] for t in shown],
        [t.state is TrialState.PRUNED for t in shown],
        folder / "history.png",
        objective=f"AUBC gain over {study_config.base} (points)",
    )
    best = study.best_trial
    options: dict[str, Any] = best.user_attrs["options"]
    path = folder / "best.toml"
    write_atomic(path, _best_toml(config, study_config, target, options, best))
    return StudyResult(folder, table, options, float(best.value or 0.0), study_config.base, path)


def _best_toml(
    config: ExperimentConfig, study: StudyConfig, target: SelectorSpec, options: dict[str, Any], best: FrozenTrial
) -> str:
    """A config for `autoal compare`: the tuned selector, the untuned one where they differ, then all the others."""
    others = [spec for spec in config.selectors if spec.label != target.label]
    for name in (study.base, "random"):
        if name not in [spec.label for spec in others]:
            others.append(SelectorSpec(name=name))
    tuned = SelectorSpec(name=target.name, label=f"{target.label}-tuned", options=options)
    untuned = SelectorSpec(name=target.name, label=target.label, options=target.options)
    selectors = [tuned, untuned, *(spec for spec in others if spec.label != tuned.label)]
    compare = config.changed(name=f"{config.name}-best", selectors=selectors, study=None, holdout="test", reference="")
    head = (
        f"# Best of {study.trials} trials (number {best.number}): {best.value:+.2f} points of AUBC over {study.base},\n"
        "# on rows of the training part. The best of many is flattered by chance: compare on data sets and seeds\n"
        "# that the study has not seen.\n"
    )
    return head + to_toml(compare)
