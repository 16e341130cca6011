"""No cell of a CSV that we write runs as a formula, and what is read back is as it was."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from autoal.cli import app
from autoal.formulas import NUMBER, defused, restored
from autoal.session import Session
from tests.session.problems import X, begun, truth

FORMULAS = [
    '=HYPERLINK("http://x","y")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "'=quoted",
    "''-twice",
    "\uff1d1+1",
]
TEXTS = st.text(alphabet=st.sampled_from("=+-@'\t1.ex\uff0b"), max_size=6)
IDS = [*FORMULAS, *(f"p{row}" for row in range(len(FORMULAS), len(X)))]
CLASSES = {"oak": "=oak", "elm": "-elm", "ash": "@ash"}


def cells(text: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(text)) for cell in row]


def runs(cell: str) -> bool:
    return cell.startswith(tuple("=+-@\uff1d")) and not NUMBER.fullmatch(cell)


@given(TEXTS)
def test_all_text_comes_back(text: str) -> None:
    (cell,) = defused(pd.DataFrame({"a": [text]}))["a"]
    assert restored(cell) == text and not runs(cell)


def test_numbers_and_other_types_are_not_touched() -> None:
    frame = pd.DataFrame(
        {"i": [-1, 2], "f": [-0.5, np.nan], "b": [True, False], "n": pd.array([-1, None], dtype="Int64"),
         "o": pd.Series([-3, "-3"], dtype=object), "t": pd.to_datetime(["2020-01-01", None])}
    )  # fmt: skip
    assert defused(frame).to_csv(index=False) == frame.to_csv(index=False)
    mixed = pd.DataFrame({"=a": pd.Categorical(["=x", "y"]), "s": pd.Series(["@x", None], dtype="string")})
    assert not any(map(runs, cells(defused(mixed).to_csv(index=False))))
    assert mixed.columns[0] == "=a"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return begun(tmp_path / "s", ids=IDS)


def answer(session: Session, rows: Any) -> None:
    session.tell([IDS[row] for row in rows], [CLASSES[truth[row]] for row in rows])


def test_a_batch_filled_in_as_csv_is_told_as_it_was(session: Session, tmp_path: Path) -> None:
    session.tell(IDS[8:], [CLASSES[name] for name in truth[8:]])
    path = tmp_path / "batch.csv"
    batch = session.ask(8)
    batch.to_csv(path, data={name: {"=look": name} for name in IDS})
    assert not any(map(runs, cells(path.read_text())))
    frame = pd.read_csv(path, dtype=str)
    frame["label"] = ["=new", "'=new", "-elm", "@ash", "=oak", "plain", "-elm", "'plain"]  # as people type it
    frame.to_csv(path, index=False)
    session.tell_file(path)
    told = {name: session.labeled[name] for name in batch.ids.tolist()}
    assert list(told.values()) == ["=new", "=new", "-elm", "@ash", "=oak", "plain", "-elm", "'plain"]


def test_no_table_of_a_session_runs_a_formula(session: Session, tmp_path: Path) -> None:
    answer(session, range(40))
    session.skip(IDS[50], "=because")
    session.predict(tmp_path / "p.csv")
    session.report(estimate=False)
    shell = CliRunner().invoke(app, ["suspects", str(session.folder), "-n", "5"])
    for text in ((tmp_path / "p.csv").read_text(), (session.folder / "labels.csv").read_text(), shell.stdout):
        assert not any(map(runs, cells(text)))
    assert "'=because" in (session.folder / "labels.csv").read_text()
    # Predictions and labels told to a new session: ids and classes are what they were.
    other = begun(tmp_path / "other", ids=IDS)
    other.tell_file(session.folder / "labels.csv")
    assert other.labeled == session.labeled
