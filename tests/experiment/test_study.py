"""Studies: what they find, what they never read, and that they go on where they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bench_selectors import make_selector, tiny

from autoal.data import LabeledData, load_dataset
from autoal.errors import AutoALWarning, ConfigError, RunError, UnknownName
from autoal.experiment import task as task_module
from autoal.experiment.config import ExperimentConfig, read_config
from autoal.experiment.runner import run
from autoal.study import run_study

STUDY: dict[str, Any] = {
    "trials": 4,
    "target": "exponent",
    "base": "first",
    "startup_trials": 2,
    "space": {"search": {"power": {"low": 0.5, "high": 1.5}}, "members": {"subset": ["a", "b", "c"]}},
}


def config(**changes: Any) -> ExperimentConfig:
    return tiny(
        selectors=[{"name": "exponent", "power": 1.0}, "first"], rounds=3, study={**STUDY, **changes}, seeds=[0, 1, 2]
    )


def params(trials: pd.DataFrame) -> list[tuple[float, ...]]:
    done = trials[trials["state"].isin(["complete", "pruned"])]
    return [tuple(row) for row in done.drop(columns=["trial", "seconds"]).itertuples(index=False)]


def test_a_study_writes_its_trials_its_plot_and_a_config_that_runs(tmp_path: Path) -> None:
    found = run_study(config(), make_selector, tmp_path)
    assert len(found.trials) == 4
    assert set(found.best) == {"power", "search", "members"}
    assert len(found.best["members"]) >= 2
    assert found.gain == pytest.approx(found.trials.loc[found.trials["state"] == "complete", "gain"].max())
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 4
    best = read_config(found.config)
    assert [s.label for s in best.selectors] == ["exponent-tuned", "exponent", "first", "random"]
    assert best.selectors[0].options == found.best
    assert best.holdout == "test"
    assert not run(best, make_selector, tmp_path / "compare").failures


def test_a_study_that_was_stopped_tries_what_an_undisturbed_one_tries(tmp_path: Path) -> None:
    whole = run_study(config(), make_selector, tmp_path / "whole")

    def stop(done: int, total: int, what: str) -> None:
        # In the middle of the third trial, and with nobody to tell the storage: as a kill leaves it.
        if what.startswith("trial 2, seed 0"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(config(), make_selector, tmp_path / "stopped", progress=stop)
    again = run_study(config(), make_selector, tmp_path / "stopped")
    assert again.trials["state"].tolist().count("fail") == 1
    assert params(again.trials) == params(whole.trials)
    assert again.best == whole.best


def test_a_second_call_adds_only_the_trials_that_are_missing(tmp_path: Path) -> None:
    first = run_study(config(trials=2), make_selector, tmp_path)
    more = run_study(config(trials=3), make_selector, tmp_path)
    assert len(first.trials) == 2
    assert params(more.trials)[:2] == params(first.trials)
    assert len(more.trials) == 3
    with pytest.raises(RunError, match="holds a run of another config"):
        run_study(config(seed=5), make_selector, tmp_path)


def test_test_labels_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iris = load_dataset("iris")
    held = np.arange(0, len(iris.y), 3)

    def study(y: np.ndarray, folder: str) -> Any:
        data = LabeledData("iris", iris.X, y, iris.classes, test_index=held)
        monkeypatch.setattr(task_module, "_data", lambda _: data)
        return run_study(config(trials=2), make_selector, tmp_path / folder)

    wrong = iris.y.copy()
    wrong[held] = (wrong[held] + 1) % 3
    assert params(study(iris.y, "right").trials) == params(study(wrong, "wrong").trials)


@pytest.mark.parametrize("pruner", ["median", "wilcoxon", "hyperband", "none"])
def test_every_pruner_runs(tmp_path: Path, pruner: str) -> None:
    assert len(run_study(config(trials=3, pruner=pruner, startup_trials=1), make_selector, tmp_path).trials) == 3


def test_a_space_that_names_what_is_not_there_stops_the_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="powre"):
        run_study(config(space={"powre": {"low": 0.0, "high": 1.0}}), make_selector, tmp_path)
    with pytest.raises(UnknownName):
        run_study(config(base="fist"), make_selector, tmp_path)


def test_without_a_section_there_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \[study\] section"):
        run_study(tiny(), make_selector, tmp_path)


def test_a_study_of_which_every_trial_fails_says_why(tmp_path: Path) -> None:
    failing = tiny(
        selectors=["failing", "first"],
        seeds=1,
        study={**STUDY, "target": "failing", "trials": 2, "space": {"power": {"choices": [1, 2]}}},
    )
    with pytest.warns(AutoALWarning, match="deliberate"), pytest.raises(RunError, match="deliberate"):
        run_study(failing, make_selector, tmp_path)
    assert pd.read_csv(tmp_path / "trials.csv")["state"].tolist() == ["fail", "fail"]
