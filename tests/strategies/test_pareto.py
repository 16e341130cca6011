"""Layers, fronts, and the rule that says when a front is at rest."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from autoal.strategies.parts.pareto import (
    ARCHIVE_SIZE,
    Archive,
    FrontWatch,
    extreme_subsets,
    mmd,
    nondominated,
    pareto_layers,
)

U = np.array([0.9, 0.8, 0.5, 0.3, 0.2, 0.6])
V = np.array([0.1, 0.3, 0.6, 0.8, 0.9, 0.2])


def dominates(a, b) -> bool:
    return bool((a >= b).all() and (a > b).any())


def peeled(points: np.ndarray) -> list[int]:
    """Layers as they are defined: take the front away, again and again."""
    layers, rest, layer = [0] * len(points), list(range(len(points))), 0
    while rest:
        layer += 1
        front = [i for i in rest if not any(dominates(points[j], points[i]) for j in rest)]
        for i in front:
            layers[i] = layer
        rest = [i for i in rest if i not in front]
    return layers


def test_layers_of_six_points():
    assert pareto_layers(U, V).tolist() == [1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_layers_are_those_of_peeling_also_with_ties(seed, levels):
    points = np.random.default_rng(seed).integers(levels, size=(60, 2)).astype(float)
    assert pareto_layers(points[:, 0], points[:, 1]).tolist() == peeled(points)


def test_equal_pairs_share_a_layer():
    assert pareto_layers(np.array([1.0, 1.0, 0.0]), np.array([2.0, 2.0, 0.0])).tolist() == [1, 1, 2]


def test_correlated_objectives_have_one_item_a_layer():
    assert pareto_layers(np.arange(5.0), 2 * np.arange(5.0)).tolist() == [5, 4, 3, 2, 1]


def test_of_equal_points_the_last_stays():
    assert nondominated(np.array([[1, 1], [0, 2], [1, 1], [0, 1]])).tolist() == [2, 1]


@pytest.mark.parametrize("seed", range(5))
def test_the_archive_is_what_adding_one_by_one_gives_and_no_member_dominates_another(seed):
    draws = np.random.default_rng(seed)
    archive, plain = Archive(1), []
    for block in range(8):
        points = draws.integers(12, size=(25, 2))
        members = np.arange(25)[:, None] + 25 * block
        archive.add(points, members)
        for point, member in zip(points, members, strict=True):
            if not any(dominates(kept, point) for kept, _ in plain):
                plain = [(kept, m) for kept, m in plain if not (kept <= point).all()]
                plain.append((point, int(member[0])))
        assert not any(dominates(a, b) for a in archive.points_F_2 for b in archive.points_F_2)
        expected = sorted(((tuple(point.tolist()), m) for point, m in plain), reverse=True)
        got = [(tuple(p), m[0]) for p, m in zip(archive.points_F_2.tolist(), archive.members_F_b.tolist(), strict=True)]
        assert [point for point, _ in got] == [point for point, _ in expected]
        assert {m for point, m in got} <= set(range(25 * (block + 1)))


def test_the_archive_says_when_it_changed():
    archive = Archive(1)
    archive.add(np.array([[2, 2]]), np.array([[0]]))
    archive.add(np.array([[1, 1]]), np.array([[1]]))
    assert archive.version == 1
    archive.add(np.array([[3, 1]]), np.array([[2]]))
    assert archive.version == 2


def test_a_front_on_which_everything_lies_is_thinned_and_keeps_its_ends():
    first = np.arange(5000)
    archive = Archive(1)
    archive.add(np.stack([first, 5000 - first], axis=1), first[:, None])
    assert len(archive.points_F_2) == ARCHIVE_SIZE
    assert {0, 4999} <= set(archive.points_F_2[:, 0].tolist())


def slow_mmd(a: np.ndarray, b: np.ndarray) -> float:
    z = [*a, *b]
    pairs = [((x - y) ** 2).sum() for i, x in enumerate(z) for j, y in enumerate(z) if i != j]
    h = sum(pairs) / (len(z) ** 2 - len(z)) / 4

    def mean_kernel(left, right) -> float:
        total = 0.0
        for x in left:
            for y in right:
                for r in range(5):
                    total += np.exp(-((x - y) ** 2).sum() / (h * 2**r))
        return total / (len(left) * len(right))

    return mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b)


def test_mmd_equals_plain_loops_for_fronts_of_unequal_size():
    draws = np.random.default_rng(0)
    a, b = draws.normal(size=(7, 2)), draws.normal(size=(4, 2)) + 0.5
    assert mmd(a, b) == pytest.approx(slow_mmd(a, b), abs=1e-12)
    assert mmd(a, b) == pytest.approx(mmd(b, a), abs=1e-12)
    assert mmd(a, b) > 0


def test_mmd_of_a_front_with_itself_is_zero():
    a = np.random.default_rng(1).normal(size=(9, 2))
    assert mmd(a, a) == pytest.approx(0, abs=1e-12)
    assert mmd(np.ones((3, 2)), np.ones((2, 2))) == 0


def test_a_front_that_does_not_move_comes_to_rest_when_the_window_is_full():
    watch = FrontWatch(window=4, tolerance=0.01)
    assert [watch.at_rest(1, np.array([[0.0, 1.0], [1.0, 0.0]])) for _ in range(6)] == [False] * 4 + [True] * 2


def test_a_front_that_jumps_is_not_at_rest():
    watch = FrontWatch(window=3, tolerance=0.01)
    line = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    steps = [0, 0, 0, 0, 5, 5, 9]
    assert [watch.at_rest(s, line + s) for s in steps] == [False, False, False, True, False, False, False]


@pytest.mark.parametrize("seed", range(4))
def test_extreme_subsets_are_all_that_win_under_some_weight(seed):
    draws = np.random.default_rng(seed)
    first, second = draws.random(10), draws.random(10)
    subsets = np.array(list(combinations(range(10), 3)))
    values = np.stack([first[subsets].sum(axis=1), second[subsets].sum(axis=1)], axis=1)
    weights = np.linspace(1e-6, 1 - 1e-6, 4001)
    winners = {int((w * values[:, 0] + (1 - w) * values[:, 1]).argmax()) for w in weights}
    found = {tuple(subset) for subset in extreme_subsets(first, second, 3).tolist()}
    assert {tuple(subsets[i].tolist()) for i in winners} <= found
    for subset in found:
        own = np.array([first[list(subset)].sum(), second[list(subset)].sum()])
        gaps = weights[:, None] * (values[:, 0] - own[0]) + (1 - weights[:, None]) * (values[:, 1] - own[1])
        assert gaps.max(axis=1).min() < 1e-3
