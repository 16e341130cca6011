"""Batches that lower a Gaussian process's weighted variance most, against the formula with whole matrices."""

import pytest
import torch

from autoal.anchor import variance
from autoal.anchor.variance import NOISE, greedy_variance, kernel, posterior
from autoal.rng import generator


def task(n=40, labeled=6, seed=0):
    rng = generator(seed, "variance")
    rows = torch.nn.functional.normalize(torch.randn(n, 3, generator=rng, dtype=torch.float64), dim=1)
    known = torch.nn.functional.normalize(torch.randn(labeled, 3, generator=rng, dtype=torch.float64), dim=1)
    return rows, torch.rand(n, generator=rng, dtype=torch.float64), known


def asked(rows, value, known, b, **changed):
    everyone = torch.arange(len(rows))
    settings = {
        "bandwidth": 0.5, "candidates": everyone, "evaluation": everyone, "prices": None, "rng": generator(0, "x"),
    }  # fmt: skip
    settings.update(changed)
    settings.setdefault("order", torch.arange(len(settings["candidates"])))
    return greedy_variance(rows, value, known, b, **settings).tolist()


def left(rows, value, known, batch):
    """Weighted variance over the pool once `known` and the batch are labeled."""
    x = torch.cat([rows, known, rows[batch]])
    k = kernel(torch.cdist(x, x) ** 2 / 0.5**2)
    n = len(rows)
    rest = k[:n, :n] - k[:n, n:] @ torch.linalg.solve(k[n:, n:] + NOISE * torch.eye(len(x) - n), k[n:, :n])
    return float(value @ rest.diagonal())


@pytest.mark.parametrize("labeled", [0, 1, 6])
def test_every_pick_leaves_the_least_weighted_variance(labeled):
    rows, value, known = task(labeled=labeled)
    picks = asked(rows, value, known, 5)
    for t in range(5):
        losses = [left(rows, value, known, [*picks[:t], j]) if j not in picks[:t] else 9e9 for j in range(len(rows))]
        assert losses[picks[t]] == pytest.approx(min(losses), rel=1e-9)


def test_only_candidates_are_picked_and_only_evaluation_points_count():
    rows, value, known = task()
    among = torch.tensor([3, 9, 20, 31])
    assert set(asked(rows, value, known, 4, candidates=among)) == set(among.tolist())
    half = torch.arange(20)
    silenced = torch.where(torch.arange(40) < 20, value, torch.zeros_like(value))
    assert asked(rows, value, known, 4, evaluation=half) == asked(rows, silenced, known, 4)


def test_a_price_divides_the_gain():
    rows, value, known = task()
    first = asked(rows, value, known, 1)[0]
    prices = torch.ones(40)
    prices[first] = 1e6
    assert first not in asked(rows, value, known, 39, prices=prices)


def test_copies_go_by_the_order_given_and_each_is_picked_once():
    rows, value, known = task(n=10)
    rows, value = rows.repeat(3, 1), value.repeat(3)
    back = torch.arange(29, -1, -1)
    assert sorted(asked(rows, value, known, 30)) == list(range(30))
    assert asked(rows, value, known, 1)[0] + 20 == asked(rows, value, known, 1, order=back)[0]


@pytest.mark.parametrize("apart", [0.0, 1e-5, 1e-3])
def test_copies_and_near_copies_do_not_break_the_factorisation(apart):
    for seed in range(6):
        rng = torch.Generator().manual_seed(seed)
        rows = torch.randn(30, 8, generator=rng).repeat(20, 1)
        rows = torch.nn.functional.normalize(rows + apart * torch.randn(600, 8, generator=rng), dim=1)
        picks = asked(rows, torch.rand(600, generator=rng), rows[:20], 5, bandwidth=0.1)
        # Copies tell the same: none is asked for twice, and none that is labeled.
        assert len({pick % 30 for pick in picks} & set(range(20, 30))) == 5


def test_landmarks_change_little_where_points_explain_each_other(monkeypatch):
    rows, value, known = task(n=300, labeled=20)
    exact = asked(rows, value, known, 10)
    monkeypatch.setattr(variance, "LANDMARKS", 120)
    near = asked(rows, value, known, 10)
    before = left(rows, value, known, [])
    assert before - left(rows, value, known, near) > 0.9 * (before - left(rows, value, known, exact))


def test_the_posterior_is_that_of_the_formula_and_no_labels_change_nothing():
    rows, _, known = task()
    x = torch.cat([rows, known])
    k = kernel(torch.cdist(x, x) ** 2)
    expected = k[:40, :40] - k[:40, 40:] @ torch.linalg.solve(k[40:, 40:] + NOISE * torch.eye(6), k[40:, :40])
    assert torch.allclose(posterior(k[:40, :40], k[40:, 40:], k[:40, 40:]), expected, atol=1e-7)
    assert torch.equal(posterior(k[:40, :40], k[40:40, 40:40], k[:40, 40:40]), k[:40, :40])
