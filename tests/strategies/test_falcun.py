"""FALCUN against the loop over points that it stands for, and the probabilities it draws with."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from autoal.errors import InvalidInput
from autoal.strategies.diversity.falcun import Falcun
from tests.helpers import fake_view, probs, seeded


def slow(p: list[list[float]], gamma: float, shares: list[float]) -> list[int]:
    """The picks for these numbers drawn from [0, 1), one for each."""
    unsure = [1 - (sorted(row)[-1] - sorted(row)[-2]) for row in p]
    apart, picks = list(unsure), []
    for share in shares:
        left = [i for i in range(len(p)) if i not in picks]
        low, high = min(apart[i] for i in left), max(apart[i] for i in left)
        weights = [
            (unsure[i] + ((apart[i] - low) / (high - low) if high > low else 0.0)) ** gamma if i in left else 0.0
            for i in range(len(p))
        ]
        total, reached = sum(weights), 0.0
        for i in left:
            reached += weights[i]
            if reached > share * total:
                picks.append(i)
                break
        apart = [min(apart[i], sum(abs(a - b) for a, b in zip(p[i], p[picks[-1]], strict=True))) for i in range(len(p))]
    return picks


@pytest.mark.parametrize("gamma", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_slow_loop(gamma, seed):
    log_probs = (2 * torch.randn(30, 4, generator=seeded(seed), dtype=torch.float64)).log_softmax(dim=1)
    shares = torch.rand(30, generator=seeded(seed), dtype=torch.float64).tolist()
    picks, _ = Falcun(gamma).propose(fake_view(log_probs), 30, seeded(seed))
    assert picks.tolist() == slow(log_probs.exp().tolist(), gamma, shares)


def test_the_first_pick_is_drawn_by_its_uncertainty():
    # Margins 0.8, 0.5, 0.2 and 0.4: u is 0.2, 0.5, 0.8, 0.6, and scaled 0, 0.5, 1, 2/3.
    view = fake_view(probs([0.9, 0.1], [0.25, 0.75], [0.6, 0.4], [0.3, 0.7]))
    weight = np.array([0.2, 1.0, 1.8, 0.6 + 2 / 3]) ** 2
    drawn = [int(Falcun(gamma=2).propose(view, 1, seeded(s)).indices) for s in range(600)]
    assert chisquare(np.bincount(drawn, minlength=4), 600 * weight / weight.sum()).statistic < 16.3  # 99.9 %


def test_a_large_exponent_takes_the_best_each_time():
    # The second is nearly as unsure as the first, and the same prediction; the third is less so, and another one.
    view = fake_view(probs([0.48, 0.47, 0.05], [0.475, 0.465, 0.06], [0.05, 0.5, 0.45], [0.9, 0.05, 0.05]))
    for seed in range(5):
        picks = Falcun(gamma=500).propose(view, 2, seeded(seed)).indices.tolist()
        assert picks == [1, 2] or picks == [0, 2]


def test_no_exponent_is_random():
    view = fake_view(probs([0.9, 0.1], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0]))
    drawn = [int(Falcun(gamma=0).propose(view, 1, seeded(s)).indices) for s in range(400)]
    assert chisquare(np.bincount(drawn, minlength=4)).statistic < 16.3


@pytest.mark.parametrize("row", [[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [1.0]])
def test_where_all_are_alike_each_is_as_likely(row):
    view = fake_view(probs(*[row] * 5))
    drawn = [int(Falcun().propose(view, 1, seeded(s)).indices) for s in range(300)]
    assert chisquare(np.bincount(drawn, minlength=5)).statistic < 18.5
    assert sorted(Falcun().propose(view, 5, seeded()).indices.tolist()) == list(range(5))


def test_a_tiny_uncertainty_still_counts():
    log_probs = torch.tensor([[0.0, -60.0], [0.0, -80.0], [0.0, -torch.inf]], dtype=torch.float64)
    view = fake_view(torch.cat([log_probs, log_probs.flip(1)]))
    assert sorted(Falcun(gamma=50).propose(view, 6, seeded()).indices.tolist()) == list(range(6))


@pytest.mark.parametrize("gamma", [-1.0, float("inf"), float("nan")])
def test_an_exponent_that_makes_no_sense_is_refused(gamma):
    with pytest.raises(InvalidInput, match="gamma"):
        Falcun(gamma).propose(fake_view(probs([0.5, 0.5])), 1, seeded())


def test_double_precision_input_is_left_alone():
    log_probs = probs([0.6, 0.4], [0.7, 0.3], [0.2, 0.8])
    Falcun().propose(fake_view(log_probs), 3, seeded())
    assert torch.equal(log_probs, probs([0.6, 0.4], [0.7, 0.3], [0.2, 0.8]))
