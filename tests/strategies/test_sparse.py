"""Sparse approximations of the pool: ACS-FW, and greedy and thresholded weights."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import nnls

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies.gradient.acs_fw import ACSFW, frank_wolfe
from autoal.strategies.gradient.sparse_greedy import SparseGreedy
from autoal.strategies.gradient.sparse_iht import SparseIHT, hard_thresholding
from autoal.strategies.parts.likelihoods import (
    expected_log_likelihoods,
    gaussian_log_likelihoods,
    likelihood_deviations,
)
from autoal.strategies.parts.sparse import SparseProblem, make_problem, refit
from tests.helpers import fake_view, mc, random_view, seeded


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def problem_of(phi: torch.Tensor, variance: torch.Tensor | None = None, alpha=0.0, beta=0.0) -> SparseProblem:
    size = phi.square().sum(1)
    variance = torch.zeros_like(size) if variance is None else variance
    return SparseProblem(
        lambda r: phi @ r, lambda at: phi[at], lambda w: w @ phi, phi.sum(0), size, variance, alpha, beta
    )


# Frank-Wolfe


def test_orthonormal_points_are_all_taken():
    """The first step reaches one of six unit vectors, and so leaves 5 / 6 of the target's square. After that e lies on
    the way from x_1, and no step makes what is left longer."""
    picks, _, left = frank_wolfe(torch.eye(6, dtype=torch.float64), 6, seeded())
    assert sorted(picks.tolist()) == list(range(6))
    assert left[0] == pytest.approx((5 / 6) ** 0.5)
    # From e = x_1 towards 6 x_2: the way is 6 x_2 - x_1, of square 37, and its product with t - e is 6.
    assert left[1] == pytest.approx(((5 - 36 / 37) / 6) ** 0.5)


def test_frank_wolfe_never_moves_away():
    for seed in range(5):
        _, _, left = frank_wolfe(normal(40, 8, seed=seed) + 0.5, 20, seeded())
        assert (torch.tensor(left).diff() <= 1e-9).all()


def test_frank_wolfe_step_by_step():
    x = normal(12, 3, seed=2) + 1
    norms, e, picks = x.norm(dim=1), torch.zeros(3, dtype=torch.float64), []
    for _ in range(5):
        along = (x / norms[:, None]) @ (x.sum(0) - e)
        along[picks] = -torch.inf
        f = int(along.argmax())
        picks.append(f)
        way = norms.sum() / norms[f] * x[f] - e
        gamma = way @ (x.sum(0) - e) / (way @ way)
        e = (1 - gamma) * e + gamma * norms.sum() / norms[f] * x[f]
    assert frank_wolfe(x, 5, seeded())[0].tolist() == picks


def test_scale_changes_nothing():
    x = normal(30, 5)
    assert torch.equal(frank_wolfe(x, 8, seeded())[0], frank_wolfe(1e40 * x, 8, seeded())[0])


def test_expected_log_likelihoods_by_hand():
    log_probs = mc([[0.5, 0.5], [0.9, 0.1]])  # mean 0.7, 0.3
    likelihood = 0.7 * log_probs[0, :, 0] + 0.3 * log_probs[0, :, 1]
    torch.testing.assert_close(expected_log_likelihoods(log_probs)[0], likelihood)
    entropy = -(0.7 * torch.tensor(0.7).log() + 0.3 * torch.tensor(0.3).log())
    torch.testing.assert_close(expected_log_likelihoods(log_probs, 1.0)[0], likelihood + entropy)


def test_gaussian_likelihoods_have_the_inner_products_of_the_closed_form():
    """E f f' for jointly Gaussian predictions of variances k, k' and covariance kappa."""
    root, noise = normal(3, 4, seed=1), torch.tensor(0.7, dtype=torch.float64)
    means = (root @ normal(4, 200_000, seed=2)) + 5
    made = gaussian_log_likelihoods(means, noise)
    K = root @ root.T
    k = K.diagonal()
    c = 0.5 * torch.log1p(k / noise) - k / (2 * noise)
    crossed = (c[:, None] * k[None] + c[None] * k[:, None]) / (2 * noise)
    expected = c[:, None] * c[None] - crossed + (k[:, None] * k[None] + 2 * K.square()) / (4 * noise**2)
    torch.testing.assert_close(made @ made.T / 200_000, expected, rtol=0.04, atol=0.04)


def test_acs_fw_takes_a_copy_of_a_point_only_after_other_points():
    """Two kinds of points, one uncertain in samples 1 and 2, one in samples 3 and 4."""
    one = [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [0.5, 0.5]]
    view = fake_view(mc_log_probs=mc(*[one] * 5, *[one[::-1]] * 5))
    for s in range(5):
        assert {pick // 5 for pick in ACSFW(1.0).propose(view, 2, seeded(s)).indices.tolist()} == {0, 1}


# the objective and its parts


def test_deviations_by_hand():
    """One point, samples (1/2, 1/2) and (1/4, 3/4): mean (3/8, 5/8)."""
    log_probs = mc([[0.5, 0.5], [0.25, 0.75]])
    phi, variance = likelihood_deviations(log_probs)
    mean = torch.tensor([0.375, 0.625], dtype=torch.float64)
    loss = -log_probs[0]  # (sample, label)
    centred = (loss - loss.mean(0)) / 2**0.5
    expected = centred @ mean
    torch.testing.assert_close(phi[0], expected)
    torch.testing.assert_close(variance[0], (mean * (centred - expected[:, None]).square().sum(0)).sum())


def test_gradient_features_are_those_written_out():
    view = random_view(30)
    p, h = view.pool.require("log_probs").double().exp(), view.pool.require("embeddings").double()
    phi = ((p - torch.nn.functional.one_hot(p.argmax(1), 4))[:, :, None] * h[:, None]).flatten(1)
    unit = phi.square().sum(1).mean().sqrt()
    every = p[:, :, None, None] * (torch.eye(4) - p[:, None])[:, :, :, None].square() * h.square()[:, None, None]
    problem = make_problem(view, "gradient", 1.0, 0.1)
    weights, direction = normal(30), normal(20)
    torch.testing.assert_close(problem.rows(torch.arange(30)), phi / unit, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(problem.along(direction), phi @ direction / unit, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(problem.combine(weights), weights @ phi / unit, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(problem.variance_N, every.sum((1, 2, 3)) / unit**2, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(problem.size_N.mean(), torch.tensor(1.0, dtype=torch.float64))


def test_the_gain_is_the_fall_of_the_objective():
    phi, variance = normal(20, 6), normal(20, seed=1).square()
    problem = problem_of(phi, variance, alpha=0.7, beta=0.3)
    at, weights = torch.tensor([2, 5]), torch.tensor([1.5, 0.4], dtype=torch.float64)
    before = problem.objective(phi[at], weights, variance[at])
    along = problem.along(phi.sum(0) - weights @ phi[at])
    gains = problem.gain(along)
    for j in (0, 7, 11):
        best = ((along[j] + 0.3) / (phi[j] @ phi[j] + 0.3)).clamp(min=0)
        both, w = torch.tensor([2, 5, j]), torch.cat([weights, best[None]])
        if best == 0:
            assert gains[j] == pytest.approx(0.7 * float(variance[j]))
            continue
        assert gains[j] == pytest.approx(before - problem.objective(phi[both], w, variance[both]))


@pytest.mark.parametrize("width", [3, 40])
def test_refitted_weights_are_those_of_a_solver(width):
    for seed in range(10):
        phi, beta = normal(60, width, seed=seed), 0.05
        rows = phi[:15]
        problem = problem_of(phi, beta=beta)
        start = torch.cat([normal(14, seed=seed).clamp(min=0), torch.zeros(1, dtype=torch.float64)])
        weights = refit(problem, rows, rows @ rows.T, start)
        stacked = torch.cat([rows.T, beta**0.5 * torch.eye(15)])
        target = torch.cat([problem.total_P, torch.full((15,), beta**0.5, dtype=torch.float64)])
        expected = nnls(stacked.numpy(), target.numpy())[0]
        torch.testing.assert_close(weights, torch.from_numpy(expected), rtol=1e-6, atol=1e-8)


def test_all_points_of_independent_features_get_weight_one():
    phi = normal(8, 12)
    problem, weights = problem_of(phi), torch.zeros(0, dtype=torch.float64)
    for t in range(1, 9):
        weights = refit(problem, phi[:t], phi[:t] @ phi[:t].T, torch.cat([weights, weights.new_zeros(1)]))
    torch.testing.assert_close(weights, torch.ones(8, dtype=torch.float64))


def greedy(phi: torch.Tensor, variance: torch.Tensor, alpha: float, beta: float, count: int) -> list[int]:
    """The greedy rule with a general solver and every candidate's gain from the objective's own formula."""
    v, picks, w = phi.sum(0), [], torch.zeros(0, dtype=torch.float64)
    for _ in range(count):
        residual = v - w @ phi[picks]
        gain = (phi @ residual + beta).clamp(min=0).square() / (phi.square().sum(1) + beta) + alpha * variance
        gain[picks] = -torch.inf
        picks.append(int(gain.argmax()))
        rows = phi[picks]
        stacked = torch.cat([rows.T, beta**0.5 * torch.eye(len(picks))])
        target = torch.cat([v, torch.full((len(picks),), beta**0.5, dtype=torch.float64)])
        w = torch.from_numpy(nnls(stacked.numpy(), target.numpy())[0])
    return picks


@pytest.mark.parametrize("features", ["posterior", "gradient"])
def test_greedy_is_the_slow_form(features):
    for seed in range(4):
        view = random_view(30, seed=seed, dtype=torch.float64)
        problem = make_problem(view, features, 0.5, 0.01)
        expected = greedy(problem.rows(torch.arange(30)), problem.variance_N, 0.5, 0.01, 9)
        assert SparseGreedy(features, alpha=0.5).propose(view, 9, seeded()).indices.tolist() == expected


@pytest.mark.parametrize("strategy", [SparseGreedy, SparseIHT])
def test_only_the_variance_counts_where_its_weight_is_large(strategy):
    view = random_view(40)
    top = make_problem(view, "posterior", 1.0, 0.0).variance_N.topk(6).indices
    picks = strategy(alpha=1e12).propose(view, 6, seeded()).indices
    assert set(picks.tolist()) == set(top.tolist())


def test_thresholding_of_orthogonal_points_keeps_the_longest():
    lengths = torch.tensor([1.0, 5, 2, 4, 3, 0.5], dtype=torch.float64)
    assert set(hard_thresholding(problem_of(lengths.diag()), 3, 300, seeded()).tolist()) == {1, 3, 4}


def test_both_approximate_better_than_drawn_batches():
    for seed in range(3):
        phi = normal(300, 20, seed=seed) + 0.5
        problem = problem_of(phi, beta=1e-6)

        def left(picks: torch.Tensor, phi=phi) -> float:
            return nnls(phi[picks].T.numpy(), phi.sum(0).numpy())[1]

        drawn = min(left(torch.randperm(300, generator=seeded(s))[:15]) for s in range(5))
        assert left(hard_thresholding(problem, 15, 300, seeded())) < drawn
        assert left(torch.tensor(greedy(phi, torch.zeros(300), 0, 1e-6, 15))) < drawn


@pytest.mark.parametrize("strategy", [SparseGreedy, SparseIHT])
def test_wrong_arguments_are_refused(strategy):
    with pytest.raises(UnknownName, match="grad"):
        strategy("grad").propose(random_view(), 3, seeded())
    with pytest.raises(InvalidInput, match="alpha=-1"):
        strategy(alpha=-1).propose(random_view(), 3, seeded())
