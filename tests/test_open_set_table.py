"""The page of open sets is made of whole cells, and of pairs that every selector has."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.benchmarks.open_set_table import main

ROUNDS = 3


def _cell(run: Path, dataset: str, selector: str, seed: int, foreign: int, values: list[float]) -> None:
    (run / "cells").mkdir(parents=True, exist_ok=True)
    records = [
        {"dataset": dataset, "selector": selector, "seed": seed, "labels": 6 + 10 * n, "value": value,
         "rejected": foreign * n // ROUNDS, "last": n == ROUNDS}
        for n, value in enumerate(values)
    ]  # fmt: skip
    text = "".join(json.dumps(record) + "\n" for record in records)
    (run / "cells" / f"{dataset}--{selector}--{seed}.jsonl").write_text(text)


def test_a_page_of_what_every_selector_has_finished(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for dataset, worse in (("near", 0.0), ("far", 0.1)):
        for seed in range(6):
            for selector, foreign in (("autoal", 12), ("random", 15 + seed), ("poal", 3)):
                # One cell is not whole: its seed counts for nobody.
                whole = (dataset, seed, selector) != ("far", 5, "random")
                _cell(run, dataset, selector, seed, foreign, [0.5, 0.6, 0.7, 0.8 - worse][: None if whole else 3])
    assert main([str(run), "--out", str(tmp_path / "page.md")]) == 0
    cells = pd.read_csv(tmp_path / "page.csv")
    assert len(cells) == 3 * (6 + 5) and (cells["bought"] == 30).all()
    near = cells[cells["dataset"] == "near"]
    assert near["area"].unique().tolist() == pytest.approx([65.0])  # the mean height of 50, 60, 70, 80
    assert near["end"].unique().tolist() == pytest.approx([80.0])
    text = (tmp_path / "page.md").read_text()
    assert "2 scenarios, 5 to 6 seeds each, 30 labels beyond the first." in text
    assert "| near | 12.0 (0.0) | 17.5 (1.9) | 3.0 (0.0) |" in text
    # Wilcoxon's exact test over six paired seeds, all in one direction: 2 / 2^6.
    assert "| near | 3.0 | 17.5 | 6 of 6 | 0.031 |" in text


def test_nothing_is_made_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _cell(tmp_path / "run", "near", "autoal", 0, 3, [0.5])
    with pytest.raises(SystemExit):
        main([str(tmp_path / "run"), "--out", str(tmp_path / "page.md")])
    assert "no pair of scenario and seed" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()
