import pytest
import torch

from autoal.errors import InvalidInput, PoolExhausted
from autoal.rng import generator
from autoal.strategies.parts import coverage
from autoal.strategies.parts.coverage import greedy_coverage, smallest_labeled_distance
from tests.helpers import seeded


def brute_force(points, weights, covered, count, bandwidth, candidates=None, prices=None):
    """Plain greedy with every similarity at once."""
    kernel = (-(torch.cdist(points, points) / bandwidth).square()).exp()
    best = torch.zeros(len(points), dtype=torch.float64)
    if len(covered):
        best = (-(torch.cdist(points, covered) / bandwidth).square()).exp().amax(1)
    candidates = range(len(points)) if candidates is None else candidates.tolist()
    picks, gains = [], []
    for _ in range(count):
        gain = {j: float(weights @ (kernel[:, j] - best).clamp(min=0)) for j in candidates if j not in picks}
        pick = max(gain, key=lambda j: gain[j] / (1 if prices is None else float(prices[j])))
        picks.append(pick)
        gains.append(gain[pick])
        best = torch.maximum(best, kernel[:, pick])
    return picks, gains


@pytest.mark.parametrize(("block", "small"), [(4, 0), (4096, 0), (4096, 2**18)])
@pytest.mark.parametrize("seed", range(10))
def test_lazy_is_plain_greedy(seed, block, small, monkeypatch):
    monkeypatch.setattr(coverage, "BLOCK", block)
    monkeypatch.setattr(coverage, "SMALL", small)
    made = generator(seed)
    points = torch.randn(120, 3, generator=made, dtype=torch.float64)
    weights = torch.rand(120, generator=made, dtype=torch.float64) ** 3
    covered = torch.randn(seed % 4, 3, generator=made, dtype=torch.float64)
    prices = 0.5 + torch.rand(120, generator=made, dtype=torch.float64) if seed % 3 == 0 else None
    candidates = torch.randperm(120, generator=made)[:70] if seed % 2 else None
    bandwidth = (0.05, 0.5, 2.0)[seed % 3]
    picks, gains, first = greedy_coverage(
        points,
        weights,
        covered,
        20,
        bandwidth=bandwidth,
        normalise=False,
        candidates=candidates,
        prices_N=prices,
        rng=seeded(),
    )
    expected, values = brute_force(points, weights, covered, 20, bandwidth, candidates, prices)
    assert picks.tolist() == expected
    assert gains.tolist() == pytest.approx(values, rel=2e-3, abs=1e-5)
    assert len(first) == (120 if candidates is None else 70)


def test_by_hand():
    """Three points in a row: the middle one covers most, then the ends in either order."""
    points = torch.tensor([[-1.0, 0], [0, 0], [1, 0]])
    picks, gains, first = greedy_coverage(points, torch.ones(3), None, 3, bandwidth=1, normalise=False, rng=seeded())
    e = torch.tensor(-1.0).exp()
    assert picks[0] == 1 and set(picks.tolist()) == {0, 1, 2}
    assert gains.tolist() == pytest.approx([float(1 + 2 * e), float(1 - e), float(1 - e)])
    assert first[1] == gains[0]


def test_a_narrow_kernel_takes_the_heaviest_points():
    points = torch.randn(50, 4, generator=seeded())
    weights = torch.rand(50, generator=seeded(1))
    picks = greedy_coverage(points, weights, None, 10, bandwidth=1e-3, rng=seeded())[0]
    assert picks.tolist() == weights.argsort(descending=True)[:10].tolist()


def test_a_narrow_kernel_sees_neighbours_that_single_precision_does_not():
    base = torch.randn(30, 8, generator=seeded(), dtype=torch.float64)
    near = base + 1e-4 * torch.randn(30, 8, generator=seeded(1), dtype=torch.float64)
    points = torch.cat([base, near])
    expected, _ = brute_force(points, torch.ones(60).double(), base[:0], 30, 1e-3)
    picks = greedy_coverage(points, torch.ones(60), None, 30, bandwidth=1e-3, normalise=False, rng=seeded())[0]
    assert len({pick % 30 for pick in picks.tolist()}) == len({pick % 30 for pick in expected}) == 30


def test_copies_wait_for_all_others():
    distinct = torch.randn(12, 3, generator=seeded())
    points = distinct.repeat(5, 1)
    for bandwidth in (0.01, 0.3, 3.0):
        picks, gains, _ = greedy_coverage(points, torch.ones(60), None, 15, bandwidth=bandwidth, rng=seeded())
        assert len({pick % 12 for pick in picks[:12].tolist()}) == 12
        assert (gains[12:] == 0).all() and picks.unique().numel() == 15


def test_copies_of_covered_points_come_last():
    points = torch.randn(30, 3, generator=seeded())
    picks, _, first = greedy_coverage(points, torch.ones(30), points[:20], 10, bandwidth=0.5, rng=seeded())
    assert set(picks.tolist()) == set(range(20, 30))
    assert (first[:20] == 0).all()


def test_without_any_gain_it_goes_farthest_first():
    points = torch.tensor([[0.0], [1], [2], [50], [101]])
    picks, gains, _ = greedy_coverage(
        points, torch.tensor([1.0, 0, 0, 0, 0]), None, 3, bandwidth=0.1, normalise=False, rng=seeded()
    )
    assert picks.tolist() == [0, 4, 3] and gains[1:].tolist() == [0, 0]


def test_all_points_equal_are_taken_in_random_order():
    orders = {
        tuple(greedy_coverage(torch.ones(6, 2), torch.ones(6), None, 6, bandwidth=1, rng=seeded(s))[0].tolist())
        for s in range(6)
    }
    assert len(orders) > 1 and all(sorted(order) == list(range(6)) for order in orders)


def test_symmetric_ties_are_broken_by_the_generator():
    points = torch.eye(6)
    firsts = {int(greedy_coverage(points, torch.ones(6), None, 1, bandwidth=1, rng=seeded(s))[0]) for s in range(20)}
    assert len(firsts) > 2


def test_greedy_is_at_least_the_guaranteed_share_of_the_best_pair():
    points = torch.randn(14, 2, generator=seeded(3), dtype=torch.float64)
    kernel = (-torch.cdist(points, points).square()).exp()
    best = max(float(torch.maximum(kernel[i], kernel[j]).sum()) for i in range(14) for j in range(i))
    gains = greedy_coverage(points, torch.ones(14), None, 2, bandwidth=1, normalise=False, rng=seeded())[1]
    assert (1 - 1 / torch.e) * best <= float(gains.sum()) <= best * (1 + 1e-6)


def test_evaluation_points_are_those_asked_for():
    points = torch.tensor([[0.0], [5], [10]])
    picks = greedy_coverage(
        points, torch.ones(3), None, 1, bandwidth=1, normalise=False, evaluation=torch.tensor([2]), rng=seeded()
    )[0]
    assert picks.tolist() == [2]


def test_a_large_pool_is_measured_on_a_sample(monkeypatch):
    monkeypatch.setattr(coverage, "MAX_EVALUATION", 100)
    points = torch.randn(2000, 4, generator=seeded())
    full = greedy_coverage(points, torch.ones(2000), None, 5, bandwidth=1, evaluation=torch.arange(2000), rng=seeded())
    sampled = greedy_coverage(points, torch.ones(2000), None, 5, bandwidth=1, rng=seeded())
    assert sampled[1].sum() * 20 == pytest.approx(float(full[1].sum()), rel=0.15)


def test_nothing_given_changes():
    points, weights = torch.randn(20, 3, generator=seeded()), torch.rand(20, generator=seeded())
    kept = points.clone(), weights.clone()
    greedy_coverage(points, weights, points[:3], 4, bandwidth=1, rng=seeded())
    assert torch.equal(points, kept[0]) and torch.equal(weights, kept[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"weights_N": -torch.ones(5)}, "weights must be"),
        ({"weights_N": torch.full((5,), torch.nan)}, "weights must be"),
        ({"weights_N": torch.ones(4)}, r"wanted \(5,\)"),
        ({"prices_N": torch.zeros(5)}, "price 0"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_used_is_refused(change, message):
    given = {"weights_N": torch.ones(5), "batch_size": 2, "bandwidth": 1.0, **change}
    weights, batch_size = given.pop("weights_N"), given.pop("batch_size")
    with pytest.raises(InvalidInput, match=message):
        greedy_coverage(torch.randn(5, 2, generator=seeded()), weights, None, batch_size, rng=seeded(), **given)


def test_more_than_the_candidates_is_refused():
    with pytest.raises(PoolExhausted):
        greedy_coverage(
            torch.eye(5), torch.ones(5), None, 3, bandwidth=1, candidates=torch.tensor([1, 2]), rng=seeded()
        )


def test_smallest_labeled_distance():
    assert smallest_labeled_distance(torch.tensor([[1.0, 0], [2, 0], [0, 1], [0.6, 0.8]])) == pytest.approx(0.4**0.5)
    raw = torch.tensor([[0.0], [0.0], [3.0], [5.0]])
    assert smallest_labeled_distance(raw, normalise=False) == pytest.approx(2)


@pytest.mark.parametrize("rows", [torch.zeros(0, 2), torch.ones(1, 2), torch.ones(7, 2), torch.zeros(3, 2)])
def test_smallest_labeled_distance_where_there_is_none(rows):
    assert smallest_labeled_distance(rows) == 1.0


def test_smallest_labeled_distance_is_at_least_a_thousandth():
    assert smallest_labeled_distance(torch.tensor([[1.0, 0], [1.0, 1e-5]])) == 1e-3


def test_smallest_labeled_distance_of_many_rows_is_repeatable():
    rows = torch.randn(300, 3, generator=seeded())
    assert smallest_labeled_distance(rows, most=100) == smallest_labeled_distance(rows, most=100)
    assert smallest_labeled_distance(rows, most=100) >= smallest_labeled_distance(rows)
