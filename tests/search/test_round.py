"""When a round searches anew, and when it waits."""

import pytest
import torch

from autoal.anchor.space import Space
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.search import round as round_module
from autoal.search.bilevel import averaged
from autoal.search.episodes import simulate
from autoal.search.evidence import Evidence, Finding
from autoal.search.round import Memory, learn
from autoal.settings import SearchConfig
from autoal.strategies import resolve_candidates


def searched(memory: Memory, n_labeled: int = 40, fair: torch.Tensor | None = None, **changed) -> bool:
    """Whether a round with so many labels of two classes goes through the search."""
    rng = generator(0, "round")
    x = torch.randn(120, 3, generator=rng)
    log_probs = torch.log_softmax(torch.stack([x[:, 0], -x[:, 0]], dim=1), dim=1)
    pool, labeled = (
        ModelOutputs(log_probs=log_probs[rows], embeddings=x[rows])
        for rows in (slice(n_labeled, None), slice(n_labeled))
    )
    view = PoolView(pool, labeled, (x[:n_labeled, 0] > 0).long(), 2)
    config = SearchConfig(episodes=2, outer_steps=1, **changed)
    found = learn(
        view, Space.of(view, 8, rng), resolve_candidates(["margin", "kcenter"]), memory, config,
        batch_size=5, round=3, seed=0, fair=fair,
    )  # fmt: skip
    waits = "waits" in found.reason or "too few" in found.reason
    assert waits == (found.trace is None)
    assert found.memory.searched_at == (memory.searched_at if found.trace is None else n_labeled)
    return found.trace is not None


def remembered(gain: float, searched_at: int) -> Memory:
    return Memory(evidence=Evidence((Finding(0, gain, 0.01),)), searched_at=searched_at)


@pytest.mark.parametrize(("searched_at", "anew"), [(0, True), (10, True), (11, False), (39, False)])
def test_without_a_promise_of_gain_the_search_waits_for_four_times_as_many_labels(searched_at, anew):
    assert searched(remembered(-0.02, searched_at)) is anew


def test_after_some_promise_of_gain_the_search_waits_for_half_as_many_labels_more():
    assert searched(remembered(0.014, 26)) and not searched(remembered(0.014, 27))
    assert not searched(remembered(0.012, 26))


def test_a_gain_beyond_doubt_is_searched_for_in_every_round():
    assert searched(remembered(0.03, 39))


@pytest.mark.parametrize(("n_labeled", "enough"), [(23, False), (24, True)])
def test_a_round_is_not_simulated_with_fewer_labels_than_two_dozen(n_labeled, enough):
    assert searched(Memory(), n_labeled) is enough


def test_every_round_searches_where_asked_to_or_where_no_gate_would_close():
    assert searched(remembered(-0.02, 39), relearn=1.0)
    assert searched(remembered(-0.02, 39), gate_level=1.0)


def test_what_waits_survives_a_checkpoint():
    memory = remembered(-0.02, 39)
    assert Memory.from_json(memory.to_json()) == memory


@pytest.mark.parametrize(("count", "enough"), [(9, False), (10, True), (40, True)])
def test_labels_that_nobody_chose_judge_alone_where_there_are_enough(monkeypatch, count, enough):
    asked = []

    def simulated(view, space, candidates, config, **rest):
        asked.append((rest["validation_from"], rest["fair"]))
        return simulate(view, space, candidates, config, **rest)

    monkeypatch.setattr(round_module, "simulate", simulated)
    fair = torch.arange(40) < count
    assert searched(Memory(), fair=fair)
    (one, unweighted), (other, _) = asked
    assert not bool((one & other).any())
    assert torch.equal(one | other, fair if enough else torch.ones(40, dtype=torch.bool))
    assert abs(int(one.sum()) - int(other.sum())) <= 1 or not enough
    assert unweighted is enough


@pytest.mark.parametrize(("n_labeled", "share"), [(40, 0.0), (500, 0.0), (1250, 0.5), (2000, 1.0), (9000, 1.0)])
def test_weights_become_a_function_of_the_point_as_labels_grow(n_labeled, share):
    assert round_module.network_share(n_labeled) == share


@pytest.mark.parametrize("few", [True, False])
def test_the_network_of_single_points_learns_where_it_counts_and_nowhere_else(monkeypatch, few):
    if not few:
        monkeypatch.setattr(round_module, "NETWORK_FROM", 10)
    nets = []
    monkeypatch.setattr(round_module, "averaged", lambda both: nets.append(averaged(both)) or nets[-1])
    assert searched(Memory(), gate_level=1.0)
    assert bool(nets[0].second.weight.any()) is not few
