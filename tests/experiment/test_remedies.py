"""What a message of a run or a study says to do is done, and works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoal.cli import FAILED, WRONG, main
from tests.commands import CONFIG, STUDY


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config, and its run."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "c.toml").write_text(CONFIG.format(seeds=1, rounds=2))
    assert main(["compare", str(folder / "c.toml"), "--out", str(folder / "run"), "--quiet"]) == 0
    return folder


@pytest.fixture
def here(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "here"))


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: capsys.readouterr().err


def compare(here: Path, out: str = "run", *more: str) -> int:
    return main(["compare", str(here / "c.toml"), "--out", str(here / out), "--quiet", *more])


def same(here: Path, whole: Path, out: str = "run") -> bool:
    return (here / out / "journal.jsonl").read_bytes() == (whole / "run" / "journal.jsonl").read_bytes()


def test_a_config_that_changed_is_put_back_or_run_elsewhere(here: Path, whole: Path, said: Any) -> None:
    before = (here / "c.toml").read_text()
    (here / "c.toml").write_text(before.replace("batch_size = 3", "batch_size = 4"))
    assert compare(here) == WRONG
    assert "put the config back to continue it, or choose another folder with --out" in said()
    assert compare(here, "other") == 0
    (here / "c.toml").write_text(before)
    assert compare(here) == 0 and same(here, whole)


@pytest.mark.parametrize(
    "content", ["", "[]", "7", "{", "[" * 100_000, "{}", '{"config": []}', '{"config": {"name": 3}}']
)
def test_a_manifest_that_cannot_be_read(here: Path, whole: Path, said: Any, content: str) -> None:
    (here / "run" / "manifest.json").write_text(content)
    assert compare(here) == WRONG
    assert "another folder with --out" in (words := said()) and words.count("error:") == 1
    if not content:
        assert compare(here, "other") == 0 and same(here, whole, "other")
    for command in ("report", "outlook", "doctor"):
        assert main([command, str(here / "run")]) in (WRONG, FAILED)
        assert "Traceback" not in said()
    assert main(["merge", str(here / "merged"), str(here / "run")]) == WRONG
    assert not (here / "merged").exists() or not list((here / "merged").glob("*.jsonl"))


def test_a_cell_without_the_state_of_its_selector(here: Path, whole: Path, said: Any) -> None:
    cell = here / "run" / "cells" / "iris--margin--0.jsonl"
    cell.write_bytes(b"".join(cell.read_bytes().splitlines(keepends=True)[:-1]))
    shutil.rmtree(here / "run" / "cells" / "states", ignore_errors=True)
    (here / "run" / "journal.jsonl").unlink()
    code = compare(here)
    words = said()
    if code:
        assert f"delete {cell} to compute this cell again" in words
        cell.unlink()
        assert compare(here) == 0
    assert same(here, whole)


def test_two_shards_that_differ(here: Path, whole: Path, said: Any) -> None:
    shutil.copytree(here / "run", here / "other")
    cell = here / "other" / "cells" / "iris--margin--0.jsonl"
    from tests.session.forged import resealed

    resealed(cell, lambda lines: [{**line, "value": line["value"] / 2} for line in lines])
    assert main(["merge", str(here / "all"), str(here / "run"), str(here / "other")]) == WRONG
    assert "keep the one you trust, and delete the other" in said()
    cell.unlink()
    assert main(["merge", str(here / "all"), str(here / "run"), str(here / "other")]) == 0
    assert same(here, whole, "all")


def test_a_run_that_is_not_finished(here: Path, whole: Path, said: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("journal.jsonl", "journal.head", "cells/iris--margin--0.jsonl"):
        (here / "run" / name).unlink()
    assert main(["report", str(here / "run")]) == WRONG
    assert "run the shards that are still to come, or the same command without --shard" in said()
    assert compare(here) == 0 and same(here, whole)


def test_data_of_then_are_put_back(tmp_path: Path, said: Any) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    np.savez(tmp_path / "d.npz", X=X, y=y)
    config = CONFIG.format(seeds=1, rounds=1).replace('"iris"', json.dumps(str(tmp_path / "d.npz")))
    (tmp_path / "c.toml").write_text(config)
    assert compare(tmp_path) == 0
    np.savez(tmp_path / "d.npz", X=X + 1, y=y)
    again = ["compare", str(tmp_path / "run" / "manifest.json"), "--out", str(tmp_path / "again"), "--quiet"]
    assert main(again) == WRONG
    assert "put the data sets of then back, or run the config itself" in said()
    np.savez(tmp_path / "d.npz", X=X, y=y)
    assert main(again) == 0
    assert (tmp_path / "again" / "journal.jsonl").read_bytes() == (tmp_path / "run" / "journal.jsonl").read_bytes()


def test_a_folder_that_cannot_be_written(here: Path, said: Any) -> None:
    (here / "file").write_text("")
    assert compare(here, "file/run") in (WRONG, FAILED)
    assert "choose another folder with --out" in said()
    assert compare(here, "elsewhere") == 0


def test_a_storage_that_is_none_is_named_anew(tmp_path: Path, said: Any) -> None:
    (tmp_path / "trials.db").write_text("no database")
    text = STUDY.format(seeds=1, rounds=1, trials=1)
    for name, code in (("trials.db", WRONG), ("other.db", 0)):
        storage = json.dumps(f"sqlite:///{tmp_path / name}")
        (tmp_path / "s.toml").write_text(text.replace("[study]", f"[study]\nstorage = {storage}"))
        assert main(["study", str(tmp_path / "s.toml"), "--out", str(tmp_path / "s"), "--quiet"]) == code
    assert "name another `storage` in the config" in said()
