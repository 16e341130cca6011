"""Greedy sampling for regressions (iGS, GSy, WiGS) against the loop over points and labels that each stands for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies.diversity.gsy import TargetGreedySampling
from autoal.strategies.diversity.igs import ImprovedGreedySampling
from autoal.strategies.diversity.kcenter import KCenter
from autoal.strategies.diversity.wigs import WeightedGreedySampling
from tests.helpers import random_view, seeded

ALL = [ImprovedGreedySampling(), TargetGreedySampling(), WeightedGreedySampling(), WeightedGreedySampling(0.2)]


def view_of(points, means, labeled, targets) -> PoolView:
    points, means, labeled, targets = (torch.tensor(x, dtype=torch.float64) for x in (points, means, labeled, targets))
    return PoolView(ModelOutputs(embeddings=points, means=means), ModelOutputs(embeddings=labeled), targets, 0)


def slow(strategy, view: PoolView, count: int) -> list[int]:
    x = view.pool.embeddings.double().tolist()
    f = view.pool.means.double().tolist()
    known = list(zip(view.labeled.embeddings.double().tolist(), view.labels.double().tolist(), strict=True))

    def dx(n: int, place: list[float]) -> float:
        return sum((a - b) ** 2 for a, b in zip(x[n], place, strict=True)) ** 0.5

    pairs = [(dx(n, p), abs(f[n] - y)) for n in range(len(x)) for p, y in known]
    lows, highs = ([end(side) for side in zip(*pairs, strict=True)] for end in (min, max))

    def value(n: int) -> float:
        found = []
        for place, y in known:
            a, b = dx(n, place), abs(f[n] - y)
            if isinstance(strategy, ImprovedGreedySampling):
                found.append(a * b)
            elif isinstance(strategy, TargetGreedySampling):
                found.append(b)
            else:
                w = strategy.weight
                found.append(w * (a - lows[0]) / (highs[0] - lows[0]) + (1 - w) * (b - lows[1]) / (highs[1] - lows[1]))
        return min(found)

    picks: list[int] = []
    while len(picks) < count:
        picks.append(max((n for n in range(len(x)) if n not in picks), key=value))
        known.append((x[picks[-1]], f[picks[-1]]))
    return picks


@pytest.mark.parametrize("strategy", ALL, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_the_slow_loop(strategy, seed):
    view = random_view(40, seed=seed, task="regression", dtype=torch.float64)
    picks = strategy.propose(view, 12, seeded(seed)).indices.tolist()
    assert picks == slow(strategy, view, 12)


def test_the_product_by_hand():
    # One label at 0 with target 0: products 1 x 4, 2 x 3, 3 x 1, 10 x 0.
    view = view_of([[1.0], [2.0], [3.0], [10.0]], [4.0, 3.0, 1.0, 0.0], [[0.0]], [0.0])
    picks, scores = ImprovedGreedySampling().propose(view, 2, seeded())
    # With the second taken at target 3, the others have min(4, 1 x 1), min(3, 1 x 2) and min(0, ...).
    assert picks.tolist() == [1, 2]
    assert scores[0] > scores[3]


def test_the_target_alone_by_hand():
    view = view_of([[0.0]] * 4, [0.0, 4.0, 9.0, 6.0], [[5.0], [6.0]], [0.0, 10.0])
    # Distances to 0 and 10: 0, 4, 1, 4; one of the two fours first, then the other is 2 away from it.
    picks = TargetGreedySampling().propose(view, 4, seeded()).indices.tolist()
    assert set(picks[:2]) == {1, 3} and picks[2:] == [2, 0]


def test_the_sum_by_hand_finds_what_the_product_does_not():
    # The first point is a copy of the label's embedding with a prediction far off; the product is 0 there.
    view = view_of([[0.0], [1.0], [4.0]], [8.0, 1.0, 0.0], [[0.0]], [0.0])
    # Scaled distances: 0, 1/4, 1 and 1, 1/8, 0.
    firsts = {w: int(WeightedGreedySampling(w).propose(view, 1, seeded()).indices) for w in (0.0, 0.4, 0.6, 1.0)}
    assert firsts == {0.0: 0, 0.4: 0, 0.6: 2, 1.0: 2}
    assert ImprovedGreedySampling().propose(view, 1, seeded()).indices.tolist() == [1]


def test_the_ends_of_the_weight_are_the_other_methods():
    view = random_view(40, task="regression", dtype=torch.float64)
    for weight, other in ((1.0, KCenter()), (0.0, TargetGreedySampling())):
        picks = WeightedGreedySampling(weight).propose(view, 15, seeded()).indices
        assert picks.tolist() == other.propose(view, 15, seeded()).indices.tolist()


@pytest.mark.parametrize("strategy", ALL, ids=repr)
def test_units_of_target_and_embedding_change_nothing(strategy):
    view = random_view(40, task="regression", dtype=torch.float64)
    picks = strategy.propose(view, 10, seeded()).indices.tolist()
    for unit in (1e-200, 1e-6, 1e5, 1e200):
        pool = replace(view.pool, means=view.pool.means * unit)
        assert (
            strategy.propose(replace(view, pool=pool, labels=view.labels * unit), 10, seeded()).indices.tolist()
            == picks
        )
    for unit in (1e-6, 1e5):
        pool, labeled = (replace(side, embeddings=side.embeddings * unit) for side in (view.pool, view.labeled))
        assert strategy.propose(replace(view, pool=pool, labeled=labeled), 10, seeded()).indices.tolist() == picks


@pytest.mark.parametrize("strategy", ALL, ids=repr)
def test_without_labels_it_goes_by_embeddings(strategy):
    view = random_view(40, task="regression")
    bare = replace(view, labeled=ModelOutputs(), labels=view.labels[:0])
    assert strategy.propose(bare, 8, seeded()).indices.equal(KCenter().propose(bare, 8, seeded()).indices)


@pytest.mark.parametrize("strategy", ALL, ids=repr)
def test_copies_come_once_while_there_is_anything_else(strategy):
    view = random_view(6, task="regression", dtype=torch.float64)
    rows = torch.arange(18) % 6
    copies = replace(view, pool=view.pool[rows])
    picks = strategy.propose(copies, 18, seeded()).indices.tolist()
    assert sorted(picks) == list(range(18))
    assert len({i % 6 for i in picks[:6]}) == 6


@pytest.mark.parametrize("strategy", ALL, ids=repr)
def test_a_constant_model_and_constant_embeddings(strategy):
    view = random_view(20, task="regression", dtype=torch.float64)
    flat = replace(view, pool=replace(view.pool, means=torch.ones(20, dtype=torch.float64)))
    still = replace(view, pool=replace(view.pool, embeddings=torch.ones(20, 5, dtype=torch.float64)))
    both = replace(flat, pool=replace(still.pool, means=flat.pool.means))
    for each in (flat, still, both):
        assert sorted(strategy.propose(each, 20, seeded()).indices.tolist()) == list(range(20))


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_that_makes_no_sense_is_refused(weight):
    with pytest.raises(InvalidInput, match="weight"):
        WeightedGreedySampling(weight).propose(random_view(9, task="regression"), 2, seeded())


@pytest.mark.parametrize("strategy", ALL, ids=repr)
def test_classes_are_refused(strategy):
    with pytest.raises(InvalidInput, match="defined for regression, not for classification"):
        strategy.propose(random_view(9), 2, seeded())
