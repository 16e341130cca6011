"""From values to a batch: what each way of composing takes, against exhaustive search."""

import itertools

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from autoal import AutoAL
from autoal.errors import InvalidInput
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.search.compose import compose_pool
from autoal.search.space import Space, coverage_rows


def pool(n: int = 12, seed: int = 0):
    rng = generator(seed, "compose")
    rows = torch.nn.functional.normalize(torch.randn(n, 4, generator=rng), dim=1)
    return torch.rand(n, generator=rng).log(), rows


def composed(how: str, log_value, rows, b: int, **changed):
    settings = {"bandwidth": 0.8, "candidates": None, "prices": None, "seed": 0, **changed}
    return compose_pool(log_value, rows, rows[:0], b, how=how, **settings).tolist()


def test_top_takes_the_highest_values_among_the_candidates():
    log_value, rows = pool()
    assert composed("top", log_value, rows, 3) == log_value.topk(3).indices.tolist()
    among = torch.tensor([2, 3, 5, 7])
    expected = among[log_value[among].topk(3).indices].tolist()
    assert composed("top", log_value, rows, 3, candidates=among) == expected


def test_dpp_multiplies_the_determinant_most_at_every_pick():
    log_value, rows = pool()
    weighted = log_value.exp()[:, None].double() * rows.double()
    kernel = weighted @ weighted.T
    picks = composed("dpp", log_value, rows, 3)
    for t in range(3):
        dets = [float(torch.linalg.det(kernel[s][:, s])) if j not in picks[:t] else -1.0
                for j in range(12) for s in [[*picks[:t], j]]]  # fmt: skip
        assert dets[picks[t]] == pytest.approx(max(dets))


def test_dpp_goes_on_with_the_highest_values_where_the_rank_is_used_up():
    log_value, rows = pool()
    picks = composed("dpp", log_value, rows, 7)
    assert len(set(picks)) == 7
    rest = [i for i in log_value.argsort(descending=True).tolist() if i not in picks[:4]]
    assert picks[4:] == rest[:3]


def test_coverage_is_within_the_greedy_bound_of_the_best_batch():
    log_value, rows = pool()
    value = (log_value - log_value.amax()).exp().double()
    kernel = torch.exp(-torch.cdist(rows, rows).double().square() / 0.8**2)

    def covered(batch) -> float:
        return float(kernel[:, list(batch)].amax(1) @ value)

    best = max(covered(batch) for batch in itertools.combinations(range(12), 3))
    assert covered(composed("coverage", log_value, rows, 3)) >= (1 - 1 / torch.e) * best


@pytest.mark.parametrize("how", ["top", "dpp"])
def test_costs_are_refused_where_they_would_be_ignored(how):
    log_value, rows = pool()
    with pytest.raises(InvalidInput, match="wanted composition='coverage'"):
        composed(how, log_value, rows, 3, prices=torch.ones(12))


@pytest.mark.parametrize(
    "search", [{"composition": "variance"}, {"composition": "top"}, {"composition": "dpp"}, {"space": "centred"}]
)
def test_each_switch_is_a_setting_of_autoal(search):
    rows = pool(60)[1]
    y = (rows[:, 0] > 0).long()
    y[20:] = -1
    picked = AutoAL(
        ["margin", "kcenter"], model=LogisticRegression(), random_state=0, search={"outer_steps": 0, **search}
    ).fit_query((rows + 0.5).numpy(), y.numpy(), batch_size=5)
    assert len(set(picked.indices.tolist())) == 5
    assert min(picked.indices) >= 20


@pytest.mark.parametrize(("width", "apart"), [(2, True), (3, True), (4, False), (30, False)])
def test_points_on_one_ray_are_apart_in_few_dimensions_only(width, apart):
    rng = generator(0, "ray")
    x = torch.randn(50, width, generator=rng)
    x[1] = 3 * x[0]
    sides = [ModelOutputs(embeddings=x[rows]) for rows in (slice(40), slice(40, 50))]
    view = PoolView(*sides, torch.arange(10) % 2, 2)
    pool, labeled = coverage_rows(view, Space.of(view, 64, rng), "embedding")
    assert torch.allclose(torch.cat([pool, labeled]).norm(dim=1), torch.ones(50))
    assert (float((pool[0] - pool[1]).norm()) > 0.1) is apart
    assert len(labeled) == 10
