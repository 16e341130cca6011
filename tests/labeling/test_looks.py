"""What there is to look at of a row."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal import Session
from autoal.data.sources import Pictures
from autoal.errors import InvalidInput, RunError
from autoal.labeling.looks import MOST_PIXELS, Looks
from tests.labeling.problems import HOSTILE, picture_folder


def looks_of(folder: Path, X: Any, **arguments: Any) -> Looks:
    session = Session.create(folder, X, random_state=0, **arguments)
    return Looks(session, session.history()[0]["data"])


def opened(content: bytes) -> Any:
    return Image.open(io.BytesIO(content))


def test_pictures_are_sent_as_they_are(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "p", 4)
    looks = looks_of(tmp_path / "s", folder)
    assert looks.kind == "picture" and looks.of(2) == {}
    for row, file in enumerate(Pictures(folder).files):
        assert looks.picture(row) == (file.read_bytes(), "image/png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
def test_huge_ones_and_formats_that_browsers_lack_come_as_a_preview(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    side = 3000 if suffix != "tiff" else 50
    Image.new("RGB", (side, 20), (200, 10, 10)).save(folder / f"a.{suffix}")
    picture = looks_of(tmp_path / "s", folder, ids=["a"]).picture(0)
    made = opened(picture.content)
    assert picture.media_type in ("image/jpeg", "image/png")
    assert made.size == ((MOST_PIXELS, 14) if side > MOST_PIXELS else (50, 20))
    assert np.abs(np.asarray(made.convert("RGB"))[5, 20].astype(int) - (200, 10, 10)).max() < 12


def test_a_preview_is_upright_and_of_16_bits_visible(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    turned = Image.new("RGB", (2600, 100))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    Image.fromarray(np.linspace(1000, 3000, 64).reshape(8, 8).astype(np.uint16)).save(folder / "deep.tiff")
    looks = looks_of(tmp_path / "s", folder)
    deep = np.asarray(opened(looks.picture(0).content).convert("L"))
    assert deep.min() < 12 and deep.max() > 243
    width, height = opened(looks.picture(1).content).size
    assert height > width


def test_a_file_that_is_no_picture_any_more_is_refused(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "p", 4)
    looks = looks_of(tmp_path / "s", folder)
    files = Pictures(folder).files
    files[0].write_text("#!/bin/sh")
    files[1].unlink()
    files[2].unlink()
    os.symlink("/etc/passwd", files[2])
    for row in range(3):
        with pytest.raises(InvalidInput, match="cannot be read as a picture"):
            looks.picture(row)
    with pytest.raises(RunError, match="holds 3 pictures"):
        Looks(Session.open(tmp_path / "s"), Session.open(tmp_path / "s").history()[0]["data"])


@pytest.mark.parametrize(
    ("shape", "dtype", "size"),
    [((6, 5, 7), np.uint8, (7, 5)), ((6, 5, 7, 3), np.uint8, (7, 5)), ((6, 3, 5, 7), np.float32, (7, 5))],
)
def test_arrays_of_pictures_become_pictures(tmp_path: Path, shape: tuple[int, ...], dtype: Any, size: Any) -> None:
    draw = np.random.default_rng(0)
    X = draw.random(shape) * 200 if dtype == np.uint8 else draw.normal(size=shape)
    np.save(tmp_path / "x.npy", X.astype(dtype))
    looks = looks_of(tmp_path / "s", tmp_path / "x.npy")
    picture = looks.picture(3)
    assert looks.kind == "picture" and picture.media_type == "image/png" and opened(picture.content).size == size


def test_texts_come_whole_and_as_text(tmp_path: Path) -> None:
    texts = ["a first one\n with lines", HOSTILE, None, "x" * 300_000]
    looks = looks_of(tmp_path / "s", pd.Series(texts, dtype=object))
    assert looks.kind == "text"
    assert [looks.of(row)["text"] for row in range(3)] == [texts[0], HOSTILE, ""]
    assert len(looks.of(3)["text"]) == 100_000


def test_cells_of_a_table_by_name(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"when": pd.to_datetime(["2020-01-02"] * 4), "n": [1, 2, 3, 4], "x": [0.1, None, 1234567.5, 2.0],
         HOSTILE: ["a b", HOSTILE, None, "d"]}
    )  # fmt: skip
    looks = looks_of(tmp_path / "s", frame)
    assert looks.of(1)["fields"] == [["when", "2020-01-02 00:00:00"], ["n", "2"], ["x", ""], [HOSTILE, HOSTILE]]
    assert looks.of(2)["fields"][2] == ["x", "1234567.5"]


def test_of_very_wide_rows_a_part_is_shown_and_said(tmp_path: Path) -> None:
    fields = looks_of(tmp_path / "s", np.zeros((4, 500))).of(0)["fields"]
    assert len(fields) == 201 and "more" in fields[-1][1]
