"""The best single candidate in hindsight, from journals made by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from test_report import made

from autoal.report.hindsight import oracle_single, oracle_single_note


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
