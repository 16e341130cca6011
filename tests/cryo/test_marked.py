"""Folders whose particles are all known: coordinates, masks of discs, and what can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal.cryo import synthetic_micrograph
from autoal.errors import DataMissing, InvalidInput
from tests.benchmarks import cryo
from tests.cryo.marked import Folder, disc_centres

NAMES = ("grid_1", "grid_2", "grid_3")


def discs(centres: Any, shape: tuple[int, int], diameter: float) -> Any:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return np.any([np.hypot(y - row, x - column) <= diameter / 2 for row, column in centres], axis=0) * np.uint8(255)


@pytest.fixture
def planted(tmp_path: Path) -> Any:
    """Three micrographs with masks as JPEG, one of them with coordinates too."""
    made = [synthetic_micrograph("blob", seed, snr=1.0, side=200, particles=20) for seed in range(3)]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name, one in zip(NAMES, made, strict=True):
        np.save(tmp_path / "images" / f"{name}.npy", one.pixels)
        Image.fromarray(discs(one.centres, (200, 200), 24)).save(tmp_path / "masks" / f"{name}_mask.jpg", quality=80)
    return tmp_path, made


def table(path: Path, centres: Any) -> None:
    pd.DataFrame({"x": centres[:, 1], "y": centres[:, 0]}).to_csv(path, index=False)


def test_middles_of_discs_that_touch_and_of_a_smaller_mask() -> None:
    centres = np.asarray([[40.0, 40.0], [40.0, 65.0], [100.0, 30.0], [90.0, 90.0], [112.0, 96.0], [12.0, 100.0]])
    for factor in (1, 2):
        mask = discs((centres + 0.5) / factor - 0.5, (140 // factor, 140 // factor), 24 / factor)
        found = disc_centres(mask.astype(float), 24, (140, 140))
        far = np.linalg.norm(centres[:, None] - found[None], axis=2)
        assert len(found) == len(centres) and far.min(axis=1).max() < 2
    assert disc_centres(np.zeros((140, 140)), 24, (140, 140)).shape == (0, 2)
    with pytest.raises(InvalidInput, match="same form"):
        disc_centres(np.zeros((140, 70)), 24, (140, 140))
    with pytest.raises(InvalidInput, match="8 pixels"):
        disc_centres(np.zeros((35, 35)), 24, (140, 140))


def test_masks_and_coordinates_give_the_same_marks(planted: Any) -> None:
    path, made = planted
    data, names = Folder(path / "images", path / "masks", 24).read()
    assert names == list(NAMES) and data.sign == -1
    for found, one in zip(data.marks, made, strict=True):
        far = np.linalg.norm(found[:, None] - one.centres[None], axis=2)
        assert len(found) == 20 and far.min(axis=0).max() < 2
    together = pd.concat(
        pd.DataFrame({"micrograph": name, "row": one.centres[:, 0], "column": one.centres[:, 1]})
        for name, one in zip(NAMES, made, strict=True)
    )
    together.to_csv(path / "all.csv", index=False)
    data, names = Folder(path / "images", path / "all.csv", 24, reference="grid_2", unseen=["grid_3.npy"]).read()
    assert names == ["grid_2", "grid_3"] and np.allclose(data.marks[1], made[2].centres)


def test_marks_upside_down_are_noticed_by_the_mask(planted: Any) -> None:
    path, made = planted
    below = made[0].centres.copy()
    below[:, 0] = 199 - below[:, 0]
    table(path / "masks" / "grid_1.csv", below)
    with pytest.raises(InvalidInput, match="--flip-y"):
        Folder(path / "images", path / "masks", 24).read()
    for name in NAMES[1:]:
        table(path / "masks" / f"{name}.csv", np.column_stack([199 - made[NAMES.index(name)].centres[:, 0],
                                                                made[NAMES.index(name)].centres[:, 1]]))  # fmt: skip
    data, _ = Folder(path / "images", path / "masks", 24, flip_y=True).read()
    assert np.allclose(data.marks[0], made[0].centres)


def test_a_border_is_cut_off_with_its_marks(planted: Any) -> None:
    path, made = planted
    data, _ = Folder(path / "images", path / "masks", 24, cut=0.1).read()
    assert data.pictures[0].shape == (160, 160)
    inside = ((made[0].centres >= 20) & (made[0].centres <= 179)).all(axis=1)
    assert len(data.marks[0]) == inside.sum() < 20
    assert np.array_equal(data.pictures[0], made[0].pixels[20:180, 20:180])


def test_what_is_wrong_with_a_folder_is_said(planted: Any) -> None:
    path, made = planted
    images, masks = path / "images", path / "masks"
    with pytest.raises(InvalidInput, match="grid_9"):
        Folder(images, masks, 24, reference="grid_9").read()
    with pytest.raises(InvalidInput, match="--cut"):
        Folder(images, masks, 24, cut=0.7).read()
    with pytest.raises(DataMissing, match="is not there"):
        Folder(images, path / "nowhere", 24).read()
    with pytest.raises(DataMissing, match="neither coordinates"):
        Folder(images, images, 24).read()
    table(masks / "grid_1.csv", made[0].centres + 500)
    with pytest.raises(InvalidInput, match="20 of 20 marks of grid_1 lie beyond"):
        Folder(images, masks, 24).read()


@pytest.mark.slow
def test_the_runner_prints_the_row_of_a_folder(planted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = planted
    command = ["--folder", str(path / "images"), "--marks", str(path / "masks"), "--diameter", "24", "--bright"]
    command += ["--run", str(path / "run"), "--seeds", "1", "--unseen", "grid_2"]
    assert cryo.main(command) == 0
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if line.startswith("| images |"))
    assert row.count("|") == 8 and "NCC" in said and "grid_1" in said
    again = (path / "run" / "cells.jsonl").read_bytes()
    assert cryo.main(command) == 0
    assert row in capsys.readouterr().out and (path / "run" / "cells.jsonl").read_bytes() == again
