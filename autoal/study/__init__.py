"""Hyper-parameter studies: the one place that imports optuna.

A trial is a setting of the target selector's options. Its value is the mean, over seeds and data sets, of the gain
in AUBC over a base selector that starts from the same labels, measured on rows carved from the training part: test
labels are never read.

**What is promised of several workers.** The value of a setting is a function of the setting alone, since its cells
are; seconds, where they are an objective, are measured and vary. The random trials at the start are the same settings
however many workers there are. One worker tries the same settings each time, also when it is killed and called again.
With more than one, what a later trial is told of the others depends on which of them had finished when it began, so
its setting, and what is pruned, may differ from call to call. A trial that was under way when a study was killed is
run again with the parameters it had, from the cells it had finished.
"""

from __future__ import annotations

import json
from pathlib import Path

from autoal.errors import ConfigError
from autoal.experiment.cell import MakeSelector
from autoal.experiment.config import ExperimentConfig, SelectorSpec
from autoal.experiment.progress import Standing
from autoal.experiment.runner import manifest_of, try_selector
from autoal.experiment.store import RunStore
from autoal.experiment.task_models import check_model
from autoal.study.book import Book, check_storage
from autoal.study.crew import OnTrial, play_all, play_in_processes, workers_gone
from autoal.study.objective import Objective, base_error, compute_base
from autoal.study.results import StudyResult, write_results
from autoal.study.space import example, merged

__all__ = ["OnTrial", "StudyResult", "run_study"]


def run_study(
    config: ExperimentConfig,
    make_selector: MakeSelector,
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: OnTrial | None = None,
) -> StudyResult:
    """Runs the trials that are missing, `workers` at a time, and writes best.toml, trials.csv, study.md and study.png.

    A study that was killed goes on where it was. Raises ConfigError without a `[study]` section, and RunError where
    the folder holds another study, a cell of the base fails, or every trial failed.
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
    for scenario in grid.datasets:
        check_model(grid.of(scenario).model)
    try_selector(grid.selectors[1], make_selector)
    # A wrong name in the space should stop the study, not fail each of its trials.
    first = merged(target.options, example(study_config.space))
    try_selector(SelectorSpec(name=target.name, label=target.label, options=first), make_selector)
    abreast = workers or config.workers
    root = RunStore(folder)
    with root.lock():
        manifest = manifest_of(grid)
        manifest["config"]["study"] = json.loads(study_config.model_dump_json(exclude={"trials"}))
        check_storage(study_config)  # first: one that cannot be used is no part of the study that begins
        root.begin(manifest)
        workers_gone(root.folder)

        def on_base(now: Standing) -> None:
            if progress is not None:
                progress(0, study_config.trials * len(grid.seeds), f"base, {now.rounds_done} of {now.rounds} rounds")

        result = compute_base(grid, make_selector, root.folder, abreast, on_base)
        if result.failures:
            raise base_error(result)
        Book.mend(root.folder)
        book = Book(study_config, config.name, root.folder, len(grid.seeds))
        book.fail_over()
        objective = Objective(grid, study_config, make_selector, root.folder)
        if abreast == 1:
            play_all(book, objective, progress)
        else:
            play_in_processes(book, objective, abreast, progress)
        return write_results(book.study, config, study_config, target, root.folder)


def _spec(config: ExperimentConfig, name: str) -> SelectorSpec:
    """The entry of `selectors` with that label or name, or the name alone."""
    for spec in config.selectors:
        if name in (spec.label, spec.name):
            return spec
    return SelectorSpec(name=name)
