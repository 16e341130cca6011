"""Comparisons on a user's file: what takes no part is said."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

from autoal.errors import AutoALWarning
from autoal.experiment.own_data import config_of_data


def _file(folder: Path, gaps: int) -> Path:
    frame = load_iris(as_frame=True).frame.astype({"target": object})
    frame["target"] = frame["target"].map({0: "a", 1: "b", 2: "c"})
    frame.loc[frame.sample(gaps, random_state=0).index, "target"] = None
    frame.to_csv(folder / "d.csv", index=False)
    return folder / "d.csv"


def test_rows_without_a_label_are_counted_aloud(tmp_path: Path) -> None:
    with pytest.warns(AutoALWarning, match=r"60 of 150 rows of .*d\.csv' have no label"):
        fewer = config_of_data(_file(tmp_path, 60), "target")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = config_of_data(_file(tmp_path, 0), "target")
    assert fewer.batch_size * fewer.rounds < whole.batch_size * whole.rounds  # as many as there are labels for
