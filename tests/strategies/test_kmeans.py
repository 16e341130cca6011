import torch

from autoal.strategies.diversity.kmeans import KMeans, nearest_of_each
from tests.helpers import fake_view, seeded


def blobs(count: int, size: int) -> torch.Tensor:
    return (50 * torch.eye(count)).repeat_interleave(size, 0) + torch.randn(count * size, count, generator=seeded())


def test_one_pick_in_each_of_b_blobs():
    view = fake_view(embeddings=blobs(5, 30))
    for s in range(5):
        assert sorted((KMeans().propose(view, 5, seeded(s)).indices // 30).tolist()) == list(range(5))


def test_the_pick_is_the_point_nearest_the_mean_of_its_cluster():
    pool = blobs(4, 25)
    expected = set()
    for k in range(4):
        part = pool[25 * k : 25 * k + 25]
        expected.add(25 * k + int((part - part.mean(0)).square().sum(1).argmin()))
    assert set(KMeans().propose(fake_view(embeddings=pool), 4, seeded()).indices.tolist()) == expected


def test_shuffling_the_pool_gives_the_same_points():
    pool, order = blobs(4, 25), torch.randperm(100, generator=seeded(1))
    straight = KMeans().propose(fake_view(embeddings=pool), 4, seeded()).indices
    shuffled = order[KMeans().propose(fake_view(embeddings=pool[order]), 4, seeded(2)).indices]
    assert set(straight.tolist()) == set(shuffled.tolist())


def test_larger_clusters_come_first():
    pool = torch.tensor([0.0, 0.1, 0.2, 100, 100.1, 200])[:, None]
    assert KMeans().propose(fake_view(embeddings=pool), 3, seeded()).indices[0] == 1
    squared, assigned = torch.tensor([3.0, 1, 2, 5, 4]), torch.tensor([2, 2, 2, 0, 0])
    assert nearest_of_each(squared, assigned, 3, seeded()).tolist() == [1, 4]


def test_fewer_distinct_points_than_b():
    pool = torch.tensor([[0.0], [9.0]]).repeat(5, 1)
    picks = KMeans().propose(fake_view(embeddings=pool), 4, seeded()).indices.tolist()
    assert len(set(picks)) == 4 and {pick % 2 for pick in picks[:2]} == {0, 1}
