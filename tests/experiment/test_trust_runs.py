"""Runs and studies whose folders were moved or damaged, and names that are no formulas."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from optuna.trial import TrialState

from autoal.cli import FAILED, main
from autoal.errors import RunError
from autoal.experiment.config import StudyConfig
from autoal.report import figures
from autoal.report.curves import learning_curves
from autoal.report.study_plot import study_plot
from autoal.study.book import Book, read_log
from tests.commands import STUDY

SPACE = {"components": {"low": 1, "high": 3}}


def config(**named: object) -> StudyConfig:
    return StudyConfig.model_validate({"trials": 3, "space": SPACE, **named})


def test_a_study_that_was_moved_does_not_wait_for_a_trial_that_died(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    book = Book(config(), "s", tmp_path / "a", 2)
    trial = book.next()
    assert trial is not None
    trial.suggest_int("components", 1, 3)  # and here its process is killed
    (tmp_path / "a").rename(tmp_path / "b")
    moved = Book(config(), "s", tmp_path / "b", 2)
    moved.fail_over()
    assert [t.state for t in moved.trials()] == [TrialState.FAIL, TrialState.WAITING]
    again = moved.next()
    assert again is not None and again.user_attrs["ordinal"] == 0


def test_in_a_shared_storage_trials_of_other_folders_are_left_alone(tmp_path: Path) -> None:
    shared = config(storage=f"sqlite:///{tmp_path}/trials.db")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert Book(shared, "s", tmp_path / "a", 2).next() is not None
    other = Book(shared, "s", tmp_path / "b", 2)
    other.fail_over()
    assert [t.state for t in other.trials()] == [TrialState.RUNNING]


@pytest.mark.parametrize("change", ["no JSON", "no operation", "another key", "noise"])
def test_a_log_of_trials_that_was_changed_is_refused_and_begun_anew_as_the_message_says(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.toml").write_text(STUDY.format(seeds=1, rounds=1, trials=1))
    command = ["study", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run"), "--quiet"]
    assert main(command) == 0
    log = tmp_path / "run" / "study.log"
    first, *rest = log.read_bytes().splitlines(keepends=True)
    damaged = {
        "no JSON": first[:-3] + b"\n",
        "no operation": first.replace(b'"op_code": 0', b'"op_code": 99').replace(b'"op_code":0', b'"op_code":99'),
        "another key": first.replace(b"op_code", b"op_cade"),
        "noise": b"\x00\xff\n",
    }[change]
    log.write_bytes(b"".join([damaged, *rest]))
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "study.log" in said and "delete it" in said and "Traceback" not in said
    assert main(["doctor", str(tmp_path / "run")]) == FAILED
    log.unlink()  # as the message says
    assert main(command) == 0 and main(["doctor", str(tmp_path / "run")]) == 0
    assert read_log(log) == 1


def test_a_storage_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trials.db").write_bytes(b"\x00\xff" * 4000)
    with pytest.raises(RunError, match=r"cannot be used.*name another `storage`"):
        Book(config(storage=f"sqlite:///{tmp_path}/trials.db"), "s", tmp_path, 2)


@pytest.mark.parametrize("name", [r"$\frac{$", "$", "a_b^c$x$", r"\alpha"])
def test_names_are_no_formulas(tmp_path: Path, name: str) -> None:
    rows = [
        {"dataset": name, "selector": selector, "seed": 0, "round": r, "labels": 10 + r, "value": 0.5, "metric": name}
        for selector in (name, "random")
        for r in range(3)
    ]
    assert learning_curves(pd.DataFrame(rows), tmp_path / "curves.png", reference="random").is_file()


@pytest.mark.parametrize("name", [r"$\frac{$", "$x_$"])
def test_no_plot_takes_a_name_for_a_formula(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({name: [0.1, 2.0], "b": [1.0, -1.0]}, index=[name, "b"])
    trials = pd.DataFrame(
        {"trial": [0, 1], "state": "complete", "gain": [0.1, 0.2], "seconds": [1.0, 200.0], name: [1, 2]}
    )
    bands = pd.DataFrame(
        {"dataset": name, "selector": [name] * 3, "seed": 0, "round": range(3), "labels": [1, 2, 3], "rejected": 1,
         "bought": 3}
    )  # fmt: skip
    figures.gain_map(table, pd.DataFrame(0, table.index, table.columns), tmp_path / "gains.png")
    figures.weight_map(table, tmp_path / "weights.png")
    figures.cost_bars(table, tmp_path / "cost.png")
    figures.rejected_curves(bands, {name: {}}, tmp_path / "rejected.png")
    study_plot(trials, {name: 0.7, "b": 0.3}, tmp_path / "study.png", objective=name, front=trials)
    assert len(list(tmp_path.glob("*.png"))) == 5


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(28, "No space left on device", "runs/a"), PermissionError(13, "no")]
)
def test_the_command_line_says_in_one_line_what_the_system_refuses(
    tmp_path: Path, error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("autoal.checkup.check_folder", refuse)
    assert main(["doctor", str(tmp_path)]) == FAILED
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
