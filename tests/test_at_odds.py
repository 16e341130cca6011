"""Every command where the world is at odds with it.

An interrupt, a reader that has gone, no terminal, LANG=C, a folder that is read only, a full disk, a lock that a dead
process left, another process at work, a clock that runs backwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pytest

from autoal import Session
from autoal.cli import FAILED, INTERRUPTED, WRONG, main
from tests.commands import COMMANDS, NAMES, PLACES, SHORT, is_sound, journals, make_home, small_disk

pytestmark = pytest.mark.filterwarnings("ignore")
EACH = [pytest.param(name, marks=pytest.mark.slow) if name.startswith("cryo") else name for name in SHORT]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    make_home(home)
    return home


@pytest.fixture
def here(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home, tmp_path / "home"))


# --- an interrupt ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """As Ctrl-C at that moment, wherever the command is; once it has ended nothing is interrupted."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code is not main.__code__:
            frame = frame.f_back
        if frame is not None:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", EACH)
def test_an_interrupt_is_said_and_the_same_command_goes_on(
    here: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    for seconds in (0.003, 0.03, 0.2):
        with interrupted_after(seconds):
            code = main(COMMANDS[name])
        said = capsys.readouterr().err
        assert code in (0, INTERRUPTED, WRONG)
        if code == INTERRUPTED:
            assert "interrupted; what was finished is kept" in said
        assert "Traceback" not in said
    assert main(COMMANDS[name]) in (0, WRONG if name in ("merge", "undo", "query anew") else 0)
    assert is_sound(here)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_in_a_process_of_its_own(here: Path, name: str) -> None:
    """While it imports, while it works, while it serves."""
    for seconds in (0.5, 1.0, 2.5, 8.0):
        process = process_of(COMMANDS[name], here)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        running = process.poll() is None
        os.killpg(process.pid, signal.SIGINT) if running else None
        _, error = process.communicate(timeout=60)
        if "Traceback" in error and "autoal" not in error:
            continue  # Python itself was not there yet
        # Where torch was being imported, Python itself may end by the signal after all: for a shell that is 130 too.
        ends = (INTERRUPTED, -signal.SIGINT, 0) if running else (0, FAILED, WRONG)
        assert process.returncode in ends, error
        assert "Traceback" not in error, error
    assert is_sound(here)


def process_of(arguments: list[str], folder: Path, **named: Any) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **named.pop("env", {})}
    command = [sys.executable, "-m", "autoal", *arguments]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **named}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, start_new_session=True, **streams)


# --- readers, terminals, alphabets ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", EACH)
def test_a_reader_that_has_gone_changes_nothing(
    here: Path, name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        code = main(COMMANDS[name])
        monkeypatch.undo()
    assert code == 0 and "Traceback" not in capfd.readouterr().err
    monkeypatch.chdir(here)
    wanted = {"compare": "new/report.html", "report": "run/report.html", "predict": "predictions.csv"}
    assert (here / wanted.get(name, "pool.csv")).is_file()
    assert name != "query to the output" or len(Session.open(here / "s").pending) == 6


@pytest.mark.parametrize("name", EACH)
def test_a_terminal_without_the_letters(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """LANG=C, as cron has it, and no terminal at all."""
    monkeypatch.chdir(here)
    out, error = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(place, encoding="ascii", errors="strict") for place in (out, error)]
    for name_of, stream in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name_of, stream)
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code = main(COMMANDS[name])
        sys.stdout.flush()
    monkeypatch.undo()
    assert code == 0, error.getvalue()
    assert b"Traceback" not in error.getvalue()
    if name in ("tell", "suspects", "query to the output", "predict"):
        assert out.getvalue()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lang_c_in_processes_of_their_own(here: Path) -> None:
    """Files stay UTF-8, whatever the terminal speaks."""
    environment = {
        "LC_ALL": "C",
        "LANG": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }
    for name in ("query", "tell", "predict", "report of a session", "doctor of a session", "compare"):
        process = process_of(COMMANDS[name], here, env=environment)
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert set(pd.read_csv(here / "predictions.csv")["id"]) == set(NAMES)
    assert set(pd.read_csv(here / "s" / "labels.csv")["label"].dropna()) == set(PLACES.values())


# --- disks ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_small_disk(place: Path, size: str) -> Iterator[Path]:
    with contextlib.ExitStack() as held:
        try:
            disk = held.enter_context(small_disk(place, size))
        except PermissionError as error:
            pytest.skip(str(error))
        yield disk


@pytest.mark.parametrize("name", EACH)
def test_a_folder_that_is_read_only(
    home: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_small_disk(tmp_path / "disk", "64m") as disk:
        here = Path(shutil.copytree(home, disk / "home"))
        before = journals(here)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        monkeypatch.chdir(here)
        code, said = main(COMMANDS[name]), capsys.readouterr().err
        looks_only = name.startswith(("outlook", "suspects", "strategies", "doctor"))
        assert code == 0 if looks_only else code in (FAILED, WRONG)
        assert "Traceback" not in said and (looks_only or said.count("error:") == 1)
        assert looks_only or "ead-only" in said or "nothing can be written" in said
        assert journals(here) == before
        monkeypatch.undo()


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 3000, 30_000])
@pytest.mark.parametrize("name", EACH)
def test_a_full_disk(
    home: Path,
    tmp_path: Path,
    name: str,
    left: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with a_small_disk(tmp_path / "disk", "24m") as disk:
        here = Path(shutil.copytree(home, disk / "home"))
        before = Session.open(here / "s").labeled
        (disk / "filler").write_bytes(b"")
        at = os.statvfs(disk)
        with open(disk / "filler", "wb") as filler, contextlib.suppress(OSError):
            os.posix_fallocate(filler.fileno(), 0, max(at.f_bavail * at.f_frsize - left, 1))
        monkeypatch.chdir(here)
        code, said = main(COMMANDS[name]), capsys.readouterr().err
        assert code in (0, FAILED, WRONG) and "Traceback" not in said, said
        (disk / "filler").unlink()
        kept = Session.open(here / "s").labeled.items()
        assert before.items() <= kept or (name == "undo" and kept < before.items())
        again = main(COMMANDS[name])  # the same command, now that there is room
        assert again in (0, WRONG if name == "query anew" else 0)
        monkeypatch.undo()
        assert is_sound(here)


# --- other processes, alive and dead --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_a_lock_that_a_dead_process_left(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    for folder in ("s", "run"):
        for lock in (".lock", ".lock.turn", ".choosing", ".journal.lock", ".manifest.lock"):
            (here / folder / lock).write_text("4711\n")
    for cell in (here / "run" / "cells").glob("*.jsonl"):
        (cell.parent / f".{cell.stem}.lock").write_text("4711\n")
    assert main(COMMANDS[name]) == 0


@pytest.mark.parametrize("name", [name for name in SHORT if not name.startswith("cryo")])  # which keeps no journal
def test_another_process_at_work(
    here: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, and after a while said; who only looks does not wait."""
    monkeypatch.chdir(here)
    monkeypatch.setattr("autoal.session.folder.WAIT_S", 0.1)
    monkeypatch.setattr("autoal.session.session.WAIT_S", 0.1)
    (here / "new").mkdir()
    before = journals(here)
    with contextlib.ExitStack() as held:
        for folder in ("s", "run", "new"):
            lock = held.enter_context(open(here / folder / ".lock", "a+"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = main(COMMANDS[name]), capsys.readouterr().err
    if code == 0:
        assert name.startswith(("report", "outlook", "suspects", "predict", "strategies", "doctor"))
    else:
        assert code == WRONG and ("another process" in said or "is no session" in said)
        assert journals(here) == before
    shutil.rmtree(here / "new")
    assert main(COMMANDS[name]) == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_of_each_command_at_once(here: Path) -> None:
    for name in SHORT:
        processes = [process_of(COMMANDS[name], here) for _ in range(2)]
        ends = [(process.communicate(timeout=240)[1], process.returncode) for process in processes]
        assert any(code == 0 for _, code in ends), (name, ends)
        for error, code in ends:
            assert code in (0, WRONG) and "Traceback" not in error, (name, error)
        shutil.rmtree(here / "new", ignore_errors=True)
    assert is_sound(here)


# --- a clock --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_a_clock_that_runs_backwards(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    began, calls = time.time(), [0]

    def backwards() -> float:
        calls[0] += 1
        return began - 3600.0 * calls[0]

    def dates() -> str:
        return pd.Timestamp(backwards(), unit="s").isoformat()

    monkeypatch.setattr(time, "time", backwards)
    for module in ("creating", "asking", "answering"):
        monkeypatch.setattr(f"autoal.session.{module}.now", dates)
    os.utime(here / "pool.csv", (0, 2**32))  # a file of the year 2106
    assert main(COMMANDS[name]) == 0
    assert is_sound(here)
