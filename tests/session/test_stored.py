"""Names and texts that no file holds are refused in our words, and nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoal import Session
from autoal.errors import InvalidInput, RunError
from tests.session.problems import X

TEXTS = [f"a \ud800 text, number {row}" for row in range(30)]
POOLS: dict[str, Any] = {
    "list": TEXTS,
    "array": np.asarray(TEXTS, dtype=object),
    "series": pd.Series(TEXTS, dtype=object),
    "frame": pd.DataFrame({"text": TEXTS, "n": range(30)}, dtype=object),
}


@pytest.mark.parametrize("kind", POOLS)
def test_halves_of_surrogate_pairs_in_texts(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InvalidInput, match=r"half of a surrogate pair.*replace it"):
        Session.create(tmp_path / "s", POOLS[kind])
    assert os.listdir(tmp_path) == []
    texts = [text.encode(errors="replace").decode() for text in TEXTS]  # as the message says
    session = Session.create(tmp_path / "s", texts)
    assert len(session.ask(2)) == 2 and len(Session.open(tmp_path / "s").pending) == 2


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "x" * 50_000, "y/" * 3000, "\ud800"])
def test_a_name_that_no_folder_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="choose a folder") as refused:
        Session.create(tmp_path / name, X)
    assert len(str(refused.value)) < 1000
    assert os.listdir(tmp_path) == []
    with pytest.raises(RunError if "\0" in name or len(name) > 1 else (RunError, InvalidInput)):
        Session.open(tmp_path / name)
