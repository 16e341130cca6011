"""ProbCover against coverage counted by hand and the best possible one, and its radius against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from autoal.errors import InvalidInput
from autoal.strategies.diversity.probcover import ProbCover, pure_radius
from autoal.strategies.parts import coverage
from autoal.strategies.parts.distances import centred, kmeans
from tests.helpers import fake_view, seeded


def on_circle(*degrees: float) -> torch.Tensor:
    angle = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def chord(degrees: float) -> float:
    return 2 * math.sin(degrees * math.pi / 360)


def covered(points: torch.Tensor, picks: list[int], delta: float) -> int:
    return int((torch.cdist(points, points[picks]) < delta).any(dim=1).sum())


def test_the_ball_with_most_points_first_then_what_it_leaves_uncovered():
    #                  0  1  2  3   4   5   6    7
    points = on_circle(0, 5, 10, 15, 90, 95, 180, 270)
    picks = ProbCover(delta=chord(11)).propose(fake_view(embeddings=points), 4, seeded()).indices.tolist()
    assert picks[0] in (1, 2)  # the balls of both hold all of 0..3
    assert picks[1] in (4, 5)
    assert set(picks[2:]) == {6, 7}


def test_what_a_label_covers_counts_for_nothing():
    points = on_circle(0, 5, 10, 90, 95, 180)
    view = fake_view(embeddings=points, labeled=3 * on_circle(4))
    picks = ProbCover(delta=chord(11)).propose(view, 2, seeded()).indices.tolist()
    assert picks[0] in (3, 4) and picks[1] == 5


def test_equal_counts_go_by_density():
    points = on_circle(0, 80, 160, 165, 171)
    for seed in range(5):
        picks = ProbCover(delta=1e-4).propose(fake_view(embeddings=points), 3, seeded(seed)).indices
        assert set(picks.tolist()) == {2, 3, 4}


def test_once_all_is_covered_maxherding_goes_on():
    points = on_circle(0, 1, 2, 3, 4, 180, 181)
    picks = ProbCover(delta=chord(10)).propose(fake_view(embeddings=points), 7, seeded()).indices.tolist()
    assert picks[0] < 5 <= picks[1]
    assert sorted(picks) == list(range(7))


@pytest.mark.parametrize("small", [0, 2**18])
def test_coverage_is_at_least_that_share_of_the_best(small, monkeypatch):
    monkeypatch.setattr(coverage, "SMALL", small)
    for seed in range(8):
        points = torch.nn.functional.normalize(torch.randn(14, 3, generator=seeded(seed), dtype=torch.float64))
        picks = ProbCover(delta=0.6).propose(fake_view(embeddings=points), 3, seeded()).indices.tolist()
        best = max(covered(points, list(some), 0.6) for some in itertools.combinations(range(14), 3))
        assert covered(points, picks, 0.6) >= (1 - 1 / math.e) * best
        first = max(covered(points, [i], 0.6) for i in range(14))
        assert covered(points, picks[:1], 0.6) == first


def test_the_radius_is_the_largest_pure_one():
    # Two arcs; the nearest strangers are 40 degrees apart.
    points = on_circle(0, 10, 20, 60, 70, 80)
    assert math.isclose(pure_radius(points, 2, 1.0, seeded()), chord(40), rel_tol=1e-4)
    # Two of six balls may be mixed: those of 20 and 60 degrees. The next strangers are 50 degrees away.
    assert math.isclose(pure_radius(points, 2, 4 / 6, seeded()), chord(50), rel_tol=1e-4)
    assert pure_radius(torch.ones(5, 2), 3, 0.95, seeded()) == 1.0


def test_a_larger_radius_would_be_less_pure():
    points = torch.nn.functional.normalize(torch.randn(200, 3, generator=seeded(), dtype=torch.float64))
    radius = pure_radius(points, 4, 0.9, seeded(1))
    rng = seeded(1)
    moved = centred(points[torch.randperm(200, generator=rng)])[0]
    cluster = kmeans(moved, 4, rng, mini_batch=False)[2]
    stranger = torch.cdist(moved, moved).masked_fill(cluster[:, None] == cluster, torch.inf).amin(dim=1)

    def pure(delta: float) -> float:
        return float((stranger >= delta).double().mean())

    assert pure(radius - 1e-4) >= 0.9 > pure(radius + 1e-4)


def test_arguments_are_checked():
    view = fake_view(embeddings=on_circle(0, 1))
    for wrong in ({"delta": 0.0}, {"delta": "best"}, {"purity": 0.0}):
        with pytest.raises(InvalidInput, match=r"got (delta|purity)="):
            ProbCover(**wrong).propose(view, 1, seeded())


def test_picks_cover_as_much_as_those_of_scikit_activeml():
    peer = pytest.importorskip("skactiveml.pool").ProbCover
    for seed in range(3):
        points = torch.nn.functional.normalize(torch.randn(80, 3, generator=seeded(seed), dtype=torch.float64))
        theirs = peer(deltas=[0.4], random_state=0, n_classes=4).query(
            points.numpy(), np.full(80, np.nan), batch_size=8
        )
        ours = ProbCover(delta=0.4).propose(fake_view(embeddings=points), 8, seeded()).indices.tolist()
        assert abs(covered(points, ours, 0.4) - covered(points, theirs.tolist(), 0.4)) <= 3
        assert covered(points, ours[:1], 0.4) == covered(points, theirs.tolist()[:1], 0.4)
