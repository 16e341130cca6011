"""Episodes: nothing of a queried point leaks into its own score, and every loss meets its own point."""

import pytest
import torch
from torch.nn import functional

from autoal.anchor.bandwidth import bandwidth
from autoal.anchor.space import Space
from autoal.errors import InvalidInput
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.search import episodes as module
from autoal.search.episodes import balancing, episode_sizes, importance_weights, simulate, split
from autoal.selectors import AutoAL, RoundState
from autoal.settings import SearchConfig
from autoal.strategies import resolve_candidates
from autoal.strategies.diversity.uncertainty_herding import UncertaintyHerding
from tests.search.planted import Dice, make_world

CONFIG = SearchConfig(value_heads=2)


def make_view(labeled=60, seed=0, world=None):
    world = world or make_world(seed, n=200)
    scale = torch.randn(world.x.shape[1], world.classes, generator=generator(seed, "model"))
    log_probs = functional.log_softmax(world.x @ scale, dim=1)
    outputs = ModelOutputs(log_probs, world.x)
    return PoolView(outputs[labeled:], outputs[:labeled], world.y[:labeled], world.classes)


def run(view, count=3, names=("margin", "entropy", "kcenter", "badge", "bald"), config=CONFIG, **more):
    return simulate(
        view, Space.of(view, 64, generator(0, "space")), resolve_candidates(list(names)), config,
        batch_share=0.1, validation_from=torch.ones(len(view.labels), dtype=torch.bool), count=count, seed=0,
        purpose="test", **more,
    )  # fmt: skip


def test_support_pseudo_pool_and_validation_are_disjoint_and_two_of_each_class_support():
    labels = torch.arange(60) % 5
    allowed = torch.arange(60) % 2 == 0
    for seed in range(20):
        s, p, v = split(labels, 5, (30, 18, 12), allowed, generator(seed, "split"))
        assert len(torch.cat([s, p, v]).unique()) == 60 and (len(s), len(p), len(v)) == (30, 18, 12)
        assert bool(allowed[v].all())
        assert int(torch.bincount(labels[s], minlength=5).min()) >= 2


def test_labels_of_the_queried_part_never_reach_a_candidate_or_a_feature(monkeypatch):
    view = make_view()
    real = run(view)
    members = iter(list(real.members) * 2)
    monkeypatch.setattr(module, "split", lambda *arguments: next(members))
    queried = torch.cat([torch.cat([m[1], m[2]]) for m in real.members[:1]])
    garbage = view.labels.clone()
    garbage[queried] = (garbage[queried] + 1) % view.num_classes
    other = run(PoolView(view.pool, view.labeled, garbage, view.num_classes))
    assert torch.equal(real.ranks[0], other.ranks[0])
    assert torch.equal(real.uncertainty[0], other.uncertainty[0])
    assert torch.equal(real.features[0], other.features[0])
    assert not torch.equal(real.problem.pool_labels[0], other.problem.pool_labels[0])


@pytest.mark.parametrize("point", [0, 3, 7])
def test_a_score_meets_the_loss_of_its_own_point(point):
    made = run(make_view())
    mask = torch.zeros_like(made.uncertainty)
    mask[:, point] = 1.0
    heads = made.heads
    losses = [made.problem.lower_loss(heads, m).detach() for m in (mask, torch.zeros_like(mask))]
    difference = losses[0] - losses[1]
    for e, (_, pool, _) in enumerate(made.members):
        j = int(pool[point])
        logits = heads(made.problem.pool)[e, point].detach()
        view = make_view()
        own = functional.cross_entropy(logits[None], view.labels[j][None])
        assert abs(float(difference[e] - own)) < 1e-4
        assert torch.allclose(made.problem.pool[e, point, :-1], Space.of(view, 64, generator(0, "space")).labeled[j])


def test_each_candidate_is_called_once_for_each_split_and_once_on_the_pool():
    calls = []

    class Counting(Dice):
        def _propose(self, view, batch_size, rng):
            calls.append((self.tag, len(view)))
            return super()._propose(view, batch_size, rng)

    world = make_world(0, n=200)
    members = [(f"dice{i}", Counting(world, i)) for i in range(3)]
    view = make_view(world=world)
    selector = AutoAL(members, search={"episodes": 6, "outer_steps": 3, "gate_level": 1.0})
    selector.select(RoundState(view, 0, 0, torch.arange(140), torch.arange(140, 200)), 10)
    assert sorted(calls).count((0, 140)) == 1 and len([c for c in calls if c[0] == 0]) == 1 + 6


def test_a_candidate_sees_labeled_points_of_the_support_only():
    sizes = []

    class Watching(Dice):
        def _propose(self, view, batch_size, rng):
            sizes.append((len(view.labels), len(view.labeled), len(view)))
            return super()._propose(view, batch_size, rng)

    view = make_view()
    simulate(
        view, Space.of(view, 64, generator(0, "space")), [("w", Watching())], CONFIG,
        batch_share=0.1, validation_from=torch.ones(60, dtype=torch.bool), count=2, seed=0, purpose="test",
    )  # fmt: skip
    s, p, _ = episode_sizes(60, CONFIG)
    assert set(sizes) == {(s, s, p)}


def test_importance_weights_are_one_where_labels_are_a_fair_sample_and_follow_the_pool_where_not():
    rng = generator(0, "weights")
    pool = torch.randn(800, 2, generator=rng)
    fair = importance_weights(torch.randn(100, 2, generator=rng), pool, generator(1, "w"))
    assert abs(float(fair.mean()) - 1) < 1e-5 and float(fair.std()) < 0.5
    shifted = torch.randn(100, 2, generator=rng) + torch.tensor([1.5, 0.0])
    weights = importance_weights(shifted, pool, generator(1, "w"))
    assert torch.corrcoef(torch.stack([weights, shifted[:, 0]]))[0, 1] < -0.5


def test_balanced_judges_weigh_each_class_alike():
    view = make_view(labeled=80)
    problem = run(view, config=CONFIG.model_copy(update={"upper": "balanced", "importance": False})).problem
    assert torch.allclose(problem.validation_weights.sum(1), torch.ones(3))
    counts = torch.bincount(view.labels)
    for labels, weights in zip(problem.validation_labels, problem.validation_weights, strict=True):
        ratio = weights * counts[labels]
        assert torch.allclose(ratio, ratio[:1].expand_as(ratio))
    with pytest.raises(InvalidInput, match="balanced"):
        balancing(torch.rand(5), 0)


def test_picks_are_the_indicators_of_the_paper():
    episodes = run(make_view(), config=CONFIG.model_copy(update={"evidence": "picks"}))
    batch = episodes.problem.batch
    for e, row in enumerate(episodes.proposals):
        for k, proposal in enumerate(row):
            assert episodes.ranks[e, :, k].nonzero().flatten().tolist() == sorted(proposal.indices[:batch].tolist())
    assert set(episodes.ranks.unique().tolist()) == {0.0, 1.0}


def test_with_one_candidate_and_the_whole_pool_the_batch_is_that_of_uncertainty_herding():
    view = make_view(labeled=80)
    strategy = UncertaintyHerding(temperature=1.0)
    state = RoundState(view, 0, 0, torch.arange(120), torch.arange(120, 200))
    chosen = AutoAL([strategy], search={"proposals": "pool", "value_heads": 0, "bandwidth": "labeled"}).select(
        state, 12
    )
    alone = strategy.propose(view, 12, generator(0, "alone"))
    assert sorted(chosen.positions.tolist()) == sorted(alone.indices.tolist())
    assert "nothing to weigh" in chosen.diagnostics["gate"]["reason"]


def test_the_bandwidth_is_what_a_fifth_of_the_labeled_points_undercut_and_copies_do_not_count():
    angles = torch.tensor([0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
    points = torch.stack([angles.cos(), angles.sin()], dim=1)
    gaps = torch.tensor([0.1, 0.1, 0.2, 0.3, 0.4, 0.5])  # to the nearer neighbor, along the circle
    chords = 2 * (gaps / 2).sin()
    assert bandwidth(points, points, SearchConfig(), 3) == pytest.approx(float(chords.quantile(0.2)), rel=1e-5)
    copied = torch.cat([points, points])
    assert bandwidth(copied, points, SearchConfig(), 3) == pytest.approx(float(chords.quantile(0.2)), rel=1e-4)
    assert bandwidth(points[:1], points, SearchConfig(), 3) == 1.0
