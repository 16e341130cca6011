"""Entropy, margin, least confidence, variation ratio, mean standard deviation and BALD, by hand."""

import math

import pytest
import torch

from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies import CANDIDATES
from autoal.strategies.uncertainty.bald import BALD
from autoal.strategies.uncertainty.entropy import Entropy
from autoal.strategies.uncertainty.least_confidence import LeastConfidence
from autoal.strategies.uncertainty.margin import Margin
from autoal.strategies.uncertainty.mean_std import MeanStd
from autoal.strategies.uncertainty.variation_ratio import VariationRatio, variation_ratio
from tests.helpers import fake_view, mc, probs, random_view, seeded


def scores(strategy, **fields):
    view = fake_view(**fields)
    return strategy.propose(view, 1, seeded()).scores.tolist()


def test_entropy_prefers_the_coin_flip():
    view = fake_view(probs([0.9, 0.1], [0.5, 0.5]))
    assert Entropy().propose(view, 1, seeded()).indices.tolist() == [1]


def test_the_three_differ_where_they_should():
    view = fake_view(probs([0.5, 0.5, 0], [0.4, 0.3, 0.3], [0.45, 0.45, 0.1]))
    assert Entropy().propose(view, 3, seeded()).indices.tolist() == [1, 2, 0]
    assert LeastConfidence().propose(view, 3, seeded()).indices.tolist() == [1, 2, 0]
    assert set(Margin().propose(view, 2, seeded()).indices.tolist()) == {0, 2}


def test_values():
    rows = probs([0.7, 0.2, 0.1], [1, 0, 0])
    assert scores(Margin(), log_probs=rows) == pytest.approx([-0.5, -1])
    assert scores(LeastConfidence(), log_probs=rows) == pytest.approx([0.3, 0])
    assert scores(Entropy(), log_probs=rows) == pytest.approx([0.8018186, 0])


def test_with_two_classes_the_three_give_the_same_order():
    view = random_view(60, classes=2)
    orders = [CANDIDATES[n]().propose(view, 60, seeded()).indices.tolist() for n in ("entropy", "margin")]
    orders.append(LeastConfidence().propose(view, 60, seeded()).indices.tolist())
    assert orders[0] == orders[1] == orders[2]


def test_bald_of_two_opposite_certainties():
    assert scores(BALD(), mc_log_probs=mc([[1, 0], [0, 1]])) == pytest.approx([math.log(2)])


def test_bald_of_two_leaning_coins():
    assert scores(BALD(), mc_log_probs=mc([[0.9, 0.1], [0.1, 0.9]])) == pytest.approx([0.368064], abs=1e-6)


def test_bald_is_not_entropy():
    view = fake_view(mc_log_probs=mc([[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.4, 0.6]]))
    assert BALD().propose(view, 2, seeded()).indices.tolist() == [1, 0]


def test_one_sample_cannot_disagree():
    view = random_view(30)
    one = fake_view(mc_log_probs=view.pool.require("mc_log_probs")[:, :1])
    assert BALD().propose(one, 1, seeded()).scores.max() < 1e-7
    assert MeanStd().propose(one, 1, seeded()).scores.max() == 0


def test_variation_ratio_counts_votes():
    votes = mc([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0]] * 4)
    assert variation_ratio(votes).tolist() == [0.5, 0]


def test_variation_ratio_is_not_least_confidence():
    """Unsure samples that all vote alike are no reason to ask."""
    view = fake_view(mc_log_probs=mc([[0.51, 0.49]] * 4, [[0.99, 0.01]] * 3 + [[0.01, 0.99]]))
    assert VariationRatio().propose(view, 1, seeded()).indices.tolist() == [1]


def test_equal_votes_are_ordered_by_margin_and_never_overtake_more_votes():
    points = mc([[0.9, 0.1]] * 4, [[0.6, 0.4]] * 4, [[1, 0]] * 3 + [[0, 1]])
    assert VariationRatio().propose(fake_view(mc_log_probs=points), 3, seeded()).indices.tolist() == [2, 1, 0]


def test_mean_std_of_two_opposite_certainties():
    assert scores(MeanStd(), mc_log_probs=mc([[1, 0], [0, 1]], [[0.8, 0.2]] * 2)) == pytest.approx([0.5, 0])


def test_ties_are_broken_by_the_generator():
    view = fake_view(torch.zeros(50, 3).log_softmax(1))
    first = [Entropy().propose(view, 5, seeded(s)).indices.tolist() for s in range(3)]
    assert first[0] != first[1] != first[2]


def regression_view(*means, labels=(), labeled=None) -> PoolView:
    """Samples of the prediction of each point; the noise is that of `labeled` embeddings that say nothing."""
    pool = ModelOutputs(mc_means=torch.tensor(means, dtype=torch.float64), embeddings=torch.zeros(len(means), 1))
    known = ModelOutputs(embeddings=torch.zeros(len(labels), 1))
    return PoolView(pool, known, torch.tensor(labels, dtype=torch.float64), 0)


def test_bald_of_a_regression():
    """Two labels 2 a apart, each predicted by the other, leave a noise of 4 a^2."""
    view = regression_view([1, -1], [5, 7], [3, 3], [-3, 3], labels=[0, 1])
    log = [0.5 * math.log(2), 0.5 * math.log(2), 0, 0.5 * math.log(10)]
    assert BALD().propose(view, 1, seeded()).scores.tolist() == pytest.approx(log)
    assert BALD().propose(regression_view([1, -1]), 1, seeded()).scores.tolist() == pytest.approx([0.346574], abs=1e-6)


def test_mean_std_of_a_regression_is_in_the_unit_of_the_target():
    view = regression_view([10, 14], [1, 1])
    assert MeanStd().propose(view, 1, seeded()).scores.tolist() == pytest.approx([2, 0])


def test_bald_is_that_of_baal():
    heuristics = pytest.importorskip("baal.active.heuristics")
    log_probs = random_view(30, dtype=torch.float64).pool.require("mc_log_probs")
    theirs = heuristics.BALD().compute_score(log_probs.exp().transpose(1, 2).numpy())
    torch.testing.assert_close(torch.tensor(scores(BALD(), mc_log_probs=log_probs)).double(), torch.as_tensor(theirs))
