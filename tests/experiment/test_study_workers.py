"""Trials side by side: who takes which, what a kill leaves behind, two objectives, and which trial is chosen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from bench_selectors import make_selector, tiny
from optuna.trial import TrialState

from autoal.disk import read_jsonl
from autoal.errors import ConfigError, RunError
from autoal.experiment.config import ExperimentConfig, Parameter, StudyConfig, read_config
from autoal.study import run_study
from autoal.study.book import Book
from autoal.study.results import knee
from autoal.study.space import suggest

HERE = Path(__file__).parent
SPACE = {"power": Parameter(low=0.5, high=1.5)}


def book(folder: Path, **changes: Any) -> Book:
    folder.mkdir(exist_ok=True)
    return Book(StudyConfig(space=SPACE, **{"trials": 3, "startup_trials": 2, **changes}), "s", folder, 3)


def power(trial: optuna.Trial | None) -> float:
    assert trial is not None
    return float(suggest(trial, SPACE)["power"])


def config(**changes: Any) -> ExperimentConfig:
    study = {
        "trials": 4,
        "target": "exponent",
        "base": "first",
        "startup_trials": 3,
        "space": {"power": {"low": 0.5, "high": 1.5}, "search": {"power": {"low": 0.5, "high": 1.5}}},
    }
    return tiny(selectors=["exponent", "first"], rounds=2, seeds=2, study={**study, **changes})


def test_trials_that_begin_together_try_what_they_would_one_after_the_other(tmp_path: Path) -> None:
    books, alone = [book(tmp_path / "a"), book(tmp_path / "a")], book(tmp_path / "b")  # a book for each process
    trials = [books[0].next("worker 0"), books[1].next("worker 1")]
    values = [power(trial) for trial in trials]
    assert values[0] != values[1]
    expected = []
    for _ in range(2):
        trial = alone.next()
        expected.append(power(trial))
        assert trial is not None
        alone.study.tell(trial, 0.0)
    assert values == expected, "both are random trials at the start"


def test_no_more_trials_begin_than_were_asked_for(tmp_path: Path) -> None:
    mine, yours = book(tmp_path), book(tmp_path)
    trials = [mine.next(), yours.next(), mine.next()]
    assert None not in trials
    assert yours.next() is None


def test_a_trial_that_died_is_run_again_with_its_parameters_and_in_its_place(tmp_path: Path) -> None:
    first = book(tmp_path)
    done, dead = first.next("worker 0"), first.next("worker 1")
    assert done is not None
    power(done)
    wanted = power(dead)
    first.study.tell(done, 0.0)
    again = book(tmp_path)
    again.fail_over()
    trial = again.next()
    assert power(trial) == wanted
    assert trial is not None and trial.user_attrs["ordinal"] == 1
    assert again.finished() == 1


def test_a_trial_whose_process_dies_twice_has_failed(tmp_path: Path) -> None:
    trials = book(tmp_path, trials=1)
    for time_ in (1, 2):
        assert trials.finished() == 0
        power(trials.next(f"worker {time_}"))
        trials.fail_over("worker 9")  # of another process: this one lives
        assert trials.next("worker 9") is None
        trials.fail_over(f"worker {time_}")
    assert trials.finished() == 1
    assert trials.next() is None
    assert "died twice" in trials.trials()[-1].user_attrs["error"]


def test_a_line_that_a_kill_has_cut_is_dropped(tmp_path: Path) -> None:
    first = book(tmp_path)
    power(first.next())
    log = tmp_path / "study.log"
    log.write_bytes(log.read_bytes() + b'{"op_code":')
    Book.mend(tmp_path)
    again = book(tmp_path)
    power(again.next())
    assert len(again.trials()) == 2
    assert len(read_jsonl(log)[0]) > 0


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ([1.0, 3.0, 3.2], 1),  # two more points for one second, then a fifth of a point for another
        ([-2.0, -1.0, 3.0], 2),  # only one gains anything
        ([1.0, 3.0], 1),
        ([-3.0, -2.0], 1),
    ],
)
def test_the_knee_is_where_more_gain_begins_to_cost_more(gains: list[float], chosen: int) -> None:
    front = pd.DataFrame({"gain": gains, "seconds": range(1, len(gains) + 1)})
    assert knee(front) == chosen


def test_two_objectives_leave_a_front(tmp_path: Path) -> None:
    found = run_study(config(objectives=["gain", "seconds"]), make_selector, tmp_path)
    assert found.front is not None
    front = found.front[["gain", "seconds"]].to_numpy()
    rows = found.trials[["gain", "seconds"]].to_numpy()
    assert (rows[:, 1] > 0).all()
    for gain, seconds in front:
        better = (rows[:, 0] >= gain) & (rows[:, 1] <= seconds) & ((rows[:, 0] > gain) | (rows[:, 1] < seconds))
        assert not better.any()
    assert {"pareto.csv", "study.png", "study.md", "best.toml"} <= {path.name for path in tmp_path.iterdir()}
    assert "More gain" not in (tmp_path / "study.md").read_text()
    best = read_config(found.config)
    assert best.selectors[0].options == found.best
    assert pd.read_csv(tmp_path / "pareto.csv")["trial"].tolist() == found.front["trial"].tolist()


def test_objectives_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="wanted"):
        config(objectives=["seconds"])
    with pytest.raises(ConfigError, match="goes by one objective"):
        config(objectives=["gain", "seconds"], pruner="median")


def test_a_base_that_fails_stops_the_study(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"(?s)base cannot be computed.*deliberate"):
        failing = tiny(selectors=["exponent", "failing"], study=config(base="failing").study)
        run_study(failing, make_selector, tmp_path)


SCRIPT = """
import json, sys
from bench_selectors import make_selector
from autoal.experiment.config import parse_config
from autoal.study import run_study
if __name__ == "__main__":
    run_study(parse_config(json.load(open(sys.argv[1]))), make_selector, sys.argv[2], workers=2)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_study_of_two_workers_that_is_killed_goes_on(tmp_path: Path) -> None:
    wanted = config(trials=6, pruner="none")
    (tmp_path / "config.json").write_text(wanted.model_dump_json())
    (tmp_path / "script.py").write_text(SCRIPT)
    folder = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"}
    command = [sys.executable, tmp_path / "script.py", tmp_path / "config.json", folder]
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None and not list(folder.glob("trials/*/journal.jsonl")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "best.toml").exists()
    kept = {path: path.read_bytes() for path in folder.glob("trials/*/cells/*-*[0-9].jsonl")}
    assert subprocess.run(command, env=environment).returncode == 0
    for path, data in kept.items():
        assert path.read_bytes().startswith(data[: data.rfind(b"\n") + 1]), "what was finished is not computed again"
    study = Book(wanted.study or StudyConfig(space=SPACE), wanted.name, folder, 2)
    done = {t.user_attrs["ordinal"]: t for t in study.trials() if t.state is TrialState.COMPLETE}
    assert sorted(done) == list(range(6))
    alone = run_study(wanted, make_selector, tmp_path / "alone").trials
    for ordinal in range(3):
        assert done[ordinal].params == alone.loc[ordinal, list(done[ordinal].params)].to_dict()
        assert done[ordinal].user_attrs["gain"] == alone.loc[ordinal, "gain"]
