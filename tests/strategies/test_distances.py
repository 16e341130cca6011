import pytest
import torch

from autoal.strategies.parts.distances import (
    centred,
    farthest_first,
    kmeans,
    mean_neighbour_distance,
    nearest_centre,
    plus_plus,
    squared_distances,
    unit_rows,
)
from tests.helpers import seeded


def points(n: int, width: int = 3, seed: int = 0) -> torch.Tensor:
    return centred(torch.randn(n, width, generator=seeded(seed)))[0]


def plain_farthest_first(x: torch.Tensor, nearest: torch.Tensor, count: int) -> list[int]:
    picks = []
    for _ in range(count):
        picks.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (x - x[picks[-1]]).square().sum(1))
        nearest[picks] = -1
    return picks


def test_centring_keeps_digits_far_from_the_origin():
    x = torch.randn(20, 4, generator=seeded(), dtype=torch.float64)
    (moved,) = centred(x + 1e6)
    expected = torch.cdist(x, x).square().float()
    torch.testing.assert_close(squared_distances(moved, moved), expected, atol=1e-4, rtol=1e-4)


def test_copies_are_at_distance_zero():
    x = points(30).repeat(2, 1)
    assert (squared_distances(x, x).diagonal(30) == 0).all()
    assert (nearest_centre(x[30:], x[:30])[0] == 0).all()


def test_nearest_of_no_centre_is_infinitely_far():
    assert nearest_centre(points(3), torch.zeros(0, 3))[0].tolist() == [torch.inf] * 3


def test_unit_rows_of_zero_and_tiny_rows():
    rows = unit_rows(torch.tensor([[0.0, 0.0], [3e-30, 4e-30], [3e30, 4e30]]))
    torch.testing.assert_close(rows, torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.6, 0.8]]))


@pytest.mark.parametrize("block", [1, 8, 64, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_farthest_first_in_blocks_is_the_plain_loop(block, seed):
    x = points(200, seed=seed)
    nearest = nearest_centre(x, x[:3])[0].index_fill(0, torch.arange(3), -1)
    picks = farthest_first(x, nearest, 60, seeded(), block).tolist()
    assert picks == plain_farthest_first(x.double(), nearest.double(), 60)


def test_farthest_first_on_a_grid_breaks_ties_by_the_generator_and_stays_greedy():
    x = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)) - 3.5
    for seed in range(5):
        picks = farthest_first(x, torch.full((64,), torch.inf), 20, seeded(seed), block=8)
        nearest = torch.full((64,), torch.inf)
        for pick in picks:
            assert nearest[pick] == nearest.max()
            nearest = torch.minimum(nearest, (x - x[pick]).square().sum(1))


@pytest.mark.parametrize("draws", [1, 3, 64])
def test_d2_sampling_has_the_exact_distribution(draws):
    """Ordered pairs after a fixed first pick, against the products of the two exact probabilities."""
    x = torch.tensor([[0.0], [1.0], [2.0], [4.0], [7.0]])

    def distances(rows, picks):
        return (x[rows] - x[picks].T).square()

    start = distances(slice(None), torch.tensor([0]))[:, 0]
    expected = torch.zeros(5, 5, dtype=torch.float64)
    for i in range(1, 5):
        after = torch.minimum(start, (x[:, 0] - x[i]).square()).double()
        expected[i] = start[i].double() / start.sum() * after / after.sum()
    counts, repetitions = torch.zeros(5, 5, dtype=torch.float64), 2000
    rng = seeded()
    for _ in range(repetitions):
        i, j = plus_plus(distances, start, 2, rng, taken=torch.tensor([0]), draws=draws).tolist()
        counts[i, j] += 1
    possible = expected > 0
    assert counts[~possible].sum() == 0
    chi = ((counts - repetitions * expected).square() / (repetitions * expected))[possible].sum()
    assert chi < 31.3  # 0.999 quantile of chi-square with eleven degrees of freedom


def test_d2_sampling_fills_evenly_once_all_weights_are_zero():
    x = torch.tensor([[0.0], [0.0], [0.0], [5.0]])

    def distances(rows, picks):
        return (x[rows] - x[picks].T).square()

    picks = plus_plus(distances, x[:, 0] ** 2, 3, seeded(), taken=torch.tensor([0])).tolist()
    assert picks[0] == 3 and set(picks) == {1, 2, 3}


@pytest.mark.parametrize("mini_batch", [False, True])
def test_kmeans_finds_far_blobs(mini_batch):
    blobs = torch.eye(4).repeat_interleave(3000, 0) * 100
    (x,) = centred(blobs + torch.randn(12_000, 4, generator=seeded()))
    centres, squared, assigned = kmeans(x, 4, seeded(1), mini_batch=mini_batch)
    assert sorted(torch.bincount(assigned).tolist()) == [3000] * 4
    torch.testing.assert_close(squared.mean(), torch.tensor(4.0), rtol=0.05, atol=0)
    torch.testing.assert_close(centres[assigned[0]], x[:3000].mean(0), rtol=0, atol=0.5)


def test_kmeans_of_equal_points():
    _, squared, assigned = kmeans(torch.zeros(6, 2), 4, seeded())
    assert (squared == 0).all() and assigned.max() < 4


def test_mean_neighbour_distance_leaves_out_the_point_itself():
    x = torch.tensor([[0.0], [1.0], [3.0]])
    assert mean_neighbour_distance(x, 2).tolist() == pytest.approx([2, 1.5, 2.5])
    assert mean_neighbour_distance(x, 2, squared=True).tolist() == pytest.approx([5, 2.5, 6.5])
