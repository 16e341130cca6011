"""The best single candidate in hindsight, from journals made by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from test_report import made

from autoal.report.hindsight import oracle_single, oracle_single_note, shortfall_table


def journal() -> pd.DataFrame:
    first = made({"mine": 0.03, "margin": 0.02, "kcenter": 0.01}, datasets=("a",), noise=0.0)
    return pd.concat([first, made({"mine": 0.03, "margin": 0.0, "kcenter": 0.05}, datasets=("b",), noise=0.0)])


def test_it_takes_the_best_candidate_of_each_scenario() -> None:
    best = oracle_single(journal(), ["margin", "kcenter"])
    assert best["selector"].tolist() == ["margin", "kcenter"]
    assert best["aubc"].tolist() == pytest.approx([62.0, 65.0])


def test_the_note_says_that_it_cheats_and_how_far_below_the_focus_lies() -> None:
    note = oracle_single_note(journal(), ["margin", "kcenter"], "mine")
    assert note is not None and "cheats" in note
    assert "margin on a, kcenter on b" in note and "63.50 points; mine lies 0.50 below it" in note
    assert oracle_single_note(journal(), ["margin"], "mine") is None


def test_the_shortfall_is_counted_from_the_best_single_candidate_of_each_scenario() -> None:
    table = shortfall_table(journal(), ["margin", "kcenter"]).set_index("selector")
    # On a: mine is above the best, margin is it, kcenter a point below. On b: mine 2 below, margin 5, kcenter is it.
    assert table.loc["kcenter", ["far", "shortfall", "worst"]].tolist() == pytest.approx([0, 0.5, 1.0])
    assert table.loc["mine", ["far", "shortfall", "worst"]].tolist() == pytest.approx([1, 1.0, 2.0])
    assert table.loc["margin", ["far", "shortfall", "worst"]].tolist() == pytest.approx([1, 2.5, 5.0])
    assert table.index.tolist() == ["kcenter", "mine", "margin"] and table.loc["mine", "where"] == "b"
    assert shortfall_table(journal(), ["margin"]).empty
