"""The table of label configurations: by hand, against enumeration, and drawn against exact."""

import itertools
import math

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.strategies.parts.information import entropy, mutual_information
from autoal.strategies.parts.joint import LabelTable, condensed, expected_entropy, merged
from tests.helpers import mc, random_outputs, seeded


def some(n=5, classes=3):
    return random_outputs(n, 0, classes, dtype=torch.float64).require("mc_log_probs")


def table_of(rows, **options) -> LabelTable:
    table = LabelTable(rows.shape[1], seeded(), **options)
    for row in rows:
        table.extend(row)
    return table


def test_nothing_is_known_at_first():
    table = LabelTable(4, seeded())
    assert table.exact and table.mass_M.tolist() == [1.0] and table.weights_M_K.tolist() == [[0.25] * 4]
    rows = some()
    even = LabelTable(rows.shape[1], seeded())
    torch.testing.assert_close(expected_entropy(even.configurations, rows), entropy(rows.exp().mean(dim=1).log()))


def test_one_label_by_hand():
    table = table_of(mc([[0.9, 0.1], [0.5, 0.5]]))
    assert table.mass_M.tolist() == pytest.approx([0.7, 0.3])
    assert table.weights_M_K.flatten().tolist() == pytest.approx([9 / 14, 5 / 14, 1 / 6, 5 / 6])


def test_exact_is_bayes_rule_over_all_configurations():
    rows = some(3)
    table, probs = table_of(rows), rows.exp()
    for m, labels in enumerate(itertools.product(range(3), repeat=3)):
        likelihood_K = math.prod(probs[i, :, c] for i, c in enumerate(labels))
        assert table.mass_M[m] == pytest.approx(float(likelihood_K.mean()))
        torch.testing.assert_close(table.weights_M_K[m], likelihood_K / likelihood_K.sum())
    assert float(table.mass_M.sum()) == pytest.approx(1)


def test_impossible_configurations_are_left_out():
    table = table_of(mc([[1, 0, 0], [1, 0, 0]], [[0, 1, 0], [0, 0.5, 0.5]]))
    assert table.mass_M.tolist() == [0.75, 0.25]
    assert table.weights_M_K.tolist()[1] == [0, 1]


@pytest.mark.parametrize("limit", [0, 3, 10])
def test_drawn_configurations_have_the_same_means(limit):
    """Points 0-2 in the table, drawn from the first, second or third on: within four standard errors of the exact."""
    rows = some()
    exact = expected_entropy(table_of(rows[:3]).configurations, rows)
    runs = []
    for seed in range(20):
        table = LabelTable(6, seeded(seed), limit=limit, draws=600)
        for row in rows[:3]:
            table.extend(row)
        assert not table.exact and len(table.mass_M) == 600
        runs.append(expected_entropy(table.configurations, rows))
    drawn = torch.stack(runs)
    assert ((drawn.mean(dim=0) - exact).abs() < 4 * drawn.std(dim=0) / 20**0.5 + 1e-6).all()


def test_every_sample_owns_as_many_draws():
    assert torch.bincount(table_of(some(1), limit=0, draws=20).owners_M).tolist() == [3] * 6
    assert len(table_of(some(1), limit=0, draws=2).mass_M) == 6


def test_drawn_labels_are_possible_for_their_owner():
    saturated = some(4).argmax(dim=2, keepdim=True)
    rows = torch.full((4, 6, 3), -torch.inf, dtype=torch.float64).scatter(2, saturated, 0.0)
    table = table_of(rows, limit=0, draws=60)
    assert (table.weights_M_K.gather(1, table.owners_M[:, None]) > 0).all()


def test_the_gain_of_a_first_point_is_its_mutual_information():
    rows = some(30)
    gains = expected_entropy(LabelTable(6, seeded()).configurations, rows) - entropy(rows).mean(dim=1)
    torch.testing.assert_close(gains, mutual_information(rows))


def test_two_copies_and_three():
    leaning = mc([[0.9, 0.1], [0.1, 0.9]])
    single = float(mutual_information(leaning))
    values = [single]
    for known in (1, 2):
        gain = expected_entropy(table_of(leaning.repeat(known, 1, 1)).configurations, leaning) - entropy(leaning).mean(
            dim=1
        )
        values.append(values[-1] + float(gain))
    assert values == pytest.approx([0.368064, 0.514375, 0.597782], abs=1e-6)


def test_chunks_change_nothing(monkeypatch):
    rows = some()
    whole = expected_entropy(table_of(rows[:2]).configurations, rows)
    monkeypatch.setattr("autoal.compute.CHUNK_BYTES", 1)
    torch.testing.assert_close(expected_entropy(table_of(rows[:2]).configurations, rows), whole)


def test_a_table_without_samples_is_refused():
    with pytest.raises(InvalidInput, match="samples=0"):
        LabelTable(0, seeded())


def test_merged_configurations_bound_the_entropy_from_above_and_closer_with_more_groups():
    rows = some(9)
    known = table_of(rows[:5]).configurations
    exact, before = expected_entropy(known, rows), None
    for levels in (0, 2, 4, 6):
        groups = merged(known, levels)
        assert 0.9 * 2**levels < len(groups.mass_M) <= 2**levels
        assert float(groups.mass_M.sum()) == pytest.approx(float(known.mass_M.sum()))
        bound = expected_entropy(groups, rows)
        assert (bound >= exact - 1e-12).all()
        assert before is None or float(bound.sum()) < before
        before = float(bound.sum())
    torch.testing.assert_close(expected_entropy(merged(known, 8), rows), exact)  # 243 configurations, one a group


def test_merging_what_is_alike_loses_nothing():
    known = table_of(some(1)).configurations
    torch.testing.assert_close(merged(known, 3).weights_M_K.unique(dim=0), known.weights_M_K.unique(dim=0))


def test_condensing_overstates_what_can_be_gained_by_no_more_than_the_share():
    rows = random_outputs(9, 0, 3, dtype=torch.float64).require("mc_log_probs")
    known = table_of(rows[:7], limit=0, draws=600).configurations
    known = type(known)(known.weights_M_K.double(), known.mass_M.double())
    left_open = float((torch.special.entr(known.weights_M_K).sum(dim=1) * known.mass_M).sum())
    for share in (1e-3, 0.1):
        fewer = condensed(known, share)
        assert len(fewer.mass_M) < len(known.mass_M) and float(fewer.mass_M.sum()) == pytest.approx(1)
        over = expected_entropy(fewer, rows) - expected_entropy(known, rows)
        assert -1e-12 < float(over.min()) and float(over.max()) < share * left_open
    torch.testing.assert_close(condensed(known, 0.0).mass_M.sort().values, known.mass_M.sort().values)
