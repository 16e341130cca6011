"""Tables, the verdict and the plots, from journals made by hand."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from autoal.errors import RunError
from autoal.report.curves import learning_curves
from autoal.report.study_plot import study_plot
from autoal.report.tables import (
    curve_table,
    dataset_table,
    interval,
    overall_table,
    read_journal,
    rich_table,
    to_markdown,
    verdict,
)

COLUMNS = ["dataset", "selector", "seed", "round", "labels", "labeled", "rejected", "value"]


def made(gains: dict[str, float], *, datasets: tuple[str, ...] = ("a",), seeds: int = 8, noise: float = 0.005):
    """Curves from 0.5 to 0.7, each selector's higher by its gain."""
    rows = []
    for dataset in datasets:
        for selector, gain in gains.items():
            for seed in range(seeds):
                shift = np.random.default_rng([seed, len(selector)]).normal(0, noise)
                for number in range(5):
                    value = 0.5 + 0.05 * number + gain + shift
                    rows.append((dataset, selector, seed, number, 10 + 5 * number, 10 + 5 * number, 0, value))
    return pd.DataFrame(rows, columns=COLUMNS)


def test_a_clear_gain_is_a_win_and_its_mirror_a_loss() -> None:
    journal = made({"mine": 0.05, "random": 0.0})
    assert verdict(journal, "mine", "random").startswith("mine beats random: +")
    assert verdict(journal, "random", "mine").startswith("random loses to mine: -")
    table = dataset_table(journal, "random").set_index("selector")
    assert table.loc["mine", "outcome"] == "win"
    assert table.loc["mine", "difference"] == pytest.approx(5.0, abs=0.5)
    assert table.loc["mine", "low"] > 0
    assert 0 < table.loc["mine", "saving"] < 1


def test_a_gain_within_the_interval_is_a_tie() -> None:
    assert "are tied" in verdict(made({"mine": 0.002, "random": 0.0}, noise=0.03), "mine", "random")


def test_one_seed_is_no_verdict() -> None:
    assert verdict(made({"mine": 0.2, "random": 0.0}, seeds=1), "mine", "random").startswith("No verdict")


def test_a_missing_rival_is_no_verdict() -> None:
    assert verdict(made({"mine": 0.2}), "mine", "random").startswith("No verdict")


def test_an_interval_is_wider_for_few_values_and_always_the_same() -> None:
    few, many = interval([1.0, 2.0, 3.0]), interval([1.0, 2.0, 3.0] * 10)
    assert few == interval([1.0, 2.0, 3.0])
    assert few.low < 0 < many.low
    assert interval([0.5, 0.5]).low == 0.5
    assert interval([1.0]).sign == 0
    assert math.isnan(interval([]).mean)


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [interval(rng.normal(1.0, 2.0, 5)) for _ in range(120)]
    assert 0.88 <= np.mean([i.low <= 1.0 <= i.high for i in found]) <= 1.0


def test_ranks_with_ties_average_and_sum_to_what_they_must() -> None:
    journal = made({"aa": 0.1, "bb": 0.1, "cc": 0.0}, datasets=("a", "b"), noise=0.0)
    table = overall_table(journal, "cc").set_index("selector")
    assert table["rank"].to_dict() == {"aa": 1.5, "bb": 1.5, "cc": 3.0}
    assert table["rank"].sum() == 3 * 4 / 2
    assert table.loc["aa", ["wins", "ties", "losses"]].tolist() == [2, 0, 0]


def test_the_order_of_seeds_changes_no_summary() -> None:
    journal = made({"mine": 0.01, "random": 0.0}, datasets=("a", "b"))
    turned = journal.sort_values("seed", ascending=False, kind="stable")
    pd.testing.assert_frame_equal(overall_table(journal, "random"), overall_table(turned, "random"))


def test_an_average_counts_only_what_every_selector_finished() -> None:
    journal = made({"mine": 0.05, "random": 0.0})
    cut = journal[~((journal["selector"] == "random") & (journal["seed"] == 3))]
    assert set(overall_table(cut, "random")["cells"]) == {7}
    assert dataset_table(cut, "random").set_index("selector").loc["random", "seeds"] == 7


def test_the_area_of_a_curve_is_in_points() -> None:
    assert curve_table(made({"mine": 0.0}, noise=0.0))["aubc"].tolist() == pytest.approx([60.0] * 8)


def test_tables_are_shown_with_the_interval_in_one_column() -> None:
    table = dataset_table(made({"mine": 0.05, "random": 0.0}), "random")
    text = to_markdown(table)
    assert "| 95 % interval |" in text.splitlines()[0]
    assert " to +" in text.splitlines()[2]
    assert rich_table(table).row_count == 2


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="finish the run first"):
        read_journal(tmp_path)
    (tmp_path / "journal.jsonl").write_text("")
    with pytest.raises(RunError, match="no finished cell"):
        read_journal(tmp_path)


def test_a_journal_is_all_the_report_needs(tmp_path: Path) -> None:
    journal = made({"mine": 0.05, "random": 0.0})
    lines = [json.dumps({**record, "picked": [1]}) for record in journal.to_dict("records")]
    (tmp_path / "journal.jsonl").write_text("\n".join(lines) + "\n")
    pd.testing.assert_frame_equal(read_journal(tmp_path), journal.assign(metric="accuracy"))


def test_plots_are_png_files(tmp_path: Path) -> None:
    journal = made({f"s{i}": i / 100 for i in range(9)}, datasets=("a", "b", "c", "d"))
    trials = pd.DataFrame(
        {"trial": [0, 1, 2], "state": ["complete", "pruned", "complete"], "gain": [0.1, -0.3, 0.4], "seconds": 1.0}
    )
    plots = [
        learning_curves(journal, tmp_path / "new" / "curves.png", reference="s0"),
        study_plot(trials, {"lr": 0.8, "steps": 0.2}, tmp_path / "h.png", objective="gain", chosen=2, front=trials[2:]),
        study_plot(trials, {}, tmp_path / "few.png", objective="gain"),
    ]
    for plot in plots:
        assert plot.read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in tmp_path.iterdir()} == {"new", "h.png", "few.png"}


def test_a_narrow_terminal_cuts_no_number() -> None:
    frame = dataset_table(made({"a_selector_of_some_length": 0.05, "random": 0.0}), "random")
    for width in (80, 100, 140):
        out = io.StringIO()
        Console(file=out, width=width).print(rich_table(frame, width=width))
        text = out.getvalue()
        assert "…" not in text
        for column in ("aubc", "final", "difference"):
            assert f"{frame[column][0]:.2f}" in text
        assert f"{frame['saving'][0]:.0%}" in text


def regression_journal() -> pd.DataFrame:
    """`mine` has the lower error."""
    journal = made({"random": 0.0, "mine": 0.05})
    return journal.assign(value=-journal["value"], metric="log_rmse")


def test_of_errors_less_is_better() -> None:
    journal = regression_journal()
    assert "mine beats random: +" in verdict(journal, "mine", "random") and "log_rmse" in verdict(
        journal, "mine", "random"
    )
    table = dataset_table(journal, "random").set_index("selector")
    assert table.loc["mine", "outcome"] == "win" and table.loc["mine", "difference"] == pytest.approx(5, abs=0.5)
    assert table.loc["mine", "aubc"] < table.loc["random", "aubc"] < 0
    assert 0 < table.loc["mine", "saving"] < 1
    overall = overall_table(journal, "random")
    assert overall["selector"].tolist() == ["mine", "random"]
    assert overall["rank"].tolist() == [1.0, 2.0]
