"""Selectors that weigh points: COMB, LSA and LAL, against steps worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from baselines.comb import Comb, effective_pool, entropy_reward, predicted_split_entropy
from baselines.lal import LAL, base_forest, features, synthetic_gains
from baselines.lsa import LSA, linucb_picks, weighted_accuracy
from tests.selectors.rounds import World


def test_the_entropy_of_the_predicted_classes() -> None:
    assert predicted_split_entropy(torch.tensor([0, 1, 0, 1]), 2) == pytest.approx(1.0)
    assert predicted_split_entropy(torch.tensor([0, 0, 0, 1]), 2) == pytest.approx(0.811278, abs=1e-6)
    assert predicted_split_entropy(torch.tensor([0, 1, 2, 2]), 3) == pytest.approx(1.0397208 / math.log(3))
    assert predicted_split_entropy(torch.zeros(5, dtype=torch.int64), 3) == 0.0


def test_the_reward_is_a_half_where_the_entropy_stays() -> None:
    assert [entropy_reward(h, h) for h in (0.0, 0.4, 1.0)] == pytest.approx([0.5] * 3)
    assert entropy_reward(1.0, 0.0) == pytest.approx(1.0)
    assert entropy_reward(0.0, 1.0) == pytest.approx(0.0)


def test_the_effective_pool_grows_until_it_holds_a_batch() -> None:
    advice = torch.tensor([[0.9, 0.02], [0.06, 0.02], [0.03, 0.02], [0.01, 0.94]])
    assert effective_pool(advice, 0.05, 1).tolist() == [0, 1, 3]
    assert effective_pool(advice, 0.05, 4).tolist() == [0, 1, 2, 3]
    assert effective_pool(torch.tensor([[1.0], [0.0], [0.0]]), 0.05, 2).tolist() == [0, 1, 2]


def test_comb_pays_the_expert_whose_advice_was_followed() -> None:
    memory = {
        "log_weights": [0.0, 0.0], "gains": [0.0, 0.0], "r": 1, "entropy": 0.5, "arms": 10, "gamma": 0.5,
        "chances": [0.5, 0.25], "advice": [[0.4, 0.1], [0.0, 0.2]],
    }  # fmt: skip
    after = Comb.paid(memory, 0.5)
    assert after["gains"] == pytest.approx([0.4, 0.5])
    assert after["log_weights"] == pytest.approx([0.05 * -0.1, 0.0])
    # g_max - n / gamma is 10 ln 2 / (e - 1) 4 - 20 = -3.9 for r = 1, and 24.5 for r = 2.
    assert after["r"] == 2
    assert Comb.paid({**memory, "gains": [24.0, 0.0]}, 0.5)["r"] == 2
    assert Comb.paid({**memory, "gains": [25.0, 0.0]}, 0.5)["r"] == 3


def test_comb_draws_from_the_advice_and_a_half_of_uniform() -> None:
    world, rival = World(), Comb(["margin", "entropy"])
    rival.select(world.state(0, world.labeled), 1)
    memory = rival.state_dict()["memory"]
    assert memory["gamma"] == 0.5
    assert memory["chances"][0] == pytest.approx(0.5 * sum(memory["advice"][0]) / 2 + 0.5 / memory["arms"])


def test_linucb_by_hand() -> None:
    contexts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.0]], dtype=torch.float64)
    eye, ids = torch.eye(2, dtype=torch.float64), torch.arange(3)
    none, jumps = torch.zeros(2, dtype=torch.bool), torch.tensor([0.3, 0.2, 0.1])
    target = torch.tensor([0.5, 0.2], dtype=torch.float64)
    # First 0.5 + 1 against 0.2 + 1 and 0.45 + 0.9. Then the first direction is known: 0.45 + 0.9 / sqrt 2 = 1.09.
    picks, greedy, after = linucb_picks(contexts, eye, target, ids, 2, 1.0, none, jumps)
    assert picks == [0, 1] and greedy == [1.0, 1.0]
    assert torch.allclose(after, torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64))
    assert linucb_picks(contexts, eye, target, ids, 2, 0.0, none, jumps)[0] == [0, 2]
    assert linucb_picks(contexts, eye, target, ids, 2, 1.0, ~none, jumps)[0] == [2, 1]


def test_lsa_pays_the_scores_of_the_batch() -> None:
    memory = {"target": [0.0, 1.0], "last": [[1.0, 0.5], [0.5, 0.0]], "accuracy": 0.5}
    LSA.paid(memory, 0.7)
    assert memory["target"] == pytest.approx([0.3, 1.1]) and memory["accuracy"] == 0.7
    assert weighted_accuracy([True, False], [0.5, 0.25]) == pytest.approx(1 / 3)
    world, rival = World(), LSA(["margin", "entropy"], start={"margin": 2.0}, alpha=0.0, epsilon=0.0)
    state = world.state(0, world.labeled)
    assert (
        rival.select(state, 4).positions.tolist()
        == state.view.pool.require("log_probs")
        .exp()
        .topk(2)
        .values.diff(dim=1)
        .flatten()
        .argsort(descending=True)[:4]
        .tolist()
    )


def test_the_features_of_lal() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), np.arange(12) % 2
    y[:2] = 1
    forest, pool = base_forest(x, y, 0), rng.normal(size=(5, 3))
    found = features(forest, x, y, pool, 2, False)
    trees = np.stack([tree.predict_proba(pool)[:, 0] for tree in forest.estimators_])
    assert found.shape == (5, 8) and len(forest.estimators_) == 50
    assert found[:, 0] == pytest.approx(trees.mean(0)) and found[:, 1] == pytest.approx(trees.std(0))
    state = [y.mean(), forest.oob_score_, forest.feature_importances_.std() / 3, trees.std(0).mean()]
    assert found[0, 2:6] == pytest.approx(state)
    assert found[0, 7] == 12
    wide = features(forest, x, y, pool, 2, True)
    assert wide.shape == (5, 10) and (wide[:, 0] >= wide[:, 2]).all()


def test_made_up_tasks_are_the_same_each_time_and_labels_help_on_average() -> None:
    x, gains = synthetic_gains(4, 6, False)
    again = synthetic_gains(4, 6, False)
    assert x.shape == (24, 8) and np.array_equal(x, again[0]) and np.array_equal(gains, again[1])
    assert np.abs(gains).max() > 0


def test_lal_buys_what_its_regressor_likes_best() -> None:
    world = World()
    answer = LAL(synthetic_tasks=2, points=3, trees=10).select(world.state(0, world.labeled), 5)
    assert answer.utilities[answer.positions].diff().max() <= 0
    assert answer.utilities.argmax() == answer.positions[0]
