"""Selectors that learn from the labels that come back, against steps worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from baselines.albl import ALBL, arm_probabilities, exp4p_step, smallest_probability
from baselines.oracle_step import OracleStep
from baselines.refine import Refine
from baselines.selectal import SelectAL, family_that_matters, removal_per_class, removed
from baselines.tailor import Tailor, class_values, forget_and_add
from baselines.tcm import TCM
from tests.selectors.rounds import World


def test_exp4p_by_hand() -> None:
    p_min = smallest_probability(2, 100)
    assert p_min == pytest.approx(math.sqrt(math.log(2) / 200))
    weights = {"a": math.log(3.0), "b": 0.0}
    p = arm_probabilities(weights, p_min)
    assert p["a"] == pytest.approx((1 - 2 * p_min) * 0.75 + p_min) and sum(p.values()) == pytest.approx(1)
    after = exp4p_step(weights, p, {"a": 1.0}, p["a"], 0.5, p_min=p_min, budget=100, delta=0.1)
    bonus = math.sqrt(math.log(2 / 0.1) / 200)
    up = {"a": p_min / 2 * (0.5 / p["a"] + bonus / p["a"]), "b": p_min / 2 * bonus / p["b"]}
    assert after["a"] - after["b"] == pytest.approx(math.log(3.0) + up["a"] - up["b"])
    assert smallest_probability(10, 1) == 0.1
    assert arm_probabilities({"only": 0.0}, smallest_probability(1, 50)) == {"only": 1.0}


@pytest.mark.parametrize(("arms", "budget", "settles"), [(2, 1000, 0.961), (5, 500, 0.80)])
def test_the_good_arm_settles_where_the_bonus_of_the_others_holds_it(arms: int, budget: int, settles: float) -> None:
    p_min, found = smallest_probability(arms, budget), []
    for seed in range(10):
        rng = torch.Generator().manual_seed(seed)
        weights = {str(k): 0.0 for k in range(arms)}
        for step in range(budget):
            p = arm_probabilities(weights, p_min)
            drawn = str(int(torch.multinomial(torch.tensor(list(p.values())), 1, generator=rng)))
            reward = float(drawn == "0")
            weights = exp4p_step(weights, p, {drawn: 1.0}, p[drawn], reward, p_min=p_min, budget=budget, delta=0.1)
            if step >= 0.8 * budget:
                found.append(p["0"])
    assert sum(found) / len(found) == pytest.approx(settles, abs=0.03)


def test_albl_weighs_a_query_by_the_chance_it_had() -> None:
    world, rival = World(), ALBL(["margin", "entropy"], budget=100)
    rival.select(world.state(0, world.labeled), 6)
    memory = rival.state_dict()["memory"]
    assert set(memory["log_weights"]) == {"entropy", "margin", "random"} and memory["budget"] == 100
    assert memory["points"] == 36
    for slot, query in enumerate(memory["queries"]):
        p = memory["probabilities"]
        deterministic = sum(p[name] for name in query["advice"] if name != "random")
        assert query["q"] == pytest.approx(deterministic + p["random"] / (36 - slot))


def test_tailor_values_and_discount_by_hand() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3)
    assert class_values(labels, 3).tolist() == pytest.approx([-1 / 6, 1 / 3, 1.0])
    after = forget_and_add({"a": [1.0, 1.0], "b": [2.0, 0.0]}, [("a", 1), ("a", 1), ("b", 0), ("b", None)], 0.9)
    assert after["a"] == pytest.approx([0.9, 2.9]) and after["b"] == pytest.approx([2.8, 0.0])


def test_tailor_keeps_books_on_who_bought_what() -> None:
    world, rival = World(), Tailor(["margin", "kcenter"])
    bought = world.play(rival, rounds=2)
    counts = rival.state_dict()["memory"]["counts"]
    labels = world.truth[torch.tensor(bought[0]) - 100]
    total = torch.tensor([counts["margin"], counts["kcenter"]], dtype=torch.float64).sum(0)
    assert total.tolist() == pytest.approx((1.8 + torch.bincount(labels, minlength=3)).tolist())


def test_tcm_turns_from_typical_to_uncertain_after_three_rounds() -> None:
    world, rival = World(), TCM()
    used = [next(iter(rival.select(world.state(r, world.labeled), 2).weights)) for r in range(5)]
    assert used == ["typiclust"] * 3 + ["margin"] * 2


def test_selectal_decides_for_the_family_that_is_missed_most() -> None:
    assert family_that_matters({"random": 0.7, "typiclust": 0.8, "badge": 0.6}) == "badge"
    assert family_that_matters({"random": 0.5, "typiclust": 0.8, "badge": 0.6}) == "random"
    assert family_that_matters({"random": 0.5, "typiclust": 0.5, "badge": 0.5}) == "typiclust"


def test_selectal_removes_few_points_of_each_class_and_never_the_last() -> None:
    labels = torch.tensor([0] * 100 + [1] * 60 + [2] * 40)
    assert removal_per_class(labels, 3, 0.05) == 3
    assert removal_per_class(labels[:120], 3, 0.05) == 2
    assert removal_per_class(torch.tensor([0, 0, 1]), 2, 0.9) == 1
    gone = removed(torch.tensor([0.1, 0.9, 0.5, 0.2]), torch.tensor([0, 0, 0, 1]), 2)
    assert gone.tolist() == [False, True, True, False]
    world = World(labeled=30)
    accuracy = SelectAL().accuracies(world.state(0, world.labeled))
    assert set(accuracy) == {"random", "typiclust", "badge"} and all(0 <= one <= 1 for one in accuracy.values())


def test_refine_filters_and_picks_from_what_is_left() -> None:
    world, rival = World(n=120, labeled=12), Refine(["margin", "entropy"], proposals=4, rounds=3)
    answer = rival.select(world.state(0, world.labeled), 6)
    kept = answer.diagnostics["kept"]
    assert len(kept) == 3 and all(6 <= size <= 24 for size in kept)
    assert torch.stack(list(answer.votes.values())).any(0).all()
    assert [rival.sub_pool(size, 6, 0) for size in (20_000, 5_000, 10)] == [5_000, 2_000, 6]
    assert [rival.sub_pool(size, 6, 1) for size in (20_000, 10, 3)] == [8_000, 6, 3]


def test_refine_without_a_round_is_uncertainty_herding() -> None:
    world = World()
    herding = Refine(rounds=0).select(world.state(0, world.labeled), 6)
    assert herding.diagnostics["kept"] == []
    few = Refine(["margin"], proposals=1, rounds=1, alpha=1.0).select(world.state(0, world.labeled), 6)
    assert few.diagnostics["kept"] == [6] and few.votes["margin"].all()


def test_the_oracle_buys_the_batch_that_turns_out_best() -> None:
    world, rival = World(), OracleStep(["margin", "kcenter", "entropy"], batches=3)
    state = world.served(rival, world.state(0, world.labeled))
    answer = rival.select(state, 5)
    values = [value for _, value in answer.diagnostics["values"]]
    assert len(values) == 9
    assert state.oracle is not None and state.oracle.value_after(answer.positions) == max(values)
