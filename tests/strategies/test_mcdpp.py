"""The multi-criteria DPP: what it promises beside what every candidate does."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier

from autoal.errors import UnknownName
from autoal.rng import generator
from autoal.strategies.diversity.mcdpp import (
    MultiCriteriaDPP,
    _cluster_candidates,
    _features,
    _mid_ranks,
    committee_weights,
    informativeness,
)
from autoal.strategies.parts.distances import centred
from autoal.strategies.parts.dpp import KDPP
from tests.helpers import fake_view, probs, random_view, seeded

HALF = torch.full((6, 2), 0.5, dtype=torch.float64).log()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed, "mcdpp"), dtype=torch.float64)


def sharp(n: int, seed: int = 0, classes: int = 3) -> torch.Tensor:
    return (2 * normal(n, classes, seed=seed)).log_softmax(dim=1)


def test_with_equal_quality_and_orthogonal_points_every_batch_is_equally_likely():
    view = fake_view(HALF, torch.eye(6, dtype=torch.float64), labeled=torch.empty(0, 6))
    strategy = MultiCriteriaDPP(kernel="cosine", tries=1)
    place = {pair: i for i, pair in enumerate(combinations(range(6), 2))}
    drawn = [place[tuple(sorted(strategy.propose(view, 2, seeded(s)).indices.tolist()))] for s in range(900)]
    assert chisquare(np.bincount(drawn, minlength=15)).statistic < 36.1  # 99.9 %, 14 degrees


@pytest.mark.parametrize("mode", ["sample", "map"])
@pytest.mark.parametrize("kernel", ["cosine", "rbf"])
def test_one_direction_repeated_gives_one_pick(mode, kernel):
    points = torch.cat([torch.eye(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64)[:1].repeat(10, 1)])
    view = fake_view(sharp(15), points, labeled=torch.empty(0, 5))
    for s in range(20):
        picks = MultiCriteriaDPP(mode, kernel=kernel).propose(view, 4, seeded(s)).indices
        assert (points[picks] @ points[0] > 0.5).sum() <= 1


@pytest.mark.parametrize("mode", ["sample", "map"])
@pytest.mark.parametrize("n", [30, 5_500])
def test_the_hardest_point_is_always_in_and_first(mode, n):
    log_probs = sharp(n)
    log_probs[n // 3] = torch.full((3,), 1 / 3).log()
    view = fake_view(log_probs, normal(n, 4), labeled=normal(5, 4, seed=1), labels=[0, 1, 2, 0, 1])
    for s in range(3):
        assert MultiCriteriaDPP(mode).propose(view, 5, seeded(s)).indices[0] == n // 3


def test_a_classifier_that_is_right_outweighs_one_at_chance():
    labels = np.arange(40) % 2
    inputs = np.stack([labels * 10.0, np.zeros(40)], axis=1)
    weights = committee_weights([KNeighborsClassifier(1), DummyClassifier()], inputs, labels, 2, 0)
    assert weights[0] > 0.99 and weights.sum() == pytest.approx(1)


def test_with_few_labels_all_classifiers_weigh_the_same():
    labels = np.array([0, 0, 1])
    weights = committee_weights([KNeighborsClassifier(1), DummyClassifier()], np.zeros((3, 2)), labels, 2, 0)
    assert weights.tolist() == [0.5, 0.5]


def test_the_only_point_of_a_class_is_trained_on_but_not_tested():
    labels = np.array([0] * 6 + [1] * 6 + [2])
    inputs = labels[:, None] * 10.0
    weights = committee_weights([KNeighborsClassifier(1), DummyClassifier()], inputs, labels, 3, 0)
    assert weights[0] > 0.99


def test_informativeness_by_hand():
    even, sure = probs([0.5, 0.5], [1.0, 0.0]), probs([0.0, 1.0], [1.0, 0.0])
    assert informativeness(even[None], torch.ones(1).double()).tolist() == [1.0, 0.0]
    # Two sure classifiers that disagree: no mean entropy, a whole bit of divergence; that agree: nothing.
    opposed = torch.stack([probs([1.0, 0.0], [1.0, 0.0]), sure])
    weights = torch.tensor([0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(informativeness(opposed, weights), torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert informativeness(opposed, weights, disagreement=0).tolist() == [0.0, 0.0]


def test_equal_values_share_the_mean_of_their_ranks():
    assert _mid_ranks(torch.tensor([5.0, 1.0, 5.0, 9.0])).tolist() == [2.5 / 4, 1 / 4, 2.5 / 4, 1.0]
    assert _mid_ranks(torch.zeros(4)).tolist() == [2.5 / 4] * 4


@pytest.mark.parametrize("mode", ["sample", "map"])
def test_the_order_of_the_pool_changes_nothing(mode):
    view = random_view(60, 12, dtype=torch.float64)
    order = torch.randperm(60, generator=seeded(1))
    # One random number stands for one point in canonical order; landmarks are all points, so none are drawn.
    plain, shuffled = (
        MultiCriteriaDPP(mode, kernel="cosine").propose(v, 4, seeded(3))
        for v in (view, replace(view, pool=view.pool[order]))
    )
    assert order[shuffled.indices].tolist() == plain.indices.tolist()
    torch.testing.assert_close(shuffled.scores, plain.scores[order])


def test_without_quality_uncertainty_decides_the_first_pick_only():
    points, log_probs = normal(40, 6), sharp(40)
    hardest = int(torch.special.entr(log_probs.exp()).sum(1).argmax())
    others = sharp(40, seed=1)
    others[hardest] = torch.full((3,), 1 / 3).log()
    views = [fake_view(p, points, labeled=torch.empty(0, 6)) for p in (log_probs, others)]
    # A wrong rank of anything but the hardest point cannot matter to a greedy batch.
    first, second = (MultiCriteriaDPP("map", alpha=0, kernel="cosine").propose(v, 6, seeded()).indices for v in views)
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("mode", ["sample", "map"])
def test_with_all_weight_on_quality_it_takes_the_best_that_are_no_copies(mode):
    points, log_probs = normal(40, 6), sharp(40)
    best = torch.special.entr(log_probs.exp()).sum(1).argsort(descending=True)
    points[best[1]] = points[best[0]]  # the second best is a copy of the best
    view = fake_view(log_probs, points, labeled=torch.empty(0, 6))
    picks = MultiCriteriaDPP(mode, alpha=1e6, balance=1.0).propose(view, 4, seeded()).indices
    assert picks.tolist() == best[[0, 2, 3, 4]].tolist()


def test_greedy_is_larger_than_most_random_subsets():
    view = random_view(150, 0, dtype=torch.float64)
    points = torch.nn.functional.normalize(view.pool.require("embeddings"), dim=1)
    picks = MultiCriteriaDPP("map", alpha=0, kernel="cosine").propose(view, 5, seeded()).indices
    sets = torch.stack([torch.randperm(150, generator=seeded(s))[:5] for s in range(100)])
    volume = torch.linalg.slogdet(points[sets] @ points[sets].transpose(1, 2)).logabsdet
    assert float(torch.linalg.slogdet(points[picks] @ points[picks].T).logabsdet) >= float(volume.median())


def test_beyond_the_rank_the_best_of_the_rest_fill_up_from_new_places():
    points = torch.cat([torch.eye(2, dtype=torch.float64).repeat(4, 1), 3 * torch.eye(2, dtype=torch.float64)])
    view = fake_view(sharp(10), points, labeled=torch.empty(0, 2))
    for s in range(10):
        picks = MultiCriteriaDPP(kernel="cosine").propose(view, 4, seeded(s)).indices
        assert picks.unique().numel() == 4
        assert torch.unique(points[picks], dim=0).shape[0] == 4  # rank 2, four places
        assert MultiCriteriaDPP(kernel="cosine").propose(view, 7, seeded(s)).indices.unique().numel() == 7


@pytest.mark.parametrize("kernel", ["cosine", "rbf"])
def test_it_keeps_away_from_labeled_points(kernel):
    centres = 4 * torch.eye(4, dtype=torch.float64)
    points = centres.repeat(10, 1) + 0.05 * normal(40, 4)
    view = fake_view(torch.zeros(40, 2).log_softmax(1), points, labeled=centres[:3], labels=[0, 1, 0])

    def share(condition: bool) -> float:
        strategy = MultiCriteriaDPP(kernel=kernel, condition_on_labeled=condition, tries=1)
        picks = [strategy.propose(view, 2, seeded(s)).indices[1:] for s in range(60)]
        return float((torch.cat(picks) % 4 == 3).double().mean())

    # A quarter of the batches have the hardest point, drawn by chance, in the new cluster already.
    assert share(True) > 0.5 > share(False)


def test_nystroem_features_give_the_kernel_where_every_point_is_a_landmark():
    points, labeled = centred(normal(50, 3), normal(6, 3, seed=1))
    rows, given = _features(points, labeled, 1.5, "rbf", 5, seeded())
    both = torch.cat([points, labeled]).double()
    kernel = (-torch.cdist(both, both).square() / (2 * 1.5**2)).exp()
    torch.testing.assert_close(rows @ rows.T, kernel[:50, :50], atol=1e-5, rtol=0)
    torch.testing.assert_close(given @ rows.T, kernel[50:, :50], atol=1e-4, rtol=0)


def test_candidates_hold_the_best_and_the_most_central_point_of_each_cluster():
    points = (10 * torch.eye(30)).repeat_interleave(200, 0) + 0.1 * normal(6_000, 30).float()
    quality = normal(6_000, seed=2)
    chosen = _cluster_candidates(centred(points)[0], quality, 9, seeded())
    assert len(chosen) <= 180
    for blob in range(30):
        mine = torch.arange(200 * blob, 200 * blob + 200)
        assert torch.isin(mine, chosen).any()
    best = quality.reshape(30, 200).argmax(dim=1) + 200 * torch.arange(30)
    assert torch.isin(best, chosen).all()  # a cluster lies within a blob


def test_large_pools_and_batches_beyond_a_portion(monkeypatch):
    monkeypatch.setattr("autoal.strategies.diversity.mcdpp.PORTION", 8)
    view = random_view(5_200, 20)
    for mode in ("sample", "map"):
        picks = MultiCriteriaDPP(mode).propose(view, 30, seeded()).indices
        assert picks.unique().numel() == 30


def test_a_fitted_committee():
    view = random_view(50, 24)
    found = MultiCriteriaDPP(committee="full").propose(view, 6, seeded())
    assert found.indices.unique().numel() == 6 and found.scores.isfinite().all()
    lone = replace(view, labels=torch.zeros_like(view.labels))
    assert MultiCriteriaDPP(committee="full").propose(lone, 6, seeded()).indices.unique().numel() == 6


def test_the_best_of_several_draws_is_likelier_than_one():
    points = torch.nn.functional.normalize(normal(60, 8), dim=1)
    dpp = KDPP(features=points)

    def volume(sets: torch.Tensor) -> torch.Tensor:
        return torch.linalg.slogdet(points[sets] @ points[sets].transpose(1, 2)).logabsdet

    sets = dpp.sample(5, seeded(), count=200)
    assert float(volume(sets).reshape(20, 10).amax(dim=1).mean()) > float(volume(sets).mean())


def test_options_are_checked():
    for wrong in ({"mode": "greedy"}, {"kernel": "rfb"}, {"committee": "all"}):
        with pytest.raises(UnknownName):
            MultiCriteriaDPP(**wrong).propose(random_view(20), 3, seeded())
