import torch

from autoal.strategies.diversity.typiclust import TypiClust
from tests.helpers import fake_view, seeded


def blobs(count: int, size: int, spread: float = 0.05) -> torch.Tensor:
    """Directions far apart, since TypiClust looks at embeddings of length 1."""
    noise = spread * torch.randn(count * size, count, generator=seeded())
    return torch.eye(count).repeat_interleave(size, 0) + noise


def test_one_pick_in_each_of_b_blobs_and_in_its_dense_part():
    pool = blobs(5, 60)
    picks = TypiClust().propose(fake_view(embeddings=pool), 5, seeded()).indices
    assert sorted((picks // 60).tolist()) == list(range(5))
    unit = torch.nn.functional.normalize(pool)
    for pick in picks.tolist():
        part = unit[60 * (pick // 60) :][:60]
        typicality = -torch.cdist(part, part).topk(21, largest=False).values.mean(1)
        assert typicality[pick % 60] == typicality.max()


def test_clusters_without_labels_come_first():
    pool = blobs(4, 40)
    view = fake_view(embeddings=pool[40:], labeled=pool[:2])
    picks = TypiClust(max_clusters=4).propose(view, 3, seeded()).indices
    assert sorted((picks // 40).tolist()) == [0, 1, 2]
    covered = fake_view(embeddings=pool, labeled=pool[:2] + 1e-3)
    assert (TypiClust(max_clusters=4).propose(covered, 3, seeded()).indices // 40 > 0).all()


def test_larger_clusters_come_first():
    pool = torch.cat([blobs(2, 20)[:20], blobs(2, 50)[50:]])
    picks = TypiClust(max_clusters=2).propose(fake_view(embeddings=pool), 2, seeded()).indices
    assert picks[0] >= 20 > picks[1]


def test_it_goes_round_when_clusters_are_fewer_than_b():
    picks = TypiClust(max_clusters=3).propose(fake_view(embeddings=blobs(3, 20)), 9, seeded()).indices
    assert torch.bincount(picks // 20).tolist() == [3, 3, 3]
    assert len(set((picks[:3] // 20).tolist())) == 3


def test_small_clusters_are_left_out_until_the_others_are_used_up():
    pool = torch.cat([blobs(2, 30)[:30], blobs(2, 4)[4:]])
    view = fake_view(embeddings=pool)
    assert (TypiClust(max_clusters=2).propose(view, 30, seeded()).indices < 30).all()
    assert TypiClust(max_clusters=2).propose(view, 34, seeded()).indices.unique().numel() == 34


def test_scale_changes_nothing():
    pool = blobs(5, 30)
    first, second = (TypiClust().propose(fake_view(embeddings=x), 5, seeded()).indices for x in (pool, 1000 * pool))
    assert torch.equal(first, second)
