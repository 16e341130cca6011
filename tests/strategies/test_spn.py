"""Sum-product networks against closed forms, brute force and integrals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from autoal.strategies import CANDIDATES
from autoal.strategies.parts.rdc import dependence_threshold, rdc
from autoal.strategies.parts.spn import Factor, Product, Sum, learn_spn, log_density
from autoal.strategies.parts.spn_classes import breadth, class_log_densities, log_posterior, whiten
from tests.helpers import fake_view, seeded


def draws(seed: int = 0) -> np.random.RandomState:
    return np.random.RandomState(seed)


def pair(x: np.ndarray, y: np.ndarray) -> float:
    return float(rdc(np.stack([x, y], axis=1), draws())[0, 1])


def test_dependence_of_functions_and_of_independent_columns():
    x = draws(1).normal(size=500)
    assert pair(x, x) == pytest.approx(1)
    assert pair(x, x**2) >= 0.98
    far = draws(2).normal(size=(2000, 2))
    assert pair(far[:, 0], far[:, 1]) <= 0.15


def test_dependence_is_symmetric_and_blind_to_monotone_transforms():
    x = draws(3).normal(size=(200, 3))
    x[:, 1] += x[:, 0]
    found = rdc(x, draws())
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(rdc(np.exp(x), draws()), found, atol=1e-12)


@pytest.mark.parametrize(("n", "mean", "high"), [(30, 0.30, 0.51), (100, 0.17, 0.28), (500, 0.08, 0.14)])
def test_independent_columns_look_dependent_when_rows_are_few(n, mean, high):
    found = np.concatenate([rdc(draws(s).normal(size=(n, 8)), draws(s))[np.triu_indices(8, 1)] for s in range(10)])
    assert found.mean() == pytest.approx(mean, abs=0.03)
    assert np.quantile(found, 0.95) == pytest.approx(high, abs=0.05)


def test_with_many_rows_shuffled_columns_stay_below_the_floor():
    found = np.concatenate([rdc(draws(s).normal(size=(300, 20)), draws(s))[np.triu_indices(20, 1)] for s in range(3)])
    assert np.quantile(found, 0.99) < 0.25


def test_the_threshold_rises_where_rows_are_few():
    few, many = (dependence_threshold(draws(4).normal(size=(n, 5)), draws()) for n in (30, 1000))
    assert few > 0.45 and many == 0.3


def gaussian(column: int, mean: float, deviation: float) -> Factor:
    return Factor([column], np.array([mean]), np.array([deviation]))


def tree() -> Sum:
    """0.3 N(x; 0, 1) [0.5 N(y; -2, .5) + 0.5 N(y; 2, 1)] + 0.7 N(x; 3, .5) N(y; 1, 2)"""
    left = Product([gaussian(0, 0, 1), Sum(np.log([0.5, 0.5]), [gaussian(1, -2, 0.5), gaussian(1, 2, 1)])])
    return Sum(np.log([0.3, 0.7]), [left, Factor([0, 1], np.array([3.0, 1.0]), np.array([0.5, 2.0]))])


def test_density_is_that_of_the_mixture_written_out():
    z = draws(5).normal(size=(20, 2)) * 3
    x, y = z.T
    expected = 0.3 * norm.pdf(x) * (0.5 * norm.pdf(y, -2, 0.5) + 0.5 * norm.pdf(y, 2, 1))
    expected += 0.7 * norm.pdf(x, 3, 0.5) * norm.pdf(y, 1, 2)
    np.testing.assert_allclose(log_density(tree(), torch.from_numpy(z)).numpy(), np.log(expected), rtol=1e-10)


def test_a_learned_density_sums_to_one():
    rows = draws(6).normal(size=(300, 2)) * [1, 0.3] + draws(7).choice([-2, 2], size=(300, 1))
    node = learn_spn(rows, np.full(2, 0.05))
    grid = np.linspace(-8, 8, 400)
    points = torch.tensor(list(itertools.product(grid, grid)))
    assert float(log_density(node, points).exp().sum()) * (grid[1] - grid[0]) ** 2 == pytest.approx(1, abs=1e-3)


def test_independent_pairs_are_found():
    r = draws(8)
    a, b = r.normal(size=(2, 2000))
    rows = np.stack([a, a + 0.1 * r.normal(size=2000), b, b**2 + 0.1 * r.normal(size=2000)], axis=1)
    node = learn_spn(rows, np.full(4, 0.05))
    assert isinstance(node, Product) and {frozenset(scope(child)) for child in node.children} == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }


def scope(node) -> set[int]:
    return set(node.columns) if isinstance(node, Factor) else set().union(*map(scope, node.children))


def test_one_gaussian_for_each_class_is_quadratic_discriminant_analysis():
    r = draws(9)
    x = np.concatenate([r.normal(0, 1, 15), r.normal(3, 2, 15)])[:, None]
    y = np.repeat([0, 1], 15)
    z = torch.linspace(-3, 8, 30, dtype=torch.float64)[:, None]
    found = log_posterior(class_log_densities(z, torch.from_numpy(x), torch.from_numpy(y), 2), torch.from_numpy(y))
    expected = QuadraticDiscriminantAnalysis(priors=[0.5, 0.5])
    # scikit-learn divides the variance by n - 1; ours is the likelihood's.
    means, deviations = ([float(getattr(x[y == c], f)()) for c in (0, 1)] for f in ("mean", "std"))
    log_p = np.stack([norm.logpdf(z.numpy()[:, 0], m, s) for m, s in zip(means, deviations, strict=True)], axis=1)
    torch.testing.assert_close(found, torch.from_numpy(log_p).log_softmax(1))
    assert (found.argmax(1).numpy() == expected.fit(x, y).predict(z.numpy())).mean() > 0.9


def test_classes_with_one_point_or_none():
    labeled = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.1, 0.3], [4.0, 4.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 0, 1])
    z = torch.tensor([[0.1, 0.1], [4.0, 4.1], [-30.0, 30.0]], dtype=torch.float64)
    found = class_log_densities(z, labeled, labels, 3)
    assert found[0].argmax() == 0 and found[1].argmax() == 1 and found[2].argmax() == 2
    torch.testing.assert_close(found[:, 2], -0.5 * z.square().sum(1) - math.log(2 * math.pi))
    assert found.isfinite().all()


def test_priors_count_labels_with_one_more():
    log_p = log_posterior(torch.zeros(1, 3, dtype=torch.float64), torch.tensor([0, 0, 1]))
    torch.testing.assert_close(log_p.exp(), torch.tensor([[3 / 6, 2 / 6, 1 / 6]], dtype=torch.float64))


def test_awkward_rows_give_finite_densities():
    floor = np.full(3, 0.05)
    rows = draws(10).normal(size=(60, 3))
    constant = rows * [1, 0, 1]
    copies = np.repeat(rows[:2], 30, axis=0)
    for some in (rows[:1], constant, copies, np.zeros((60, 3))):
        assert log_density(learn_spn(some, floor), torch.from_numpy(rows)).isfinite().all()


def test_same_rows_same_density():
    rows = draws(11).normal(size=(200, 6))
    z = torch.from_numpy(draws(12).normal(size=(50, 6)))
    first, second = (log_density(learn_spn(rows, np.full(6, 0.05)), z) for _ in range(2))
    assert torch.equal(first, second)


def blobs(n: int = 200):
    """Two classes on either side of 0 in two of ten columns; the pool's first point lies between them."""
    r = draws(13)
    y = np.arange(n) % 2
    x = r.normal(size=(n, 10)) * 0.3
    x[:, 0] += np.where(y == 1, 2, -2)
    pool = torch.from_numpy(np.concatenate([np.zeros((1, 10)), x + 0.05])).float()
    return fake_view(embeddings=pool, labeled=torch.from_numpy(x).float(), labels=y.tolist(), num_classes=2)


@pytest.mark.parametrize("name", ["spn_entropy", "spn_variation_ratio"])
def test_the_point_between_two_classes_comes_first(name):
    picks, scores = CANDIDATES[name]().propose(blobs(), 3, seeded())
    assert picks[0] == 0
    assert scores.min() >= 0 and scores.max() <= (math.log(2) if name == "spn_entropy" else 0.5) + 1e-9


@pytest.mark.parametrize("name", ["spn_entropy", "spn_variation_ratio"])
def test_with_one_class_the_least_likely_point_comes_first(name):
    view = blobs()
    far = view.pool.embeddings.clone()
    far[7] = 50.0
    lone = fake_view(embeddings=far, labeled=view.labeled.embeddings[::2], labels=[0] * 100, num_classes=2)
    assert CANDIDATES[name]().propose(lone, 1, seeded()).indices.tolist() == [7]


def test_the_weight_is_between_one_class_and_all():
    even, sure = breadth(torch.tensor([[0.0, 0.0], [0.0, -800.0]], dtype=torch.float64))
    assert float(even) == pytest.approx(1) and float(sure) == pytest.approx(0.5)


def test_whitened_points_have_unit_variance_and_few_columns():
    pool = torch.randn(300, 40, generator=seeded(1)) * torch.linspace(1, 5, 40) + 3
    left, right = whiten(pool, pool[:80])
    assert left.shape == (300, 20) and right.shape == (80, 20)
    both = torch.cat([left, right])
    torch.testing.assert_close(both.T @ both / 380, torch.eye(20, dtype=torch.float64), atol=1e-9, rtol=0)
