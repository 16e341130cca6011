"""What a message of a session says to do is done, and works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoal import Session
from autoal.cli import WRONG, main
from autoal.disk import locked
from autoal.errors import DataMissing, InvalidInput, PoolExhausted, RunError
from tests.session.killed import told
from tests.session.problems import NAMES, X, again, begun, model, named, truth

DAMAGE: dict[str, Any] = {
    "gone": lambda content: None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "flipped": lambda content: content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
    "nested": lambda content: b"[" * 100_000,
}


KEPT = [
    "manifest.json",
    "ids.json",
    "costs.npy",
    "X.npy",
    "journal.jsonl",
    "journal.head",
    "checkpoints/start/selector.json",
]


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", KEPT)
def test_the_file_of_a_backup_in_its_place(tmp_path: Path, name: str, how: str) -> None:
    session = begun(tmp_path / "s", costs=np.arange(1.0, 61.0))
    session.tell(NAMES[:12], truth[:12])
    path = session.folder / name
    backup = path.read_bytes()
    damaged = DAMAGE[how](backup)
    path.unlink() if damaged is None else path.write_bytes(damaged)
    with pytest.raises((RunError, DataMissing)) as refused:
        again(session.folder).ask(3)
    wanted = name.split("/")[1] if "/" in name else "no session" if (name, how) == ("manifest.json", "gone") else name
    assert wanted in str(refused.value)
    path.write_bytes(backup)
    assert len(again(session.folder).ask(3)) == 3


def test_a_pool_that_moved_is_put_back_or_passed(tmp_path: Path) -> None:
    np.save(tmp_path / "pool.npy", X)
    session = begun(tmp_path / "s", X=str(tmp_path / "pool.npy"))
    session.tell(NAMES[:12], truth[:12])
    (tmp_path / "pool.npy").rename(tmp_path / "moved.npy")
    with pytest.raises(DataMissing, match=r"put it back, or pass it: Session\.open\('.*', X\)"):
        again(session.folder).ask(3)
    assert len(again(session.folder, X=str(tmp_path / "moved.npy")).ask(3)) == 3
    assert len(again(session.folder, X=X).ask(3)) == 3
    (tmp_path / "moved.npy").rename(tmp_path / "pool.npy")
    assert len(again(session.folder).ask(3)) == 3


def test_a_pool_that_changed_is_put_back_or_a_session_begun_anew(tmp_path: Path) -> None:
    np.save(tmp_path / "pool.npy", X)
    session = begun(tmp_path / "s", X=str(tmp_path / "pool.npy"))
    session.tell(NAMES[:12], truth[:12])
    changed = X.copy()
    changed[2, 1] += 1
    np.save(tmp_path / "pool.npy", changed)
    with pytest.raises(RunError, match="put the file of then back, or begin a session anew"):
        again(session.folder).ask(3)
    session.report(estimate=False)
    anew = begun(tmp_path / "anew", X=str(tmp_path / "pool.npy"))
    anew.tell_file(session.folder / "labels.csv")
    assert anew.labeled == session.labeled and len(anew.ask(3)) == 3
    np.save(tmp_path / "pool.npy", X)
    assert len(again(session.folder).ask(3)) == 3


def test_what_is_not_in_the_folder_is_passed_again(tmp_path: Path) -> None:
    rows = {"a": X[:, :2].astype(np.float32), "b": X[:, 2:].astype(np.float32)}
    session = begun(tmp_path / "s", X=rows, model=None)
    with pytest.raises(DataMissing, match=re.escape(f"Session.open({str(session.folder)!r}, X)")):
        Session.open(session.folder).ask(3, embeddings=X)
    assert len(Session.open(session.folder, rows).ask(3, embeddings=X)) == 3
    other = told(tmp_path / "other")
    with pytest.raises(InvalidInput, match=re.escape(f"Session.open({str(other.folder)!r}, model=...)")):
        Session.open(other.folder).ask(3)
    assert len(Session.open(other.folder, model=model()).ask(3)) == 3


def test_a_folder_that_holds_a_session_or_something_else(tmp_path: Path) -> None:
    folder = told(tmp_path / "s").folder
    with pytest.raises(RunError, match="go on with") as refused:
        begun(folder)
    opened = eval(re.search(r"Session\.open\('[^']+'\)", str(refused.value))[0], {"Session": Session})  # type: ignore[index]
    assert len(opened.labeled) == 12
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="choose another folder, or an empty one"):
        begun(tmp_path / "full")
    begun(tmp_path / "empty")
    begun(tmp_path / "another")


def test_wait_until_it_is_done_then_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = told(tmp_path / "s")
    monkeypatch.setattr("autoal.session.folder.WAIT_S", 0.05)
    with (
        locked(session.folder / ".lock", 1.0, ""),
        pytest.raises(RunError, match="wait until it is done, then do the same again"),
    ):
        session.tell("p50", "oak")
    assert session.tell("p50", "oak").new == 1


def test_a_session_that_moved_is_opened_where_it_is(tmp_path: Path) -> None:
    session = told(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(RunError, match=r"or open it with Session\.open where it is now"):
        session.tell("p50", "oak")
    assert again(tmp_path / "b").tell("p50", "oak").new == 1


def test_fewer_points_where_fewer_are_left(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    with pytest.raises(PoolExhausted, match="ask for 48 or fewer"):
        session.ask(49)
    assert len(session.ask(48)) == 48


def test_the_command_line_where_there_is_no_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame(X).to_csv(tmp_path / "pool.csv", index=False)
    folder, answers = tmp_path / "s", tmp_path / "a.csv"
    pd.DataFrame({"id": range(4), "label": named(NAMES[:4])}).to_csv(answers, index=False)
    assert main(["tell", str(folder), str(answers)]) == WRONG
    assert f"autoal query {folder} --pool POOL" in capsys.readouterr().err
    out = tmp_path / "new" / "batch.csv"
    command = [
        "query",
        str(folder),
        "--pool",
        str(tmp_path / "pool.csv"),
        "--batch-size",
        "3",
        "--quiet",
        "--out",
        str(out),
    ]
    assert main(command) == WRONG
    assert "is not there; make it first" in capsys.readouterr().err
    out.parent.mkdir()
    assert main(command) == 0
    assert main(command) == WRONG
    assert "leave --pool out to go on" in capsys.readouterr().err
    assert main([part for part in command if part not in ("--pool", str(tmp_path / "pool.csv"))]) == 0
    assert main(["tell", str(folder), str(answers)]) == 0


def test_all_checkpoints_of_a_backup(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    session.ask(3)
    shutil.copytree(session.folder / "checkpoints", tmp_path / "backup")
    shutil.rmtree(session.folder / "checkpoints")
    (session.folder / "checkpoints").mkdir()
    with pytest.raises(RunError, match="put the folder `checkpoints` of a backup in its place"):
        session.ask(3)
    shutil.rmtree(session.folder / "checkpoints")
    shutil.copytree(tmp_path / "backup", session.folder / "checkpoints")
    assert len(session.ask(3)) == 3
