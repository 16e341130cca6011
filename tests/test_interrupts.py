"""An interrupt is heeded wherever it comes, and what it says to do is what goes on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autoal import Session
from autoal.cli import FAILED, INTERRUPTED, main
from autoal.errors import InvalidInput
from autoal.terminal import interrupts_heeded
from tests.commands import CONFIG
from tests.session.killed import told
from tests.session.problems import NAMES, X, again, named


@pytest.fixture(autouse=True)
def _not_in_the_background() -> Iterator[None]:
    """What a shell starts in the background is told to ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Closing:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)  # here it is raised, and lost


def test_an_interrupt_while_python_cleans_up_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), interrupts_heeded():
        Closing()
        time.sleep(20)
    assert time.monotonic() - began < 10
    assert "Traceback" not in capsys.readouterr().err


def test_other_faults_there_are_said_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Faulty:
        def __del__(self) -> None:
            raise ValueError("as ever")

    said: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", said.append)
    with interrupts_heeded():
        Faulty()
    assert [str(what.exc_value) for what in said] == ["as ever"]


@pytest.mark.parametrize("end", [KeyboardInterrupt(), OSError(28, "No space left on device", "batch.csv")])
@pytest.mark.parametrize("made", [True, False])
def test_a_batch_that_was_chosen_and_not_written_is_not_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], made: bool, end: Any
) -> None:
    folder, out = tmp_path / "a session", tmp_path / "batch.csv"
    command = ["query", str(folder), "--batch-size", "3", "--out", str(out), "--quiet"]
    if made:
        Session.create(folder, X, ids=NAMES, candidates=["margin"], random_state=1)
    else:
        pd.DataFrame(X).assign(id=NAMES).to_csv(tmp_path / "pool.csv", index=False)
        command += ["--pool", str(tmp_path / "pool.csv"), "--id", "id"]

    def stopped(*arguments: Any) -> None:
        raise end

    monkeypatch.setattr("autoal.session.commands._deliver", stopped)
    assert main(command) == (INTERRUPTED if isinstance(end, KeyboardInterrupt) else FAILED)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the batch is chosen: go on with autoal query" in said
    monkeypatch.undo()
    assert main(shlex.split(said.split("go on with autoal ")[1])) == 0
    assert len(pd.read_csv(out)) == 3 and Session.open(folder).n_rounds == 1


def test_a_session_that_was_made_before_the_interrupt_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame(X).to_csv(tmp_path / "pool.csv", index=False)

    def stopped(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autoal.session.session.Session.ask", stopped)
    assert (
        main(["query", str(tmp_path / "s"), "--pool", str(tmp_path / "pool.csv"), "--batch-size", "4"]) == INTERRUPTED
    )
    said = capsys.readouterr().err.strip().splitlines()[-1]
    monkeypatch.undo()
    assert main(shlex.split(said.split("go on with autoal ")[1])) == 0
    assert len(Session.open(tmp_path / "s").pending) == 4


@pytest.mark.parametrize("moment", ["pathlib.Path.write_text", "shutil.rmtree"])
def test_a_session_whose_making_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Also between the making of its folder and the first file in it, and while that is taken away again."""
    import importlib

    owner, name = moment.rsplit(".", 1)
    place = Path if owner == "pathlib.Path" else importlib.import_module(owner)
    real, calls = getattr(place, name), iter(range(100))

    def once(*arguments: Any, **named: Any) -> Any:
        if next(calls) == 0:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(place, name, once)
    with pytest.raises((KeyboardInterrupt, InvalidInput)):
        Session.create(tmp_path / "s", X, ids=NAMES[:3])
    assert os.listdir(tmp_path) == []


def test_answers_that_were_taken_back_are_not_taken_back_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = told(tmp_path / "s").folder

    def stopped(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    monkeypatch.setattr("autoal.session.after.standing", stopped)
    assert main(["undo", str(folder)]) == INTERRUPTED
    assert "they are taken back: the same command takes back more" in capsys.readouterr().err
    assert len(again(folder).labeled) == 11


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_right_after_the_journal_was_written_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], moment: str
) -> None:
    """Before the call returns, and when all is done but the end of the program."""
    session = Session.create(tmp_path / "s", X, ids=NAMES, candidates=["margin"], random_state=1)
    session.tell(NAMES[:12], named(NAMES[:12]))

    def stopped(*arguments: Any) -> None:
        raise KeyboardInterrupt

    places = {"before": "autoal.session.folder.Folder.forget", "after": "autoal.cli.flush_output"}
    monkeypatch.setattr(places[moment], stopped)
    assert main(["query", str(session.folder), "--batch-size", "3", "--quiet"]) == INTERRUPTED
    monkeypatch.undo()
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--pending" in said and len(session.pending) == 3


@pytest.mark.slow
def test_workers_that_are_interrupted_while_they_import_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG.format(seeds=2, rounds=2))
    command = [sys.executable, "-m", "autoal", "compare", "c.toml", "--out", "new", "--workers", "2", "--quiet"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "new" / "manifest.json").is_file():  # workers start right after it
        time.sleep(0.05)
    time.sleep(0.8)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert error.splitlines() == ["interrupted; what was finished is kept, and the same command goes on from there"]
    assert process.returncode in (INTERRUPTED, -signal.SIGINT)
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
