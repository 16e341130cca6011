"""The pool of a session is the file of then, to the last byte, or the session says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse

from autoal import Session
from autoal.errors import AutoALError, RunError
from autoal.session import stamps

X = np.random.default_rng(0).normal(size=(240, 4))


def pictures(folder: Path, value: int) -> Path:
    folder.mkdir(exist_ok=True)
    for row in range(6):
        Image.new("L", (8, 8), value if row == 2 else row).save(folder / f"{row}.png")
    return folder


def changed() -> np.ndarray:
    other = X.copy()
    other[2, 1] += 1.0  # not among the 64 rows that a fingerprint reads
    return other


def as_npy(path: Path, values: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), values)
    return path.with_suffix(".npy")


def as_csv(path: Path, values: np.ndarray) -> Path:
    pd.DataFrame(values, columns=list("abcd")).round(6).to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def as_parquet(path: Path, values: np.ndarray) -> Path:
    pd.DataFrame(values, columns=list("abcd")).to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def as_pictures(path: Path, values: np.ndarray) -> Path:
    return pictures(path, int(values[2, 1] > X[2, 1]) * 9 + 2)


WRITERS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "npy": as_npy, "csv": as_csv, "parquet": as_parquet, "pictures": as_pictures,
}  # fmt: skip


def look(folder: Path) -> Any:
    return Session.open(folder).rows


@pytest.mark.parametrize("kind", WRITERS)
def test_one_changed_value_of_a_file_is_found(tmp_path: Path, kind: str) -> None:
    path = WRITERS[kind](tmp_path / "pool", X)
    folder = Session.create(tmp_path / "s", path, random_state=0).folder
    assert len(look(folder)) in (240, 6)
    WRITERS[kind](tmp_path / "pool", changed())
    for call in (lambda: look(folder), lambda: Session.open(folder, path).rows):
        with pytest.raises(RunError, match="is not what it was"):
            call()
    WRITERS[kind](tmp_path / "pool", X)  # as the message says
    look(folder)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, lambda x: pd.DataFrame(x, columns=list("abcd"))])
def test_one_changed_byte_of_what_the_folder_holds_is_found(tmp_path: Path, make: Callable[[Any], Any]) -> None:
    folder = Session.create(tmp_path / "s", make(X), random_state=0).folder
    (path,) = folder.glob("X.*")
    content = path.read_bytes()
    for place in (len(content) // 2, len(content) // 3, len(content) - 40):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(RunError, match="is not what it was"):
            look(folder)
    path.write_bytes(content)
    look(folder)


def test_a_copied_folder_and_a_touched_file_are_the_same(tmp_path: Path) -> None:
    path = as_npy(tmp_path / "pool", X)
    for name, rows in (("a", X), ("b", path)):
        folder = Session.create(tmp_path / name, rows, random_state=0).folder
        os.utime(path, (0, 0))
        look(Path(shutil.copytree(folder, tmp_path / f"{name} copy")))


def test_a_large_file_of_the_same_size_and_time_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = as_npy(tmp_path / "pool", X)
    folder = Session.create(tmp_path / "s", path, random_state=0).folder
    monkeypatch.setattr(stamps, "SMALL", 0)
    with monkeypatch.context() as patched:
        patched.setattr(stamps, "_digest", lambda path: pytest.fail("it was read"))
        look(folder)
    as_npy(tmp_path / "pool", changed())
    with pytest.raises(RunError, match="is not what it was"):
        look(folder)


@pytest.mark.parametrize("size", [0, 100, 2000])
def test_a_file_that_shrinks_while_it_is_open_does_not_end_the_process(tmp_path: Path, size: int) -> None:
    path = as_npy(tmp_path / "pool", X)
    made = Session.create(tmp_path / "s", path, random_state=0, candidates="fast")
    made.tell(range(12), [0, 1] * 6)
    opened = Session.open(made.folder)
    assert len(opened.ask(3)) == 3
    os.truncate(path, size)
    for session in (made, opened):
        with pytest.raises(AutoALError, match="is not what it was"):
            session.ask(3)
    as_npy(tmp_path / "pool", X)
    assert len(opened.ask(3)) == len(made.ask(3)) == 3


def test_a_session_of_a_version_without_stamps_is_checked_as_then(tmp_path: Path) -> None:
    from tests.session.forged import as_version_0_1_0

    path = as_npy(tmp_path / "pool", X)
    folder = Session.create(tmp_path / "s", path, random_state=0).folder
    manifest = (folder / "manifest.json").read_text()
    import json

    content = json.loads(manifest)
    del content["data"]["file"]
    (folder / "manifest.json").write_text(json.dumps(content))
    as_version_0_1_0(folder)
    look(folder)
    np.save(path, X + 1.0)
    with pytest.raises(RunError, match="other numbers are in it"):
        look(folder)
