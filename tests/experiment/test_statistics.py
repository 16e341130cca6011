"""Tests over scenarios and measures of curves, against answers worked out by hand or by another library."""

from __future__ import annotations

import importlib
import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from autoal.errors import RunError, UnknownName
from autoal.experiment.metrics import aubc
from autoal.report import statistics
from autoal.report.measures import (
    data_utilisation,
    deficiency,
    end_quality,
    measures_table,
    normalised_aubc,
    start_quality,
)
from autoal.report.statistics import (
    average_ranks,
    common,
    comparison,
    critical_difference,
    friedman,
    outcomes,
    penalty_matrix,
    power_table,
    seeds_needed,
    wilcoxon,
)


def made(areas: dict[str, dict[str, list[float]]]) -> pd.DataFrame:
    """A journal of flat curves of three points: scenario -> selector -> value by seed; NaN for a cell that failed."""
    rows = [
        (scenario, selector, seed, number, 10 + 5 * number, 10 + 5 * number, 0, value, "accuracy")
        for scenario, selectors in areas.items()
        for selector, values in selectors.items()
        for seed, value in enumerate(values)
        if math.isfinite(value)
        for number in range(3)
    ]
    columns = ["dataset", "selector", "seed", "round", "labels", "labeled", "rejected", "value", "metric"]
    return pd.DataFrame(rows, columns=columns)


def means(rows: list[list[float]], names: str = "abcdefgh") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(names[: len(rows[0])]))


# Table 6 of Demsar 2006 (JMLR 7:1): AUC of four decision trees on 14 data sets; its section 3.2 works it out.
DEMSAR = means(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_average_ranks_and_critical_difference_are_those_of_the_textbook() -> None:
    # There: 3.143, 2.000, 2.893, 1.964, and a critical difference of 1.25 at .05, 1.12 at .10 (2.569, 2.291 by table).
    ranks = average_ranks(DEMSAR)
    assert ranks.round(3).to_dict() == {"d": 1.964, "b": 2.0, "c": 2.893, "a": 3.143}
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.01)
    assert friedman(DEMSAR) < 0.05


def test_ranks_of_ties_average_and_sum_to_what_they_must() -> None:
    ranks = average_ranks(means([[3, 3, 1], [2, 2, 2]]))
    assert ranks.to_dict() == {"a": 1.75, "b": 1.75, "c": 2.5}
    assert ranks.sum() == 3 * 4 / 2


def test_the_friedman_test_by_hand() -> None:
    # Ranks 1, 2, 3 in each of 4 scenarios: chi^2 = 12 n / (k (k + 1)) (sum R^2 - k (k + 1)^2 / 4) = 8, exp(-8 / 2).
    assert friedman(means([[3, 2, 1]] * 4)) == pytest.approx(math.exp(-4))
    assert friedman(means([[1, 1, 1]] * 4)) == 1.0
    assert math.isnan(friedman(means([[2, 1]] * 4)))
    assert math.isnan(friedman(means([[3, 2, 1]])))


def test_wilcoxon_by_hand_and_corrected_for_the_number_of_rivals() -> None:
    # Six differences of one sign: 2 / 2^6. Of a tie everywhere: 1. Holm: 3 p, then 2 p, then p, never falling.
    pytest.importorskip("statsmodels")
    table = means([[10 + i, 9 - i, 9 - 2 * i, 10 + i] for i in range(6)])
    found = wilcoxon(table, "a")
    assert found["p"].tolist() == pytest.approx([2 / 64, 2 / 64, 1.0])
    assert found["holm"].tolist() == pytest.approx([6 / 64, 6 / 64, 1.0])


def test_the_critical_difference_and_p_values_agree_with_another_library() -> None:
    autorank = pytest.importorskip("autorank")
    pytest.importorskip("scikit_posthocs")
    found = autorank.autorank(DEMSAR, force_mode="nonparametric", order="descending")
    assert found.cd == pytest.approx(critical_difference(4, 14), rel=1e-3)
    assert found.rankdf["meanrank"].to_dict() == pytest.approx(average_ranks(DEMSAR).to_dict())
    assert found.pvalue == pytest.approx(friedman(DEMSAR))
    # Two selectors whose ranks differ by just less, or just more, than the critical difference.
    pairs, ranks = statistics.nemenyi(DEMSAR), average_ranks(DEMSAR)
    for i, j in permutations(DEMSAR.columns, 2):
        assert (pairs.loc[i, j] < 0.05) == (abs(ranks[i] - ranks[j]) > critical_difference(4, 14))


def test_the_bayesian_test_tells_better_from_equal_and_is_repeatable() -> None:
    pytest.importorskip("baycomp")
    rng = np.random.default_rng(0)
    base = rng.normal(70, 5, 15)
    table = pd.DataFrame({"mine": base, "same": base + rng.normal(0, 0.1, 15), "worse": base - 3, "better": base + 3})
    found = statistics.bayesian(table, "mine")
    assert found.loc["same", "equal"] > 0.95
    assert found.loc["worse", "better"] > 0.95
    assert found.loc["better", "worse"] > 0.95
    assert found.sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    pd.testing.assert_frame_equal(found, statistics.bayesian(table, "mine"))


def test_outcomes_count_scenarios_by_the_interval() -> None:
    journal = made(
        {
            "won": {"mine": [0.7, 0.71, 0.72, 0.7], "other": [0.6, 0.61, 0.61, 0.6]},
            "tied": {"mine": [0.7, 0.6, 0.7, 0.6], "other": [0.6, 0.7, 0.6, 0.7]},
            "lost": {"mine": [0.5, 0.51, 0.52, 0.5], "other": [0.6, 0.61, 0.61, 0.6]},
        }
    )
    assert outcomes(journal, "mine").loc["other"].tolist() == [1, 1, 1]
    with pytest.raises(UnknownName, match="did you mean 'mine'"):
        outcomes(journal, "mime")


def test_penalties_count_for_the_one_that_is_better() -> None:
    # The public code this comes from counts them the other way round.
    journal = made({s: {"a": [0.8, 0.81, 0.82], "b": [0.7, 0.71, 0.715]} for s in ("one", "two")})
    found = penalty_matrix(journal)
    assert found.loc["a", "b"] == 1.0 and found.loc["b", "a"] == 0.0
    errors = journal.assign(metric="rmse")
    assert penalty_matrix(errors).loc["b", "a"] == 1.0


def test_identical_curves_beat_nobody() -> None:
    found = penalty_matrix(made({"one": {"a": [0.8, 0.81], "b": [0.8, 0.81]}}))
    assert found.to_numpy().tolist() == [[0, 0], [0, 0]]


def test_penalties_leave_out_where_both_have_arrived_and_where_nothing_can_be_tested() -> None:
    journal = made(
        {
            "easy": {"a": [0.998, 0.999, 0.999], "b": [0.995, 0.996, 0.9955]},
            "hard": {"a": [0.8, 0.81, 0.82], "b": [0.7, 0.71, 0.715]},
        }
    )
    easy = journal[journal["dataset"] == "easy"]
    assert math.isnan(penalty_matrix(easy, full={"easy": 1.0}).loc["a", "b"])
    assert penalty_matrix(journal, full={"easy": 1.0}).loc["a", "b"] == 1.0
    assert math.isnan(penalty_matrix(made({"one": {"a": [0.8], "b": [0.7]}})).loc["a", "b"])


@pytest.mark.parametrize(
    ("gain", "sd", "seeds"),
    [
        (0.0081, 0.023, 64),
        (0.0300, 0.025, 6),
        (0.0236, 0.018, 5),
        (0.0141, 0.017, 12),
        (0.0098, 0.018, 27),
        (0.0099, 0.010, 9),
        (0.0267, 0.017, 4),
        (0.0006, 0.003, 197),
        (0.0113, 0.007, 4),
        (0.0024, 0.008, 88),
    ],
)
def test_seeds_needed_are_those_measured_on_tabular_sets(gain: float, sd: float, seeds: int) -> None:
    """Margin against random with an SVM (appendicitis to australian): gain and sd as measured over 100 seeds."""
    assert seeds_needed(gain, sd) == seeds


def test_no_gain_needs_endless_seeds_and_an_unknown_sd_says_nothing() -> None:
    assert seeds_needed(0.0, 1.0) == math.inf
    assert math.isnan(seeds_needed(1.0, math.nan))
    assert seeds_needed(1.0, 0.0) == 2


def test_the_power_table_reads_the_paired_differences() -> None:
    journal = made({"one": {"mine": [0.70, 0.72, 0.74], "random": [0.70, 0.71, 0.72]}, "two": {"mine": [0.5]}})
    table = power_table(journal, "mine", "random").set_index("dataset")
    assert table.loc["one", "sd"] == pytest.approx(1.0)  # 0, 1 and 2 points
    assert table.loc["one", "needed"] == 32  # 7.849 / 0.25
    assert table.loc["two", "seeds"] == 0 and math.isnan(table.loc["two", "needed"])


def test_only_what_all_finished_is_compared_and_the_rest_is_named() -> None:
    nan = math.nan
    journal = made(
        {
            "one": {"a": [0.9, 0.1], "b": [0.5, nan], "lame": [nan, nan]},
            "two": {"a": [0.9, 0.8], "b": [0.5, 0.6], "lame": [nan, nan]},
            "three": {"a": [0.9, nan], "b": [nan, 0.6], "lame": [0.9, 0.9]},
        }
    )
    found = common(journal)
    assert found.selectors_left_out == ("lame",) and found.scenarios_left_out == ("three",)
    assert found.means.loc["one"].round(6).to_dict() == {"a": 90, "b": 50}  # the second seed of b failed
    assert found.means.loc["two"].round(6).to_dict() == {"a": 85, "b": 55}
    assert "lame" in found.note and "three" in found.note
    assert set(found.journal["selector"]) == {"a", "b"}
    with pytest.raises(RunError, match="no scenario and seed"):
        common(made({"one": {"a": [0.9, nan], "b": [nan, 0.6]}}))


def test_a_selector_to_keep_costs_scenarios_instead() -> None:
    journal = made({"one": {"a": [0.9], "b": [0.5], "c": [0.7]}, "two": {"a": [0.9], "b": [0.5]}})
    assert common(journal).selectors_left_out == ("c",) and len(common(journal).means) == 2
    assert common(journal, keep=("c",)).scenarios_left_out == ("two",)
    # Where most failed it is the scenario that goes, and no selector.
    hard = made({"one": {"a": [0.9], "b": [0.5], "c": [0.7]}, "two": {"a": [0.9]}})
    assert common(hard).scenarios_left_out == ("two",)


def many(scenarios: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    gains = {"mine": 0.03, "random": 0.0, "third": 0.01}
    return made(
        {
            f"s{i}": {name: list(0.6 + 0.02 * i + gain + rng.normal(0, 0.004, 5)) for name, gain in gains.items()}
            for i in range(scenarios)
        }
    )


def test_a_comparison_holds_every_test() -> None:
    pytest.importorskip("baycomp")
    pytest.importorskip("scikit_posthocs")
    pytest.importorskip("statsmodels")
    found = comparison(many(), "mine")
    assert found.ranks.index[0] == "mine" and found.notes == ()
    rivals = found.rivals.set_index("selector")
    assert rivals.index.tolist() == ["third", "random"]
    assert rivals.loc["random", "difference"] == pytest.approx(3, abs=0.5)
    assert rivals.loc["random", "better"] > 0.95
    assert rivals.loc["random", "wins"] == 6
    assert rivals.loc["random", ["beats", "beaten"]].tolist() == [1.0, 0.0]
    assert rivals.loc["random", "holm"] == pytest.approx(4 / 64)
    assert not rivals.isna().any(axis=None)
    assert found.friedman < 0.01


def test_the_order_of_lines_changes_no_statistic() -> None:
    journal = many()
    turned = journal.sort_values(["seed", "round"], ascending=False, kind="stable")
    a, b = comparison(journal, "mine"), comparison(turned, "mine")
    pd.testing.assert_frame_equal(
        a.rivals.set_index("selector"), b.rivals.set_index("selector").loc[a.rivals["selector"]]
    )


def test_one_scenario_is_no_sample_of_scenarios() -> None:
    found = comparison(many(1), "mine")
    assert any("One scenario" in note for note in found.notes)
    assert math.isnan(found.friedman) and math.isnan(found.critical_difference)
    assert found.rivals["wins"].tolist() == [1, 1]


def test_without_the_extra_the_rest_is_made_and_the_command_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> object:
        if name.split(".")[0] in {"baycomp", "scikit_posthocs", "statsmodels"}:
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    found = comparison(many(), "mine")
    assert found.nemenyi is None
    assert found.rivals[["better", "holm", "nemenyi"]].isna().all(axis=None)
    assert found.rivals["wins"].tolist() == [6, 6]
    assert found.friedman < 0.01
    (note,) = found.notes
    assert "pip install 'autoal[stats]'" in note
    assert all(package in note for package in ("baycomp", "scikit-posthocs", "statsmodels"))


def test_normalised_area_has_random_at_0_and_the_ceiling_at_1() -> None:
    assert normalised_aubc(0.6, 0.6, 0.9) == 0.0
    assert normalised_aubc(0.9, 0.6, 0.9) == 1.0
    assert normalised_aubc(0.5, 0.6, 0.9) == pytest.approx(-1 / 3)
    assert math.isnan(normalised_aubc(0.6, 0.6, 0.6))


def test_deficiency_of_a_curve_against_itself_is_1() -> None:
    curve = [0.5, 0.6, 0.8]
    assert deficiency(curve, curve) == 1.0
    # Best final value 0.9: (0.4 + 0.1 + 0) / (0.4 + 0.3 + 0.1).
    assert deficiency([0.5, 0.8, 0.9], curve) == pytest.approx(0.5 / 0.8)
    assert math.isnan(deficiency([0.7, 0.7], [0.7, 0.7]))


def test_data_utilisation_is_the_share_of_labels_needed() -> None:
    labels = [10, 20, 30, 40]
    assert data_utilisation([0.5, 0.8, 0.8, 0.8], [0.5, 0.6, 0.7, 0.8], labels) == 20 / 40
    assert data_utilisation([0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7, 0.8], labels) == 1.0
    assert math.isnan(data_utilisation([0.5, 0.6, 0.7, 0.7], [0.5, 0.6, 0.7, 0.8], labels))


def test_start_and_end_of_a_line_from_0_to_1() -> None:
    assert start_quality([0.0, 1.0], [0, 100]) == pytest.approx(0.05)
    assert end_quality([0.0, 1.0], [0, 100]) == pytest.approx(0.95)
    assert start_quality([0.0, 0.5, 1.0], [0, 5, 100]) == pytest.approx((0.25 * 5 + (0.5 + 0.5 * 5 / 95 / 2) * 5) / 10)


def test_areas_of_constant_linear_and_uneven_curves() -> None:
    labels, q = np.arange(10, 31), 20
    ones = np.full(21, 0.7)
    assert aubc(ones, labels) == pytest.approx(0.7)
    assert aubc(ones, labels, "rebench") == pytest.approx(0.7 * (q - 1) / q)
    assert aubc(ones, labels, "rebench_head") == pytest.approx(0.7 * (q - 1) / (q + 1))
    assert aubc([0, 1], [3, 8]) == 0.5
    x, a = [10, 20, 30, 34], [0.1, 0.5, 0.6, 0.7]
    assert aubc(a, x) == pytest.approx(np.trapezoid(a, x) / 24)


def test_the_measures_of_the_reference_against_itself() -> None:
    table = measures_table(many(), "random").set_index("selector")
    assert table.loc["random", ["start", "end"]].tolist() == pytest.approx([65, 65], abs=0.5)
    assert table.loc["mine", "end"] > table.loc["random", "end"]
    assert table.loc["mine", "reached"] == "6 of 6"
