"""Balanced entropy: the Beta marginals by hand, the numbers of the paper's formula, and the released code's slip."""

import math

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.strategies.uncertainty.balentacq import BalEntAcq, balanced_entropy, beta_entropy
from tests.helpers import fake_view, random_view, seeded


def binary(p_K) -> torch.Tensor:
    """Log-probs (1, K, 2) of samples of the first class's probability."""
    p_K = torch.as_tensor(p_K, dtype=torch.float64)
    return torch.stack([p_K, 1 - p_K], dim=1).log()[None]


def with_concentration(s: float, samples: int = 100) -> torch.Tensor:
    """Samples of mean 1/2 whose Beta has a + b = s: half of them as far above as the others are below."""
    away = math.sqrt(0.25 / (1 + s) * (samples - 1) / samples)
    return binary([0.5 + away, 0.5 - away] * (samples // 2))


def test_a_uniform_probability():
    """Its Beta is (1, 1), h = 1/2 - log 2, and the balanced entropy (h + log 2) / (2 log 2)."""
    even = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    assert float(beta_entropy(torch.tensor(2.0), torch.tensor(1.0))) == pytest.approx(0.5 - math.log(2))
    assert float(balanced_entropy(binary(even))) == pytest.approx(2.772589, rel=1e-4)


def test_entropy_of_a_beta_is_that_of_torch():
    grid = torch.logspace(-2, 4, 25, dtype=torch.float64)
    a, b = torch.cartesian_prod(grid, grid).T
    torch.testing.assert_close(
        beta_entropy(a + 1, b), torch.distributions.Beta(a + 1, b).entropy(), rtol=1e-9, atol=1e-9
    )
    assert (beta_entropy(a + 1, b) <= 1e-9).all()


def test_the_gaussian_limit_meets_the_exact_entropy():
    below, above = (beta_entropy(torch.tensor(0.3 * s), torch.tensor(0.7 * s)) for s in (0.99e8, 1.01e8))
    assert float(below - above) == pytest.approx(0.5 * math.log(1.01 / 0.99), abs=1e-5)


@pytest.mark.parametrize(
    ("s", "score"),
    [(0.5, -0.81), (1, 9.58), (2, 2.77), (5, 3.44), (10, 8.40), (20, -0.09), (100, -0.65)],
)
def test_neither_the_widest_nor_the_narrowest_spread_scores_best(s, score):
    assert float(balanced_entropy(with_concentration(s))) == pytest.approx(score, abs=0.006)


def test_little_spread_scores_low_and_the_released_code_misses_it():
    rows = with_concentration(0.25 / 1e-4 - 1)
    h = beta_entropy(torch.tensor(1250.5), torch.tensor(1249.5))
    assert float(h) == pytest.approx(-3.186, abs=1e-2)
    assert float(balanced_entropy(rows)) == pytest.approx((float(h) + math.log(2)) / (2 * math.log(2)), rel=1e-3)
    assert float(balanced_entropy(rows, reference=True)) == pytest.approx(2.0)


def test_certain_samples_that_disagree():
    rows = binary([0.0, 1.0] * 50)
    assert float(balanced_entropy(rows)) == pytest.approx(-139.2, abs=0.1)
    assert float(balanced_entropy(rows, reference=True)) == pytest.approx(2.0)


def test_counting_the_entropy_twice_would_give_another_order():
    rows = random_view(60, dtype=torch.float64).pool.require("mc_log_probs")
    mean = rows.exp().mean(dim=1)
    right = balanced_entropy(rows)
    ratio = torch.where(right > 0, 1 / right, right)
    assert (ratio < 1).all()
    entropy = torch.special.entr(mean).sum(dim=1)
    twice = ratio + entropy / (entropy + math.log(2))
    wrong = torch.where(twice >= 0, 1 / twice, twice)
    assert right.argsort().tolist() != wrong.argsort().tolist()


def test_points_without_spread_come_last_and_renamed_classes_change_nothing():
    view = random_view(30, dtype=torch.float64)
    rows = view.pool.require("mc_log_probs").clone()
    rows[5] = rows[5, :1]
    scores = balanced_entropy(rows)
    assert int(scores.argmin()) == 5
    torch.testing.assert_close(balanced_entropy(rows.flip(2)), scores)


def test_one_sample_says_nothing():
    rows = random_view(6).pool.require("mc_log_probs")[:, :1]
    batches = {
        tuple(BalEntAcq().propose(fake_view(mc_log_probs=rows), 3, seeded(s)).indices.tolist()) for s in range(9)
    }
    assert len(batches) > 1


def test_an_unknown_compatibility_is_refused():
    with pytest.raises(InvalidInput, match="compat='paper'"):
        BalEntAcq(compat="paper").propose(random_view(), 1, seeded())
