import torch

from autoal.strategies import resolve_candidates
from autoal.strategies.diversity.random import Random
from tests.helpers import random_view, seeded


def test_each_point_is_as_likely():
    view, draws = random_view(10), 2000
    counts = torch.zeros(10)
    for s in range(draws):
        counts[Random().propose(view, 3, seeded(s)).indices] += 1
    expected = 0.3 * draws
    # 27.9 is the 0.999 quantile of chi-square with nine degrees of freedom; without replacement it is smaller.
    assert ((counts - expected).square() / expected).sum() < 27.9


def test_two_with_different_seeds_differ():
    view = random_view(40)
    picks = [Random(seed).propose(view, 10, seeded()).indices.tolist() for seed in (0, 1, 0)]
    assert picks[0] != picks[1] and picks[0] == picks[2]
    resolve_candidates([("coin", Random(0)), ("dice", Random(1))])
