"""Robust k-center against brute force, and its promise about outliers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies.diversity.kcenter import KCenter
from autoal.strategies.diversity.kcenter_robust import KCenterRobust, cover
from tests.helpers import fake_view, random_view, seeded


def radius(points: torch.Tensor, centers: torch.Tensor, outliers: int = 0) -> float:
    """Distance within which all but `outliers` points have a center."""
    return float(torch.cdist(points, centers).amin(1).sort().values[len(points) - 1 - outliers])


def best_radius(points: torch.Tensor, labeled: torch.Tensor, count: int, outliers: int) -> float:
    sets = (torch.cat([labeled, points[list(some)]]) for some in combinations(range(len(points)), count))
    return min(radius(points, centers, outliers) for centers in sets)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("outliers", [0, 2])
def test_it_finds_the_best_radius_there_is(seed, outliers):
    points = torch.randn(14, 2, generator=seeded(seed), dtype=torch.float64)
    labeled = torch.randn(2, 2, generator=seeded(seed + 50), dtype=torch.float64)
    view = fake_view(embeddings=points, labeled=labeled)
    picks = KCenterRobust(outliers=(outliers + 0.5) / 14).propose(view, 3, seeded()).indices
    found = radius(points, torch.cat([labeled, points[picks]]), outliers)
    assert found == pytest.approx(best_radius(points, labeled, 3, outliers), rel=1e-5)


def test_the_radius_lies_between_half_of_the_greedy_one_and_that():
    points = torch.randn(200, 3, generator=seeded(1))
    view = fake_view(embeddings=points, labeled=points[:2] + 0.01)
    greedy, robust = (s.propose(view, 10, seeded()).indices for s in (KCenter(), KCenterRobust(outliers=0)))
    known = points[:2] + 0.01
    plain, found = (radius(points, torch.cat([known, points[p]])) for p in (greedy, robust))
    assert plain / 2 - 1e-6 <= found <= plain + 1e-6


@pytest.mark.parametrize("method", ["milp", "greedy"])
def test_a_far_point_is_bought_by_the_plain_method_only(method):
    points = torch.cat([torch.randn(99, 2, generator=seeded(2)), torch.tensor([[100.0, 100.0]])])
    view = fake_view(embeddings=points, labeled=torch.zeros(1, 2))
    assert 99 in KCenter().propose(view, 3, seeded()).indices
    assert 99 not in KCenterRobust(outliers=0.015, method=method).propose(view, 3, seeded()).indices


def test_a_net_stands_for_a_larger_pool():
    blobs = torch.eye(4).repeat_interleave(100, 0) * 10 + 0.1 * torch.randn(400, 4, generator=seeded(3))
    view = fake_view(embeddings=blobs, labeled=torch.zeros(1, 4))
    picks = KCenterRobust(points=40).propose(view, 4, seeded()).indices
    assert sorted((picks // 100).tolist()) == [0, 1, 2, 3]


def test_weights_count_in_what_may_be_left_out():
    squared = np.array([[0.0, 100.0, 400.0], [100.0, 0.0, 100.0], [400.0, 100.0, 0.0]])
    far = np.full(3, np.inf)
    light = cover(squared, far, np.array([1.0, 1.0, 1.0]), 2, 1)
    heavy = cover(squared, far, np.array([1.0, 1.0, 5.0]), 1, 2)
    assert len(light) == 2 and heavy.tolist() == [2]


def test_wrong_arguments_are_refused():
    with pytest.raises(UnknownName, match="milp"):
        KCenterRobust(method="mlip").propose(random_view(), 2, seeded())
    with pytest.raises(InvalidInput, match="outliers=1"):
        KCenterRobust(outliers=1).propose(random_view(), 2, seeded())
