import itertools

import pytest
import torch
from sklearn.decomposition import PCA

from autoal.errors import InvalidInput
from autoal.strategies.diversity.kcenter import KCenter
from autoal.strategies.diversity.kcenter_pca import KCenterPCA, principal_coordinates
from tests.helpers import fake_view, seeded


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def radius(pool: torch.Tensor, centres: torch.Tensor) -> float:
    return float(torch.cdist(pool.double(), centres.double()).amin(1).max())


def test_farthest_then_next():
    view = fake_view(embeddings=column(0, 1, 10), labeled=column(0))
    assert KCenter().propose(view, 2, seeded()).indices.tolist() == [2, 1]


def test_it_starts_in_the_middle_where_nothing_is_labeled():
    view = fake_view(embeddings=column(0, 4, 10))
    assert KCenter().propose(view, 3, seeded()).indices.tolist() == [1, 2, 0]


def test_copies_of_labeled_points_come_last():
    labeled = torch.randn(10, 6, generator=seeded()) + 100
    pool = torch.cat([labeled, torch.randn(5, 6, generator=seeded(1)) + 100])
    view = fake_view(embeddings=pool, labeled=labeled)
    assert set(KCenter().propose(view, 15, seeded()).indices[:5].tolist()) == set(range(10, 15))


def test_the_radius_is_at_most_twice_the_best():
    for seed in range(10):
        pool = torch.randn(10, 2, generator=seeded(seed))
        labeled = torch.randn(1, 2, generator=seeded(seed + 100))
        picks = KCenter().propose(fake_view(embeddings=pool, labeled=labeled), 3, seeded()).indices
        best = min(
            radius(pool, torch.cat([labeled, pool[list(some)]])) for some in itertools.combinations(range(10), 3)
        )
        assert radius(pool, torch.cat([labeled, pool[picks]])) <= 2 * best + 1e-6


def test_the_radius_falls_with_the_batch():
    pool = torch.randn(60, 3, generator=seeded())
    picks = KCenter().propose(fake_view(embeddings=pool, labeled=pool[:2]), 30, seeded()).indices
    radii = [radius(pool, torch.cat([pool[:2], pool[picks[:k]]])) for k in range(31)]
    assert radii == sorted(radii, reverse=True)


def test_turning_and_moving_the_embedding_changes_nothing():
    pool = torch.randn(40, 4, generator=seeded(), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=seeded(1), dtype=torch.float64)).Q
    picks = [
        KCenter().propose(fake_view(embeddings=x, labeled=x[:3]), 10, seeded()).indices.tolist()
        for x in (pool, 7 * pool @ turn + 20)
    ]
    assert picks[0] == picks[1]


def test_few_features_are_all_kept_by_the_pca():
    pool, labeled = torch.randn(30, 4, generator=seeded()), torch.randn(3, 4, generator=seeded(1))
    view = fake_view(embeddings=pool, labeled=labeled)
    plain, pca = (s.propose(view, 8, seeded()).indices.tolist() for s in (KCenter(), KCenterPCA()))
    assert plain == pca


def test_the_pca_is_that_of_scikit_learn_over_pool_and_labeled():
    pool, labeled = torch.randn(60, 9, generator=seeded()), torch.randn(20, 9, generator=seeded(1)) + 5
    pca = PCA(3, svd_solver="full").fit(torch.cat([pool, labeled]).double().numpy())
    for ours, rows in zip(principal_coordinates(pool, labeled, 3), (pool, labeled), strict=True):
        theirs = torch.from_numpy(pca.transform(rows.double().numpy())).float()
        torch.testing.assert_close(ours.abs(), theirs.abs(), rtol=1e-4, atol=1e-4)
    view = fake_view(embeddings=pool, labeled=labeled)
    expected = KCenter().propose(
        fake_view(
            embeddings=principal_coordinates(pool, labeled, 3)[0], labeled=principal_coordinates(pool, labeled, 3)[1]
        ),
        6,
        seeded(),
    )
    assert KCenterPCA(3).propose(view, 6, seeded()).indices.tolist() == expected.indices.tolist()
    with pytest.raises(InvalidInput, match="components=0"):
        KCenterPCA(0).propose(view, 1, seeded())
