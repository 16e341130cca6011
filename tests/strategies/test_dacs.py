"""DACS: density, its natural breaks, how many picks each group gets, and what is asked for."""

from __future__ import annotations

import itertools

import pytest
import torch

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies.diversity.dacs import DACS, bucket_density, natural_breaks, neighbour_density, quotas
from autoal.strategies.diversity.kcenter import KCenter
from autoal.strategies.diversity.kcenter_pca import principal_coordinates
from autoal.strategies.parts.distances import unit_rows
from tests.helpers import fake_view, random_view, seeded


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def test_density_by_hand():
    points = torch.tensor([[0.0], [1.0], [3.0], [3.0]])
    assert neighbour_density(points, 1).tolist() == [1.0, 1.0, 1e12, 1e12]
    assert neighbour_density(points, 2).tolist() == pytest.approx([2 / 3, 1.0, 1.0, 1.0])
    assert neighbour_density(points, 9).tolist() == pytest.approx([1.0, 1.5, 1.0, 1.0])


def test_density_is_that_of_all_distances():
    points = normal(60, 5)
    kth = torch.cdist(points, points).sort(dim=1).values[:, 7]
    torch.testing.assert_close(neighbour_density(points, 7), 7 / kth)


def test_the_buckets_estimate_the_mean_kernel():
    points = torch.nn.functional.normalize(normal(40, 4))
    angle = (points @ points.T).clamp(-1, 1).arccos() / torch.pi
    kernel = (1 - angle) ** 3
    exact = (kernel.sum(dim=1) - kernel.diagonal()) / 39
    tables = 4_000
    # A table's share lies in [0, 1]: three standard errors are at most 1.5 / sqrt(tables).
    assert float((bucket_density(points, tables, bits=3) - exact).abs().max()) < 1.5 / tables**0.5


def test_natural_breaks_are_the_best_of_all_splits():
    def scatter(groups: torch.Tensor) -> float:
        return sum(float((values[groups == g] - values[groups == g].mean()).square().sum()) for g in groups.unique())

    for seed in range(4):
        values = normal(11, seed=seed).exp().sort().values
        found = natural_breaks(values, 3)
        assert (found.diff() >= 0).all() and found.unique().tolist() == [0, 1, 2]
        splits = [torch.bucketize(torch.arange(11), torch.tensor(cut)) for cut in itertools.combinations(range(10), 2)]
        assert scatter(found) == pytest.approx(min(map(scatter, splits)))
    assert natural_breaks(torch.tensor([1.0, 1.0, 5.0, 5.0, 9.0]), 3).tolist() == [0, 0, 1, 1, 2]
    assert natural_breaks(torch.ones(4), 3).tolist() == [0] * 4
    many = torch.cat([torch.linspace(0, 1, 3_000), torch.linspace(5, 6, 3_000)])
    assert natural_breaks(many, 2).tolist() == [0] * 3_000 + [1] * 3_000


def test_quotas_are_whole_capped_and_pass_on_what_is_left():
    assert quotas([0.5, 0.3, 0.2], [100, 100, 100], 7) == [4, 2, 1]  # 3.5, 2.1, 1.4
    assert quotas([0.5, 0.3, 0.2], [2, 100, 100], 7) == [2, 4, 1]
    assert quotas([0.2, 0.3, 0.5], [100, 100, 1], 7) == [4, 2, 1]  # from the last to the first
    assert quotas([1.0], [3], 3) == [3]


def test_one_group_is_k_center_on_the_same_vectors():
    for labeled in (normal(5, 3, seed=1), normal(0, 3)):
        pool = normal(50, 3)
        rows = [unit_rows(side) for side in principal_coordinates(pool, labeled, 32)]
        expected = KCenter().propose(fake_view(embeddings=rows[0], labeled=rows[1]), 10, seeded()).indices
        view = fake_view(embeddings=pool, labeled=labeled)
        assert DACS(groups=1).propose(view, 10, seeded()).indices.tolist() == expected.tolist()


def test_more_than_half_comes_from_the_sparse_blob():
    rng = seeded()
    directions = torch.nn.functional.normalize(normal(2, 6, seed=3))
    dense = directions[0] + 0.02 * torch.randn(300, 6, generator=rng, dtype=torch.float64)
    sparse = directions[1] + 0.2 * torch.randn(60, 6, generator=rng, dtype=torch.float64)
    view = fake_view(embeddings=torch.cat([dense, sparse]))
    for options in ({}, {"share": "inverse_density"}):
        picks = DACS(groups=2, **options).propose(view, 20, seeded()).indices
        assert int((picks >= 300).sum()) > 10, options


def test_the_most_uncertain_of_four_times_as_many():
    view = random_view(60)
    candidates = set(DACS().propose(view, 20, seeded()).indices.tolist())
    strategy = DACS(uncertainty="margin")
    assert strategy.needs == {"embeddings", "log_probs"} and DACS().needs == {"embeddings"}
    picks = strategy.propose(view, 5, seeded()).indices.tolist()
    best = view.pool.require("log_probs").exp().topk(2, dim=1).values
    gap = best[:, 0] - best[:, 1]
    assert picks == sorted(candidates, key=lambda i: float(gap[i]))[:5]
    with pytest.raises(InvalidInput, match="regression"):
        strategy.propose(random_view(task="regression"), 5, seeded())


def test_buckets_in_the_place_of_neighbours():
    view = random_view(60)
    picks = DACS(density="lsh").propose(view, 12, seeded()).indices
    assert picks.unique().numel() == 12


def test_arguments_are_checked():
    for wrong in ({"groups": 0}, {"temperature": 0.0}):
        with pytest.raises(InvalidInput, match="got"):
            DACS(**wrong).propose(random_view(), 1, seeded())
    for wrong in ({"density": "kde"}, {"share": "even"}, {"uncertainty": "bald"}):
        with pytest.raises(UnknownName):
            DACS(**wrong).propose(random_view(), 1, seeded())
