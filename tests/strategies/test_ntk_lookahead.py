"""Look-ahead in closed form against retraining, and against one candidate at a time."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import one_hot

from autoal.errors import UnknownName
from autoal.strategies.gradient.ntk_lookahead import LookAhead, NTKLookAhead
from tests.helpers import random_view, seeded


def features(n: int, width: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, width, generator=seeded(seed), dtype=torch.float64)


def ridgeless(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Weights of least norm that fit y."""
    return torch.linalg.pinv(x) @ y


def test_one_more_label_is_what_retraining_gives():
    labeled, pool = features(5, seed=1), features(8, seed=2)
    targets = torch.randn(5, 3, generator=seeded(3), dtype=torch.float64)
    weights = ridgeless(labeled, targets)
    ahead = LookAhead(labeled, labeled @ weights, targets, ridge=1e-11)
    torch.testing.assert_close(ahead.moved(pool), torch.zeros(8, 3, dtype=torch.float64), atol=1e-6, rtol=0)
    psi = ahead.posterior(pool)
    new = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for j in range(8):
        step = (psi @ psi[j]) / (psi[j] @ psi[j] + ahead.penalty)
        found = pool @ weights + step[:, None] * (new - pool[j] @ weights)
        again = ridgeless(torch.cat([labeled, pool[j : j + 1]]), torch.cat([targets, new[None]]))
        torch.testing.assert_close(found, pool @ again, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("count", [3, 12, 40])
def test_with_more_labels_than_features_the_step_is_that_of_ridge_regression(count):
    labeled, pool = features(count, seed=1), features(6, seed=2)
    targets = torch.randn(count, 2, generator=seeded(3), dtype=torch.float64)
    start, first = features(count, 2, seed=4), features(6, 2, seed=5)
    ahead = LookAhead(labeled, start, targets, ridge=1e-3)
    psi, label = ahead.posterior(pool), torch.tensor([1.0, -1.0], dtype=torch.float64)
    for j in range(6):
        step = (psi @ psi[j]) / (psi[j] @ psi[j] + ahead.penalty)
        found = first + ahead.moved(pool) + step[:, None] * (label - first[j] - ahead.moved(pool)[j])
        x, residual = torch.cat([labeled, pool[j : j + 1]]), torch.cat([targets - start, (label - first[j])[None]])
        kernel = x @ x.T + ahead.penalty * torch.eye(count + 1)
        torch.testing.assert_close(found, first + pool @ x.T @ torch.linalg.solve(kernel, residual))


def test_an_untrained_model_is_first_moved_to_its_labels():
    labeled, targets = features(5, seed=1), torch.randn(5, 2, generator=seeded(3), dtype=torch.float64)
    start = features(5, 2, seed=4)
    ahead = LookAhead(labeled, start, targets, ridge=1e-11)
    torch.testing.assert_close(start + ahead.moved(labeled), targets, atol=1e-6, rtol=0)


def test_the_posterior_is_the_kernel_form():
    labeled, pool = features(6, 4, seed=1), features(7, 4, seed=2)
    ahead = LookAhead(labeled, features(6, 2), features(6, 2, seed=9), ridge=0.1)
    penalty = 0.1 * labeled.square().sum(1).mean()
    kernel = labeled @ labeled.T + penalty * torch.eye(6)
    expected = pool @ pool.T - pool @ labeled.T @ torch.linalg.solve(kernel, labeled @ pool.T)
    psi = ahead.posterior(pool)
    torch.testing.assert_close(psi @ psi.T, expected)


def one_at_a_time(view, objective: str) -> torch.Tensor:
    """The score of each candidate with its own enlarged kernel solve, straight from the definition."""

    def centred(log_probs):
        return log_probs.double() - log_probs.double().mean(1, keepdim=True)

    c = view.num_classes
    scale = max(float(view.pool.embeddings.abs().max()), float(view.labeled.embeddings.abs().max()))
    sides = [torch.cat([s.embeddings.double() / scale, torch.ones(len(s), 1)], 1) for s in (view.pool, view.labeled)]
    pool, labeled = sides
    now, known = centred(view.pool.log_probs), centred(view.labeled.log_probs)
    goal = one_hot(view.labels, c).double() - 1 / c
    tau = max(1.0, float((known * goal).sum() / goal.square().sum()))
    penalty = 1e-5 * labeled.square().sum(1).mean()
    scores = []
    for j in range(len(pool)):
        label = tau * (one_hot(now[j].argmax(), c).double() - 1 / c)
        x = torch.cat([labeled, pool[j : j + 1]])
        kernel = x @ x.T + penalty * torch.eye(len(x))
        residual = torch.cat([tau * goal - known, (label - now[j])[None]])
        after = now + pool @ x.T @ torch.linalg.solve(kernel, residual)
        if objective == "mlmoc":
            scores.append((after - now).norm(dim=1).sum())
        else:
            scores.append((after.argmax(1) != now.argmax(1)).double().sum())
    return torch.stack(scores)


@pytest.mark.parametrize("objective", ["mlmoc", "contrastive"])
def test_all_candidates_at_once_equal_one_at_a_time(objective):
    view = random_view(20, 9, seed=3)
    found = NTKLookAhead(objective).propose(view, 3, seeded()).scores
    torch.testing.assert_close(found, one_at_a_time(view, objective), rtol=1e-4, atol=1e-6)


def test_sums_over_a_sample_estimate_the_whole():
    view = random_view(400, 20)
    whole = NTKLookAhead(evaluation=400).propose(view, 20, seeded()).scores / 400
    part = NTKLookAhead(evaluation=200).propose(view, 20, seeded()).scores / 200
    assert torch.corrcoef(torch.stack([whole, part]))[0, 1] > 0.95


def test_unknown_objective_is_refused():
    with pytest.raises(UnknownName, match="mlmoc"):
        NTKLookAhead("mlmco").propose(random_view(), 2, seeded())
