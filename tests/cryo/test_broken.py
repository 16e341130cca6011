"""Micrographs and folders that are broken, and commands that are stopped half-way."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autoal.cli import FAILED, INTERRUPTED, WRONG, main
from autoal.cryo.files import read_micrograph
from autoal.disk import write_atomic
from autoal.errors import InvalidInput
from tests.cryo.test_files import folder, run

__all__ = ["folder"]


def _npy(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, {"shape": shape, "fortran_order": False, "descr": dtype})
    return made.getvalue() + content


def _mrc(*head: int) -> bytes:
    return np.asarray(head, dtype="<i4").tobytes().ljust(1024 + 64, b"\0")


def _picture(kind: str, dtype: Any) -> bytes:
    made = io.BytesIO()
    Image.fromarray(np.arange(4096, dtype=dtype).reshape(64, 64)).save(made, kind)
    return made.getvalue()


PNG, TIFF = _picture("PNG", np.uint16), _picture("TIFF", np.float32)
BROKEN = {
    "empty.npy": b"",
    "cut.npy": _npy((8, 8), "<f8", bytes(503)),
    "vast.npy": _npy((10**6, 10**6), "<f8", bytes(64)),
    "objects.npy": _npy((8,), "|O", bytes(64)),
    "cut.png": PNG[: len(PNG) // 2],
    "flipped.png": PNG[:43] + bytes([PNG[43] ^ 8]) + PNG[44:],
    "cut.tif": TIFF[:90],
    "noise.tif": b"II*\0" + bytes(range(256)) * 4,
    "none.jpg": b"no picture",
    "empty.mrc": b"",
    "noise.mrc": bytes(range(256)) * 8,
    "vast.mrc": _mrc(10**6, 10**6, 1, 2),
    "negative.mrc": _mrc(-5, 6, 1, 2),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_micrograph_is_said_with_its_name(tmp_path: Path, name: str) -> None:
    if name.endswith(".mrc"):
        pytest.importorskip("mrcfile")
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(InvalidInput, match=name):
        read_micrograph(tmp_path / name)


def test_a_picture_larger_than_memory_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setattr("autoal.cryo.files.memory_there", lambda: 1000)
    with pytest.raises(InvalidInput, match=r"a\.png.*memory has 1,000"):
        read_micrograph(tmp_path / "a.png")


@pytest.mark.parametrize(
    "end", [pytest.param(KeyboardInterrupt, marks=pytest.mark.slow), OSError(28, "No space left on device")]
)
def test_windows_are_all_there_or_none_and_the_same_command_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    for name in ("grid1", "void"):
        (folder / "m" / f"{name}.npy").unlink()
    out = folder / "windows"
    before, counted = sorted(os.listdir(folder)), iter(range(100))

    def stopped(path: Path, *rest: Any, **named: Any) -> None:
        if next(counted) == 3:
            raise end
        write_atomic(path, *rest, **named)

    monkeypatch.setattr("autoal.cryo.folder.write_atomic", stopped)
    assert run(folder, "windows", "--out", str(out)) in (INTERRUPTED, FAILED)
    assert sorted(os.listdir(folder)) == before
    monkeypatch.undo()
    if end is KeyboardInterrupt:
        assert run(folder, "windows", "--out", str(out)) == 0
        assert (out / "windows.csv").is_file() and len(os.listdir(folder)) == len(before) + 1


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"key": 1, "micrographs": {}}', '{"key": "a", "micrographs": {"grid0": {}}}', "[" * 99_999],
    ids=["empty", "list", "no key", "number", "no picks", "nested"],
)
def test_a_summary_that_was_changed_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (folder / "picks").mkdir()
    (folder / "picks" / "picks.json").write_text(content)
    assert run(folder, "pick", "--out", str(folder / "picks")) == WRONG
    said = capsys.readouterr().err
    assert "picks.json cannot be read" in said and said.count("\n") == 1
    (folder / "picks" / "picks.json").unlink()
    (folder / "picks").rmdir()
    (folder / "m" / "grid1.npy").unlink()
    if not content:
        assert run(folder, "pick", "--out", str(folder / "picks")) == 0  # as the message says


@pytest.mark.slow
def test_a_reader_that_has_gone_stops_no_picking(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr("sys.stderr", gone)
        code = main(
            ["cryo", "pick", str(folder / "m"), "--marks", str(folder / "marks.csv"), "--diameter", "24",
             "--steps", "3", "--device", "cpu", "--out", str(folder / "picks")]
        )  # fmt: skip
        monkeypatch.undo()
    assert code == 0 and len(list((folder / "picks").glob("*.star"))) == 3
