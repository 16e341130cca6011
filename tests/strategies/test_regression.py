"""Noise and covariance of a regression's predictions."""

from dataclasses import replace

import pytest
import torch

from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies.parts.regression import leave_one_out_residuals, noise_variance, sample_features
from tests.helpers import random_view, seeded


def linear(n=300, width=5, noise=0.3, scale=1.0):
    rng = seeded()
    x = torch.randn(n, width, generator=rng, dtype=torch.float64) * scale
    y = x @ torch.ones(width, dtype=torch.float64) / scale + noise * torch.randn(n, generator=rng, dtype=torch.float64)
    return x, y


def view_of(labels, pool=None, **labeled) -> PoolView:
    pool = ModelOutputs(mc_means=torch.tensor([[0.0, 2.0], [1.0, 1.0]])) if pool is None else pool
    return PoolView(pool, ModelOutputs(**labeled), torch.as_tensor(labels, dtype=torch.float64), 0)


def test_features_give_the_covariance_of_the_samples():
    means = random_view(9, task="regression").pool.require("mc_means")
    features = sample_features(means)
    torch.testing.assert_close(features @ features.T, torch.cov(means.double(), correction=0))


def test_residuals_are_those_of_fits_without_the_point():
    x, y = linear(12)
    centred = x - x.mean(dim=0)
    scale = torch.linalg.svdvals(centred).square().mean()
    best = None
    for exponent in range(-6, 4):
        penalty = torch.diag(torch.tensor([1.0] * 5 + [0.0], dtype=torch.float64)) * scale * 10.0**exponent
        left_out = []
        for i in range(12):
            kept = torch.arange(12) != i
            design = torch.cat([centred, torch.ones(12, 1, dtype=torch.float64)], dim=1)
            gram = design[kept].T @ design[kept] + penalty
            left_out.append(y[i] - design[i] @ torch.linalg.solve(gram, design[kept].T @ y[kept]))
        residuals = torch.stack(left_out)
        if best is None or residuals.square().sum() < best.square().sum():
            best = residuals
    torch.testing.assert_close(leave_one_out_residuals(x, y), best)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_noise_of_a_linear_world_is_found_whatever_the_size_of_the_embeddings(scale):
    x, y = linear(scale=scale)
    assert float(noise_variance(view_of(y, embeddings=x))) == pytest.approx(0.09, rel=0.15)


def test_many_labels_are_thinned():
    x, y = linear(5_000)
    assert float(noise_variance(view_of(y, embeddings=x))) == pytest.approx(0.09, rel=0.15)


def test_embeddings_that_say_nothing_leave_the_variance_of_the_targets():
    _, y = linear()
    assert float(noise_variance(view_of(y, embeddings=torch.zeros(300, 2)))) == pytest.approx(float(y.var()), rel=0.02)


def test_without_embeddings_the_residuals_of_the_means():
    assert float(noise_variance(view_of([1.0, 2.0, 3.0], means=torch.tensor([1.0, 2.0, 3.5])))) == pytest.approx(
        0.25 / 3
    )


def test_a_perfect_fit_still_leaves_some_noise():
    assert float(noise_variance(view_of([1.0, 3.0], means=torch.tensor([1.0, 3.0])))) == pytest.approx(1e-6)


@pytest.mark.parametrize("labels", [[], [2.0], [2.0, 2.0]])
def test_labels_that_say_nothing_give_as_much_noise_as_the_model_is_unsure(labels):
    embeddings = torch.arange(2.0 * len(labels)).reshape(-1, 2)
    assert float(noise_variance(view_of(labels, embeddings=embeddings))) == pytest.approx(0.5)
    assert float(noise_variance(view_of(labels))) == pytest.approx(0.5)


def test_no_label_and_a_sure_model():
    assert float(noise_variance(view_of([], ModelOutputs(mc_means=torch.ones(3, 2))))) == 1


@pytest.mark.parametrize("labeled", [0, 1, 2, 9])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_it_is_positive_and_finite(labeled, size):
    view = random_view(8, labeled, task="regression")
    scaled = replace(view, labeled=view.labeled.map(lambda t: t * size), pool=view.pool.map(lambda t: t * size))
    assert 0 < float(noise_variance(scaled)) < torch.inf
