"""Uncertainty of a mean over posterior samples or networks, and votes of an ensemble, by hand."""

import math
from dataclasses import replace

import pytest
import torch

from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies import CANDIDATES
from autoal.strategies.uncertainty.variation_ratio_ensemble import ensemble_variation_ratio
from tests.helpers import mc, random_view, seeded

DROPOUT = ["entropy", "margin", "least_confidence"]
VOTES = {"variation_ratio_ensemble": "ensemble_log_probs", "greedy_ensemble_variation_ratio": "greedy_log_probs"}


def scores(name: str, rows: torch.Tensor) -> list[float]:
    (field,) = CANDIDATES[name].needs
    view = PoolView(ModelOutputs(**{field: rows}), ModelOutputs(), torch.zeros(0, dtype=torch.int64), rows.shape[-1])
    return CANDIDATES[name]().propose(view, 1, seeded()).scores.tolist()


def test_of_the_mean_prediction():
    """The samples' mean is (.7, .2, .1) and (.5, .5, 0)."""
    rows = mc([[0.9, 0.1, 0], [0.5, 0.3, 0.2]], [[1, 0, 0], [0, 1, 0]])
    entropies = [0.8018186, math.log(2)]
    assert scores("entropy_dropout", rows) == pytest.approx(entropies)
    assert scores("entropy_ensemble", rows) == pytest.approx(entropies)
    assert scores("margin_dropout", rows) == pytest.approx([-0.5, 0])
    assert scores("least_confidence_dropout", rows) == pytest.approx([0.3, 0.5])


@pytest.mark.parametrize("name", DROPOUT)
def test_without_dropout_they_are_the_plain_ones(name):
    view = random_view(50, dtype=torch.float64)
    same = view.pool.require("log_probs")[:, None].expand(-1, 7, -1)
    plain, dropped = (
        CANDIDATES[made]().propose(replace(view, pool=replace(view.pool, mc_log_probs=same)), 50, seeded())
        for made in (name, f"{name}_dropout")
    )
    torch.testing.assert_close(plain.scores, dropped.scores, rtol=0, atol=1e-12)
    assert torch.equal(plain.indices, dropped.indices)


def test_with_two_classes_the_three_give_the_same_order():
    view = random_view(60, classes=2)
    orders = [CANDIDATES[f"{name}_dropout"]().propose(view, 60, seeded()).indices.tolist() for name in DROPOUT]
    assert orders[0] == orders[1] == orders[2]


def test_bald_of_an_ensemble():
    rows = mc([[1, 0], [0, 1]], [[0.9, 0.1], [0.1, 0.9]], [[0.9, 0.1], [0.9, 0.1]])
    assert scores("bald_ensemble", rows) == pytest.approx([math.log(2), 0.368064, 0], abs=1e-6)


@pytest.mark.parametrize("name", VOTES)
def test_votes_of_an_ensemble(name):
    """Three to one to one of five votes is 0.4, all alike 0; the rest of the score is below half a vote."""
    sure = torch.eye(3).tolist()
    rows = mc([sure[0], sure[0], sure[0], sure[1], sure[2]], [sure[2]] * 5)
    assert scores(name, rows) == pytest.approx([0.4 + 0.4 / 10, 0])


def test_equal_votes_are_ordered_by_the_mean_prediction_and_never_overtake_more_votes():
    unsure, sure, split = [[0.5, 0.25, 0.25]] * 3, [[0.9, 0.1, 0]] * 3, [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    values = ensemble_variation_ratio(mc(unsure, sure, split))
    assert values.argsort(descending=True).tolist() == [2, 0, 1]
    assert values.tolist() == pytest.approx([0.5 / 6, 0.1 / 6, 1 / 3 + 1 / 18])


def test_a_lone_network_leaves_least_confidence():
    view = random_view(40)
    lone = replace(view.pool, ensemble_log_probs=view.pool.require("log_probs")[:, None])
    votes = CANDIDATES["variation_ratio_ensemble"]().propose(replace(view, pool=lone), 40, seeded())
    assert torch.equal(votes.indices, CANDIDATES["least_confidence"]().propose(view, 40, seeded()).indices)
