"""The command line: help, exit codes, and one comparison from end to end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoal.cli import FAILED, WRONG, app, main
from autoal.flags import Flag, in_flags
from autoal.strategies import CANDIDATES
from baselines import SELECTORS
from tests.session.problems import again, begun

COMMANDS = [str(info.name or info.callback.__name__) for info in app.registered_commands if info.callback is not None]
ROOT = Path(__file__).parents[1]
CONFIG = """
datasets = ["iris"]
selectors = ["margin", "random"]
seeds = 2
rounds = 2
batch_size = 3
device = "cpu"
"""


@pytest.mark.parametrize("command", [*COMMANDS, "cryo", "cryo pick", "cryo windows"])
def test_every_command_has_help_with_two_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert sum(line.startswith(f"Example: autoal {command}") for line in lines) >= 2
    assert not [line for line in lines if line.count("Example:") > 1]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


def test_a_mistake_is_one_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(CONFIG + "bach_size = 3\n")
    assert main(["compare", str(bad)]) == WRONG
    captured = capsys.readouterr()
    assert "did you mean 'batch_size'" in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "no-such-file.toml"],
        ["compare", "."],
        ["quickstart", "--out", os.devnull + "/run"],
        ["report", "no-such-folder"],
        ["doctor", "--device", "cuda:99"],
        ["quickstart", "--device", "abacus"],
        ["no-such-command"],
        ["compare"],
        ["compare", "x.toml", "--workers", "0"],
        ["compare", "configs/smoke.toml", "--shard", "3/2"],
        ["compare", "configs/smoke.toml", "--engine", "steam"],
        ["merge", "out", "no-such-folder"],
        ["query", "no-such-folder"],
        ["tell", "no-such-folder", "answers.csv"],
    ],
)
def test_wrong_arguments_give_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == WRONG
    assert capsys.readouterr().err


STARTS = {
    "help": (["--help"], 0),
    "help of a command": (["tell", "--help"], 0),
    "no such command": (["no-such-command"], WRONG),
    "no such option": (["tell", "--no-such-option"], WRONG),
    "nothing to tell to": (["tell", "no-such-folder", "answers.csv"], WRONG),
    "nothing to predict": (["predict", "no-such-folder", "--out", "p.csv"], WRONG),
    "no such config": (["compare", "no-such-file.toml"], WRONG),
    "a wrong key": (["compare", "wrong.toml"], WRONG),
    "nothing to label": (["label", "no-such-folder"], WRONG),
}


@pytest.mark.parametrize("start", STARTS)
def test_what_needs_no_model_is_answered_without_torch(start: str, tmp_path: Path) -> None:
    arguments, expected = STARTS[start]
    (tmp_path / "wrong.toml").write_text(CONFIG + "bach_size = 3\n")
    _answers_without_torch(arguments, expected, tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("answers.csv", "id,label,annotator\np03,oak,ann\np03,elm,bob\np07,ash,ann\n"),
        ("answers.jsonl", '{"id": "p03", "label": "oak"}\n{"id": "p09", "skip": "blur"}\n'),
        ("answers.json", '[{"id": "p03", "label": "oak"}]'),
        ("wrong.csv", "id,label\nnobody,oak\n"),
    ],
)
def test_answers_are_told_without_torch(name: str, content: str, tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    session.ask(3)
    (tmp_path / name).write_text(content)
    arguments = ["tell", "s", name, *(["--on-conflict", "skip"] if name == "answers.csv" else [])]
    _answers_without_torch(arguments, WRONG if name == "wrong.csv" else 0, tmp_path)
    assert len(again(tmp_path / "s").labeled) == (name != "wrong.csv")


def _answers_without_torch(arguments: list[str], expected: int, place: Path) -> None:
    code = (
        "import sys, time; from autoal.cli import main; code = main(sys.argv[1:]); "
        "print(code, 'torch' in sys.modules, time.process_time(), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=place, env=environment, capture_output=True, text=True
    )
    ended, torch, seconds = done.stderr.split()[-3:]
    assert (int(ended), torch) == (expected, "False"), done.stderr
    assert float(seconds) < 2.0  # 0.2 to 0.45 on a quiet machine


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["query", "made", "--pool", "pool.npy", "--task", "regresion"], "--task 'regresion'"),
        (["doctor", "--device", "abacus"], "--device 'abacus'"),
        (["query", "made", "--pool", "pool.npy", "--candidates", "margn"], "did you mean 'margin'"),
    ],
)
def test_errors_name_options_and_not_arguments_of_python(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("pool.npy", np.random.RandomState(0).randn(30, 2))
    assert main(arguments) == WRONG
    error = capsys.readouterr().err
    assert says in error and not re.search(r"\b(task|device|candidates)=", error)


def test_flags_take_the_place_of_arguments() -> None:
    flags = [Flag("on_conflict", "--on-conflict", False), Flag("correct", "--correct", True), Flag("id", "--id", False)]
    assert in_flags("got on_conflict='most'", flags) == "got --on-conflict 'most'"
    assert in_flags("or pass correct=True; say which with id=", flags) == "or pass --correct; say which with --id"
    untouched = "grid=3, valid=True, Session.id=4, `--id=x` and on_conflict"
    assert in_flags(untouched, flags) == untouched


def test_a_data_set_nobody_knows_says_that_the_folder_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text(CONFIG.replace('"iris"', '"letter"'))
    monkeypatch.delenv("AUTOAL_DATA", raising=False)
    assert main(["compare", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")]) == WRONG
    assert "AUTOAL_DATA is not set" in capsys.readouterr().err
    monkeypatch.setenv("AUTOAL_DATA", str(tmp_path))
    assert main(["compare", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")]) == WRONG
    assert "AUTOAL_DATA is not set" not in capsys.readouterr().err


def test_an_error_nobody_expected_is_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    (tmp_path / "c.toml").write_text(CONFIG)
    monkeypatch.setattr("autoal.experiment.runner.run", broken)
    with pytest.raises(ZeroDivisionError):
        main(["compare", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")])


def test_compare_runs_reports_and_continues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text(CONFIG)
    arguments = ["compare", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run"), "--seed", "3", "--quiet"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "AUBC" in out and "iris" in out
    assert any(word in out for word in ("beats", "loses to", "are tied"))
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"manifest.json", "journal.jsonl", "timings.jsonl", "curves.png", "report.md", "report.html"} <= made
    scores = pd.read_csv(tmp_path / "run/scores.csv")
    assert scores.columns.tolist()[:2] == ["dataset", "seed"] and set(scores["seed"]) == {3, 4}
    assert len(scores.columns) > 3 and scores.iloc[:, 2:].stack().between(0, 100).all()
    journal = (tmp_path / "run/journal.jsonl").read_bytes()
    assert b'"seed":3' in journal and b'"seed":4' in journal and b'"seed":0' not in journal
    assert main(arguments) == 0
    assert (tmp_path / "run/journal.jsonl").read_bytes() == journal
    assert main(["report", str(tmp_path / "run")]) == 0


def test_failed_cells_give_one_and_say_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Logistic regression has no members, so a rule that reads an ensemble cannot be run alone.
    (tmp_path / "c.toml").write_text(CONFIG.replace('"margin"', '"entropy_ensemble"'))
    assert main(["compare", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")]) == FAILED
    captured = capsys.readouterr()
    assert "2 of 4 cells failed" in captured.err
    assert "iris, entropy_ensemble, seed 0, round 0: MissingOutput" in captured.err
    assert "same command" in captured.err


def test_strategies_shows_every_candidate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategies", "--all"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in CANDIDATES)
    assert all(name in out and "not said" not in out for name in SELECTORS)


def test_doctor_estimates_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--pool", "1000000", "--dim", "512", "--batch-size", "10000"]) == 0
    out = capsys.readouterr().out
    assert "1,953.1" in out  # 10^6 x 512 float32 in MiB
    assert "torch" in out


def test_doctor_of_a_machine_without_a_gpu_loads_no_torch(tmp_path: Path) -> None:
    code = "import sys; from autoal import checkup; checkup.cuda_devices = lambda: 0; from autoal.cli import main; "
    code += "assert main(['doctor']) == 0; assert 'torch' not in sys.modules"
    environment = {**os.environ, "AUTOAL_DATA": str(tmp_path / "gone")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "no CUDA GPU" in done.stdout and "not there" in done.stdout and "beside the program" in done.stdout


def test_doctor_tries_a_device_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("autoal.checkup.cuda_devices", lambda: 1)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "; works; " in out and ("cuda" in out or "a GPU that torch does not use" in out)


@pytest.mark.parametrize(
    ("labels", "target", "says"),
    [
        (["oak", "elm"] * 40, "specis", "did you mean 'species'"),
        (["oak"] * 80, "species", "one class only"),
        ([f"tree {i}" for i in range(80)], "species", "80 different values in 80 labels"),
        (["oak", "elm"] * 5 + [None] * 70, "species", "10 labels in 80 rows"),
        (["oak", "elm"] * 3, "species", "6 rows"),
    ],
)
def test_a_file_that_cannot_be_compared_on_is_refused_once_and_before_anything_runs(
    labels: list[str | None], target: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"a": np.arange(len(labels)) / 7, "species": labels})
    frame.to_csv(tmp_path / "leaves.csv", index=False)
    out = tmp_path / "run"
    assert main(["compare", str(tmp_path / "leaves.csv"), "--target", target, "--out", str(out)]) == WRONG
    assert says in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        ("a,b,kind\n1,2,x\n", ["--target", "knid"], "did you mean 'kind'"),
        ('"a","b",kind\n1,2,x\n', ["--id", "name"], "unknown column --id 'name'"),
        ("a;b;kind\n1;2;x\n", ["--text", "word"], "['a', 'b', 'kind']"),
        ("a,b\n", [], "holds no rows"),
        ("", [], "holds no rows"),
    ],
)
def test_label_refuses_a_table_before_it_opens_a_page(
    content: str, arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text(content)
    assert main(["label", str(tmp_path / "t.csv"), "--no-browser", *arguments]) == WRONG
    said = capsys.readouterr()
    assert says in said.err and "http" not in said.out and not (tmp_path / "t-session").exists()


def test_a_data_file_of_ones_own_is_compared_with_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.RandomState(0)
    X = random.randn(120, 3)
    kinds = np.where(X[:, 0] + 0.3 * random.randn(120) > 0, "oak", "elm")
    words = random.choice(["dry", "wet"], 120)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "soil": words, "species": kinds})
    frame.to_csv(tmp_path / "leaves.csv", index=False)
    np.savez(tmp_path / "yield.npz", X=X, y=X[:, 0] * 2 + 0.5)
    common = ["--selectors", "kcenter,random", "--quiet", "--seed", "3"]
    table = ["compare", str(tmp_path / "leaves.csv"), "--target", "species", "--out", str(tmp_path / "t"), *common]
    assert main(table) == 0
    assert main(["compare", str(tmp_path / "yield.npz"), "--out", str(tmp_path / "r"), *common]) == 0
    out = capsys.readouterr().out
    assert "leaves" in out and "yield" in out and "log_rmse" in out
    assert (tmp_path / "t/report.html").is_file() and (tmp_path / "r/journal.jsonl").is_file()
    assert main(["compare", str(tmp_path / "leaves.csv"), "--out", str(tmp_path / "x"), *common]) == WRONG
    error = capsys.readouterr().err
    assert "species" in error and "--target" in error and "label=" not in error  # which columns there are
    frame.to_csv(tmp_path / "tabbed.tsv", index=False, sep="\t")
    assert main(["compare", str(tmp_path / "tabbed.tsv"), "--target", "specis", "--out", str(tmp_path / "x")]) == WRONG
    assert "did you mean 'species'" in capsys.readouterr().err
    np.save(tmp_path / "pool.npy", X)
    assert main(["query", str(tmp_path / "s"), "--pool", str(tmp_path / "pool.npy"), "--batch-size", "2"]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "yield.npz"), "--out", str(tmp_path / "s"), *common]) == WRONG
    assert "holds a session" in capsys.readouterr().err
    for other in ("configs/smoke.toml", str(tmp_path / "leaves.xlsx")):
        assert main(["compare", other, "--target", "species"]) == WRONG
        assert ".tsv" in capsys.readouterr().err
