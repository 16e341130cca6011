"""The Pareto selection against small problems solved whole, its confidence scores, and what it buys."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.stats import ttest_rel
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator, numpy_rng
from autoal.strategies.diversity.random import Random
from autoal.strategies.open_set.poal import Poal, PoalPublished
from autoal.strategies.parts.confidence import (
    gmm_confidence,
    knn_confidence,
    mahalanobis_confidence,
    relative_confidence,
)
from autoal.strategies.parts.pareto_subsets import ParetoSelection, poal_select
from autoal.strategies.uncertainty.entropy import Entropy
from tests.helpers import fake_view, random_view, seeded
from tests.open_set_runs import open_set_run

U = torch.tensor([0.9, 0.8, 0.5, 0.3, 0.2, 0.6], dtype=torch.float64)
V = torch.tensor([0.1, 0.3, 0.6, 0.8, 0.9, 0.2], dtype=torch.float64)
FRONT = [(1.7, 0.4), (1.4, 0.7), (1.3, 0.9), (1.1, 1.1), (1.0, 1.2), (0.8, 1.4), (0.7, 1.5), (0.5, 1.7)]


def uniform(n: int, seed: int) -> torch.Tensor:
    return torch.rand(n, generator=generator(seed), dtype=torch.float64)


def picked(selection: ParetoSelection) -> set[int]:
    return set(selection.indices.tolist())


@pytest.mark.parametrize("seed", range(10))
def test_every_seed_finds_the_whole_front_of_a_small_problem(seed):
    found = poal_select(U, V, 2, seeded(seed), draws=2_000)
    np.testing.assert_allclose(found.front.numpy(), FRONT, atol=1e-12)
    assert picked(found) == {1, 2}
    assert (found.engine, found.draws, found.stopped_early) == ("monte_carlo", 2_000, False)
    assert found.layers.tolist() == [1, 1, 1, 1, 1, 2]


def test_the_exact_engine_agrees_and_the_supported_one_has_the_corners():
    exact = poal_select(U, V, 2, seeded(), engine="exact")
    np.testing.assert_allclose(exact.front.numpy(), FRONT, atol=1e-12)
    assert picked(exact) == {1, 2} and exact.engine == "exact" and exact.draws == 0
    supported = poal_select(U, V, 2, seeded(), engine="supported")
    assert supported.engine == "supported"
    assert {tuple(row) for row in supported.front.numpy().round(9).tolist()} <= set(FRONT)
    assert {FRONT[0], FRONT[-1]} <= {tuple(row) for row in supported.front.numpy().round(9).tolist()}


def test_other_picks():
    assert picked(poal_select(U, V, 2, seeded(), engine="exact", pick="max_utility")) == {0, 1}
    # After scaling (1.1, 1.1) is (.5, .538) and (1.0, 1.2) is (.417, .615): the first is nearer to (1, 1).
    assert picked(poal_select(U, V, 2, seeded(), engine="exact", pick="knee")) == {1, 3}


@pytest.mark.parametrize("seed", range(3))
def test_many_draws_find_the_exact_front_for_batches_of_three(seed):
    u, v = uniform(9, seed), uniform(9, seed + 50)
    exact = poal_select(u, v, 3, seeded(), engine="exact")
    drawn = poal_select(u, v, 3, seeded(seed), draws=5_000, early_stop=False)
    torch.testing.assert_close(exact.front, drawn.front)
    assert picked(exact) == picked(drawn)


def test_draws_are_uniform_subsets():
    # On a front that holds every subset, the last of many single draws is any pair equally often.
    u = torch.tensor([1.0, 2.0, 4.0, 8.0])
    pairs = [tuple(sorted(picked(poal_select(u, -u, 2, seeded(s), draws=1)))) for s in range(1_200)]
    counts = [pairs.count(pair) for pair in combinations(range(4), 2)]
    assert sum((count - 200) ** 2 / 200 for count in counts) < 20.5  # 99.9 % of chi-square, 5 degrees


@pytest.mark.parametrize(("scale", "shift"), [(3.0, -2.0), (1e-4, 5.0), (2.0**20, 0.0)])
def test_scaling_an_objective_changes_nothing(scale, shift):
    u, v = uniform(300, 1), uniform(300, 2)
    plain = poal_select(u, v, 8, seeded(4), draws=5_000)
    assert poal_select(scale * u + shift, v, 8, seeded(4), draws=5_000).indices.tolist() == plain.indices.tolist()
    assert poal_select(u, scale * v + shift, 8, seeded(4), draws=5_000).indices.tolist() == plain.indices.tolist()


def test_the_order_of_the_pool_changes_nothing():
    u, v = uniform(120, 1), uniform(120, 2)
    order = torch.randperm(120, generator=seeded(9))
    plain, shuffled = poal_select(u, v, 6, seeded(1)), poal_select(u[order], v[order], 6, seeded(1))
    assert order[shuffled.indices].tolist() == plain.indices.tolist()


@pytest.mark.parametrize("engine", ["monte_carlo", "supported"])
@pytest.mark.parametrize("n", [1, 2, 7, 30, 100])
def test_the_batch_has_the_size_asked_for(n, engine):
    for b in {1, 2, n // 2, n - 1, n} - {0}:
        if b <= n:
            found = poal_select(uniform(n, 1), uniform(n, 2), b, seeded(), engine=engine)
            assert found.indices.unique().numel() == b


def test_a_pool_no_larger_than_the_batch_is_taken_whole():
    for b in (6, 9):
        found = poal_select(U, V, b, seeded())
        assert picked(found) == set(range(6)) and found.engine == "ranking" and found.draws == 0


def test_candidates_come_from_the_best_layers():
    u, v = uniform(1_000, 3), uniform(1_000, 4)
    found = poal_select(u, v, 5, seeded(), preselect_factor=2)
    sizes = torch.bincount(found.layers)[1:].cumsum(0)
    assert int(found.layers[found.indices].max()) <= int((sizes < 10).sum()) + 1


def test_one_constant_objective_leaves_the_other_to_decide():
    flat = torch.full((50,), 0.3)
    other = uniform(50, 1)
    top = other.topk(7).indices.tolist()
    assert poal_select(other, flat, 7, seeded()).indices.tolist() == top
    assert poal_select(flat, other, 7, seeded()).indices.tolist() == top
    assert len({tuple(poal_select(flat, flat, 7, seeded(s)).indices.tolist()) for s in range(5)}) == 5


def test_agreeing_objectives_under_the_supported_engine_give_the_top():
    u = uniform(80, 1)
    assert picked(poal_select(u, 2 * u, 6, seeded(), engine="supported")) == set(u.topk(6).indices.tolist())


def test_opposed_objectives_stay_cheap():
    u = uniform(20_000, 1)
    found = poal_select(u, 1 - u, 20, seeded())
    assert found.indices.unique().numel() == 20 and found.stopped_early


def test_equal_items_are_drawn_by_the_generator_not_by_position():
    u, v = U.repeat(20), V.repeat(20)
    assert len({tuple(sorted(picked(poal_select(u, v, 4, seeded(s))))) for s in range(10)}) > 5


def test_a_resting_front_ends_the_search_early():
    u, v = uniform(500, 1), uniform(500, 2)
    short, full = (poal_select(u, v, 50, seeded(), early_stop=stop, draws=60_000) for stop in (True, False))
    assert short.stopped_early and short.draws < full.draws == 60_000 and not full.stopped_early
    assert short.draws % 200 == 0 and short.draws >= 11 * 200


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("which", ["utilities", "confidences"])
def test_what_is_not_a_number_is_refused_with_its_count(bad, which):
    broken = U.clone()
    broken[[1, 4]] = bad
    with pytest.raises(ValueError, match=f"2 of 6 {which}"):
        poal_select(*((broken, V) if which == "utilities" else (U, broken)), 2, seeded())


def test_minus_infinity_means_certainly_out_of_distribution():
    v = V.clone()
    v[0] = -torch.inf
    assert 0 not in picked(poal_select(torch.full((6,), 1.0), v, 5, seeded()))
    with pytest.raises(InvalidInput):
        poal_select(v, V, 2, seeded())


def test_arguments_are_checked():
    with pytest.raises(UnknownName, match="supported"):
        poal_select(U, V, 2, seeded(), engine="suported")
    with pytest.raises(UnknownName, match="knee"):
        poal_select(U, V, 2, seeded(), pick="kne")
    with pytest.raises(InvalidInput, match="subsets"):
        poal_select(uniform(100, 1), uniform(100, 2), 10, seeded(), engine="exact")
    with pytest.raises(InvalidInput, match=r"\(6,\)"):
        poal_select(U, V[:3], 2, seeded())
    for wrong in ({"confidence": "maha"}, {"utility": "entropi"}):
        with pytest.raises(UnknownName):
            Poal(**wrong).propose(random_view(20), 3, seeded())


# Confidence


def two_classes(n: int = 40, d: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(n) % 2
    points = torch.randn(n, d, generator=generator(seed), dtype=torch.float64) * torch.linspace(0.5, 2, d)
    points[:, 0] += 6.0 * labels - 3
    return points, labels


def test_mahalanobis_is_that_of_scipy():
    points, labels = two_classes()
    pool = torch.randn(20, 5, generator=generator(1), dtype=torch.float64) * 4
    means = torch.stack([points[labels == c].mean(dim=0) for c in (0, 1)])
    centred = points - means[labels]
    covariance = (centred.T @ centred / len(points)).numpy()
    inverse = np.linalg.inv(covariance + 1e-3 * covariance.trace() / 5 * np.eye(5))
    distances = [min(mahalanobis(x, mean, inverse) for mean in means.numpy()) for x in pool.numpy()]
    expected = -0.5 * np.square(distances)
    np.testing.assert_allclose(mahalanobis_confidence(pool, points, labels), expected - expected.min(), rtol=1e-8)


def scores(points: torch.Tensor, labels: torch.Tensor, pool: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "mahalanobis": mahalanobis_confidence(pool, points, labels),
        "ledoit_wolf": mahalanobis_confidence(pool, points, labels, "ledoit_wolf"),
        "gmm": gmm_confidence(pool, points, labels, 0),
        "knn": knn_confidence(pool, points),
    }


def test_points_far_from_every_class_have_less_confidence():
    points, labels = two_classes()
    inside, _ = two_classes(seed=1)
    outside = torch.randn(30, 5, generator=generator(2), dtype=torch.float64) + 20
    is_inside = np.r_[np.ones(40), np.zeros(30)]
    for name, score in scores(points, labels, torch.cat([inside, outside])).items():
        assert score[:40].mean() > score[40:].mean(), name
        assert roc_auc_score(is_inside, score) == 1, name
        assert score.dtype == torch.float64 and score.isfinite().all(), name


def test_classes_with_few_points():
    points, labels = two_classes(3)
    pool, _ = two_classes(10, seed=1)
    for count in (1, 2, 3):
        for name, score in scores(points[:count], labels[:count], pool).items():
            assert score.isfinite().all() and score.unique().numel() > 1, (name, count)


def test_with_nothing_labeled_confidence_is_constant_and_utility_decides():
    pool, _ = two_classes(30)
    logits = torch.randn(30, 3, generator=generator(3), dtype=torch.float64).log_softmax(1)
    for confidence in ("mahalanobis", "gmm", "knn"):
        found = Poal(confidence=confidence).propose(fake_view(logits, pool, labeled=pool[:0]), 4, seeded())
        expected = torch.special.entr(logits.exp()).sum(1).topk(4).indices
        assert found.indices.tolist() == expected.tolist()


@pytest.mark.parametrize("utility", ["entropy", "margin", "least_confidence"])
@pytest.mark.parametrize("confidence", ["mahalanobis", "gmm", "knn", "max_softmax"])
def test_options_give_proposals_with_picks_above_the_rest(utility, confidence):
    view = random_view(60, 20)
    found = Poal(utility=utility, confidence=confidence, ridge="ledoit_wolf").propose(view, 6, seeded())
    assert found.scores.topk(6).indices.tolist() == found.indices.tolist()


# What was rejected: the form that is ours


def off_line(n: int, d: int = 5, seed: int = 5) -> torch.Tensor:
    """Between the two classes, and off their line."""
    points = torch.randn(n, d, generator=generator(seed), dtype=torch.float64)
    points[:, 1] += 6
    return points


def rejecting(n: int = 200, foreign: int = 100, rejected: int = 12, d: int = 5) -> PoolView:
    """n known points, then `foreign` others that the model is unsure of."""
    inside, _ = two_classes(n, d, seed=1)
    points, labels = two_classes(40, d)
    pool = torch.cat([inside, off_line(foreign, d)])
    view = fake_view(
        torch.stack([-pool[:, 0], pool[:, 0]], dim=1).log_softmax(1), pool, labeled=points, labels=labels.tolist()
    )
    refused = ModelOutputs(embeddings=off_line(rejected, d, seed=6)) if rejected else None
    return replace(view, rejected=refused)


@pytest.mark.parametrize("width", [3, 5, 80])
@pytest.mark.parametrize("ridge", [1e-3, "ledoit_wolf"])
@pytest.mark.parametrize("refused", [1, 12])
def test_relative_confidence_is_half_the_difference_of_squared_distances(width, ridge, refused):
    points, labels = two_classes(20, width)
    rejected, pool = off_line(refused, width), torch.cat([two_classes(15, width, seed=1)[0], off_line(15, width, 7)])
    groups = [points[labels == 0].numpy(), points[labels == 1].numpy(), rejected.numpy()]
    means = [group.mean(axis=0) for group in groups]
    centred = np.concatenate([group - mean for group, mean in zip(groups, means, strict=True)])
    if ridge == "ledoit_wolf":
        covariance, _ = ledoit_wolf(centred, assume_centered=True)
    else:
        covariance = centred.T @ centred / len(centred)
        covariance += ridge * covariance.trace() / width * np.eye(width)
    inverse = np.linalg.inv(covariance)
    expected = [
        (mahalanobis(x, means[2], inverse) ** 2 - min(mahalanobis(x, m, inverse) ** 2 for m in means[:2])) / 2
        for x in pool.numpy()
    ]
    found = relative_confidence(pool, points, labels, rejected, ridge)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("width", [5, 80])
def test_the_shrunk_covariance_is_that_of_scikit_learn(width):
    points, labels = two_classes(20, width)
    means = torch.stack([points[labels == c].mean(dim=0) for c in (0, 1)])
    inverse = np.linalg.inv(ledoit_wolf((points - means[labels]).numpy(), assume_centered=True)[0])
    pool, _ = two_classes(15, width, seed=1)
    expected = [-0.5 * min(mahalanobis(x, mean, inverse) for mean in means.numpy()) ** 2 for x in pool.numpy()]
    found = mahalanobis_confidence(pool, points, labels, "ledoit_wolf")
    np.testing.assert_allclose(found, np.array(expected) - min(expected), rtol=1e-7, atol=1e-8)


def test_relative_confidence_tells_the_rejected_kind_from_the_known_where_distance_cannot():
    view = rejecting()
    pool, labeled = view.pool.require("embeddings"), view.labeled.require("embeddings")
    found = relative_confidence(pool, labeled, view.labels, view.rejected.require("embeddings"))
    assert (found[:200] > 0).float().mean() > 0.98 and (found[200:] < 0).float().mean() > 0.98
    moved = [rows + 1e6 for rows in (pool, labeled, view.rejected.require("embeddings"))]
    torch.testing.assert_close(
        relative_confidence(moved[0], moved[1], view.labels, moved[2]), found, rtol=1e-5, atol=1e-5
    )


def by_hand(view: PoolView, gated: bool, b: int) -> list[int]:
    """The picks of `poal_select` on the points that may be candidates."""
    confidence = relative_confidence(
        view.pool.require("embeddings"),
        view.labeled.require("embeddings"),
        view.labels,
        view.rejected.require("embeddings"),
    )
    kept = (confidence > 0).nonzero().flatten() if gated else torch.arange(len(view))
    utility = torch.special.entr(view.pool.require("log_probs").exp()).sum(1)
    return kept[poal_select(utility[kept], confidence[kept], b, seeded()).indices].tolist()


def test_only_points_more_like_a_known_class_are_candidates_while_six_batches_of_them_remain():
    view = rejecting()
    known = int(
        (
            relative_confidence(
                view.pool.require("embeddings"),
                view.labeled.require("embeddings"),
                view.labels,
                view.rejected.require("embeddings"),
            )
            > 0
        ).sum()
    )
    for b in (1, known // 6, known // 6 + 1):
        assert Poal().propose(view, b, seeded()).indices.tolist() == by_hand(view, 6 * b <= known, b), b
        assert Poal(gate=None).propose(view, b, seeded()).indices.tolist() == by_hand(view, False, b), b
    assert Poal(gate=1).propose(view, known, seeded()).indices.sort().values.tolist() == sorted(
        by_hand(view, True, known)
    )


def test_points_outside_the_gate_come_last_by_confidence():
    view = rejecting()
    found = Poal().propose(view, 10, seeded())
    pool, labeled = view.pool.require("embeddings"), view.labeled.require("embeddings")
    confidence = relative_confidence(pool, labeled, view.labels, view.rejected.require("embeddings"))
    outside = (confidence <= 0).nonzero().flatten()
    assert found.scores[outside].max() < found.scores[confidence > 0].min()
    order = outside[confidence[outside].argsort()]
    assert (found.scores[order].diff() > 0).all()


@pytest.mark.parametrize(
    "view", [rejecting(rejected=0), replace(rejecting(), rejected=ModelOutputs(inputs=torch.ones(9, 2)))]
)
def test_with_none_rejected_it_is_the_published_form_with_shrinkage_and_no_gate(view):
    expected = PoalPublished(ridge="ledoit_wolf").propose(view, 9, seeded())
    found = Poal().propose(view, 9, seeded())
    assert found.indices.tolist() == expected.indices.tolist() and torch.equal(found.scores, expected.scores)


@pytest.mark.parametrize(
    "strategy", [PoalPublished(), Poal("mahalanobis"), PoalPublished("gmm"), Poal("gmm"), Poal("knn")]
)
def test_published_forms_do_not_look_at_what_was_rejected(strategy):
    with_some, without = (strategy.propose(rejecting(rejected=n), 9, seeded()) for n in (12, 0))
    assert with_some.indices.tolist() == without.indices.tolist() and torch.equal(with_some.scores, without.scores)


def test_the_published_form_is_the_tied_covariance_with_its_small_ridge():
    view = rejecting()
    pool, labeled = view.pool.require("embeddings"), view.labeled.require("embeddings")
    utility = torch.special.entr(view.pool.require("log_probs").exp()).sum(1)
    confidence = mahalanobis_confidence(pool, labeled, view.labels, 1e-3)
    expected = poal_select(utility, confidence, 9, seeded()).indices.tolist()
    for strategy in (PoalPublished(), Poal("mahalanobis")):
        assert strategy.propose(view, 9, seeded()).indices.tolist() == expected


def test_the_same_generator_gives_the_same_batch_in_any_order_of_pool_and_rejected():
    view, order = rejecting(), torch.randperm(300, generator=seeded(3))
    plain = Poal().propose(view, 8, seeded(1))
    assert torch.equal(Poal().propose(view, 8, seeded(1)).scores, plain.scores)
    shuffled = replace(view, pool=view.pool[order], rejected=view.rejected[torch.arange(11, -1, -1)])
    assert order[Poal().propose(shuffled, 8, seeded(1)).indices].tolist() == plain.indices.tolist()


def test_rejected_points_with_nothing_labeled_leave_utility_to_decide():
    view = rejecting()
    empty = replace(
        view, labeled=ModelOutputs(embeddings=view.labeled.require("embeddings")[:0]), labels=view.labels[:0]
    )
    utility = torch.special.entr(view.pool.require("log_probs").exp()).sum(1)
    assert Poal().propose(empty, 5, seeded()).indices.tolist() == utility.topk(5).indices.tolist()


@pytest.mark.parametrize("rejected", [1, 12])
@pytest.mark.parametrize("labeled", [1, 2, 40])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e30])
def test_extremes_with_rejected_points(size, labeled, rejected):
    view = rejecting(20, 10, rejected)
    view = replace(
        view,
        pool=replace(view.pool, embeddings=view.pool.require("embeddings") * size),
        labeled=view.labeled[:labeled],
        labels=view.labels[:labeled],
    )
    for b in (1, 5, 30):
        picks, scores = Poal().propose(view, b, seeded())
        assert picks.unique().numel() == b and scores.isfinite().all()


def test_what_is_wrong_with_rejected_points_or_arguments_is_said():
    view = rejecting()
    with pytest.raises(InvalidInput, match="rejected points have 4 columns, those of the pool 5"):
        Poal().propose(replace(view, rejected=ModelOutputs(embeddings=torch.ones(3, 4))), 5, seeded())
    with pytest.raises(InvalidInput, match="rejected points is NaN"):
        Poal().propose(replace(view, rejected=ModelOutputs(embeddings=torch.full((3, 5), torch.nan))), 5, seeded())
    for gate in (0, -1, "six", float("nan")):
        with pytest.raises(InvalidInput, match="gate"):
            Poal(gate=gate).propose(view, 5, seeded())
    with pytest.raises(InvalidInput, match="ridge"):
        Poal(ridge="ledoit").propose(view, 5, seeded())
    with pytest.raises(InvalidInput, match="wanted poal"):
        PoalPublished("relative").propose(view, 5, seeded())
    for strategy in (Poal(), PoalPublished()):
        with pytest.raises(InvalidInput, match="not for regression"):
            strategy.propose(random_view(20, task="regression"), 3, seeded())


# What it buys


def toy_run(strategy, seed: int) -> tuple[int, float]:
    """Two classes in ten dimensions, and 40 % of the pool beside them, on the boundary."""
    draws = numpy_rng(seed, "toy")

    def two(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels, points = np.arange(n) % 2, draws.normal(size=(n, 10))
        points[:, 0] += 1.2 * (2 * labels - 1)
        return points, labels

    points, labels = two(240)
    outside = 0.5 * draws.normal(size=(160, 10))
    outside[:, 1] += 5
    everything = np.concatenate([points, outside]), np.concatenate([labels, np.full(160, -1)])
    return open_set_run(strategy, seed, *everything, *two(2_000), start=[0, 1, 2, 3], rounds=16, batch_size=5)


def test_it_buys_fewer_outsiders_than_entropy_and_learns_more_than_random():
    mended, published, entropy, random = (
        np.array([toy_run(strategy, seed) for seed in range(20)])
        for strategy in (Poal(), PoalPublished(), Entropy(), Random())
    )
    for poal in (mended, published):
        assert poal[:, 0].mean() < 0.5 * entropy[:, 0].mean()
        assert ttest_rel(poal[:, 0], entropy[:, 0], alternative="less").pvalue < 1e-4
        assert ttest_rel(poal[:, 1], random[:, 1], alternative="greater").pvalue < 0.05


def digits_run(strategy, seed: int) -> tuple[int, float]:
    """Digits 0 to 5 are asked for; 40 % of the pool are others."""
    points, labels = load_digits(return_X_y=True)
    draws = numpy_rng(seed, "digits")
    train, test, train_labels, test_labels = train_test_split(points / 16, labels, test_size=0.3, random_state=seed)
    inside = draws.permutation(np.flatnonzero(train_labels < 6))
    outside = draws.permutation(np.flatnonzero(train_labels > 5))[: len(inside) * 2 // 3]
    kept = np.concatenate([inside, outside])
    labels = np.where(train_labels[kept] < 6, train_labels[kept], -1)
    start = [row for c in range(6) for row in np.flatnonzero(labels == c)[:3]]
    start += [row for row in range(len(inside)) if row not in start][:2]
    tested = test_labels < 6
    return open_set_run(
        strategy, seed, train[kept], labels, test[tested], test_labels[tested], start, rounds=10, batch_size=10
    )


@pytest.mark.slow
def test_on_digits_it_buys_fewer_outsiders_than_random_and_the_published_form_fewer_than_entropy():
    """With `-s` it prints what each bought of 100, and the final accuracy: means over 10 paired seeds."""
    strategies = (Poal(), PoalPublished(), Entropy(), Random())
    runs = {s.name: np.array([digits_run(s, seed) for seed in range(10)]) for s in strategies}
    for name, run in runs.items():
        print(f"{name}: {run[:, 0].mean():.1f} outsiders bought, final accuracy {run[:, 1].mean():.3f}")
    poal, published, entropy, random = (run[:, 0] for run in runs.values())
    assert published.mean() < 0.75 * entropy.mean()
    assert ttest_rel(published, entropy, alternative="less").pvalue < 0.05
    assert poal.mean() < 0.75 * random.mean()
    assert ttest_rel(poal, random, alternative="less").pvalue < 0.01
