"""What strategies learn from points that the oracle turned away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from autoal.errors import InvalidInput
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import numpy_rng
from autoal.strategies import CANDIDATES
from autoal.strategies.open_set.eoal import first_neighbour_clusters
from autoal.strategies.open_set.lfosa import LfOSA, upper_component
from autoal.strategies.open_set.mqnet import MonotoneScore, MQNet
from autoal.strategies.open_set.similar import Similar
from autoal.strategies.parts.rejected import cross_entropy_head, one_vs_all_heads
from tests.helpers import seeded

WIDTH = 6
RIVALS = ["mqnet", "lfosa", "similar", "eoal"]
QUICK = {"mqnet": {"steps": 300, "learning_rate": 1e-2}}


def outputs(points: torch.Tensor) -> ModelOutputs:
    """A model that knows the classes at -3 and 3 of the first axis, and is unsure between them."""
    return ModelOutputs(log_probs=torch.stack([-points[:, 0], points[:, 0]], dim=1).log_softmax(1), embeddings=points)


def open_set(seed: int = 0, rejected: int = 20) -> PoolView:
    """Pool: 0..39 of the two known classes, 40..79 of a third kind between them and off their line."""
    made = torch.randn(120 + rejected, WIDTH, generator=seeded(seed), dtype=torch.float64)
    made[0:80:2, 0] += 3
    made[1:80:2, 0] -= 3
    made[80:, 1] += 5
    known, unknown = made[:80], made[80:]
    return PoolView(
        outputs(torch.cat([known[:40], unknown[:40]])),
        outputs(known[40:]),
        torch.tensor([1, 0]).repeat(20),
        2,
        rejected=outputs(unknown[40:]) if rejected else None,
    )


@pytest.mark.parametrize("name", RIVALS)
def test_few_of_the_batch_are_of_the_kind_that_was_turned_away(name):
    picks = CANDIDATES[name](**QUICK.get(name, {})).propose(open_set(), 20, seeded()).indices
    assert int((picks >= 40).sum()) <= 2, name


@pytest.mark.parametrize("name", RIVALS)
def test_rejected_points_without_the_fields_needed_are_as_none(name):
    view = open_set()
    blind = replace(view, rejected=ModelOutputs(inputs=torch.ones(20, 3)))
    without = replace(view, rejected=None)
    strategy = CANDIDATES[name](**QUICK.get(name, {}))
    assert torch.equal(strategy.propose(blind, 9, seeded()).indices, strategy.propose(without, 9, seeded()).indices)


@pytest.mark.parametrize("name", RIVALS)
def test_extremes_with_rejected_points(name):
    view = open_set()
    for count in (1, 2, 20):
        for size in (0.0, 1e-30, 1.0, 1e30):
            part = replace(
                view,
                pool=replace(view.pool, embeddings=view.pool.require("embeddings") * size),
                rejected=view.rejected[:count],
            )
            for labeled in (0, 1, 40):
                some = replace(part, labeled=view.labeled[:labeled], labels=view.labels[:labeled])
                picks, scores = CANDIDATES[name](**QUICK.get(name, {})).propose(some, 80, seeded())
                assert picks.unique().numel() == 80 and not scores.isnan().any()


def test_the_softmax_head_is_logistic_regression():
    points = torch.randn(80, 4, generator=seeded(), dtype=torch.float64)
    targets = torch.arange(80) % 3
    points[:, 0] += targets
    head = cross_entropy_head(points, targets, 3)
    features = head.features(points)[:, :-1].numpy()
    peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(features, targets.numpy())
    np.testing.assert_allclose(head(points).softmax(1).numpy(), peer.predict_proba(features), atol=1e-4)


def test_one_vs_all_heads_are_sure_of_known_points_and_unsure_of_rejected_ones():
    view = open_set()
    known, unknown = view.labeled.require("embeddings"), view.rejected.require("embeddings")
    heads = one_vs_all_heads(known, view.labels, unknown, 2, 0.8)
    probs = heads(known).sigmoid()
    assert (probs.argmax(1) == view.labels).all()

    def doubt(rows: torch.Tensor) -> float:
        p = heads(rows).sigmoid()
        return float(-(p * p.log() + (1 - p) * (1 - p).log()).mean())

    assert doubt(unknown) > 1.3 * doubt(known)


def test_the_monotone_score_never_falls_and_learns_its_pairs():
    inputs = numpy_rng(0, "points").uniform(0, 3, (200, 2))
    targets = inputs[:, 0] * (inputs[:, 1] > 1)
    net = MonotoneScore().fit(inputs, targets, 3_000, 1e-2)
    grid = np.linspace(0, 4, 20)
    scores = net(np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)).reshape(20, 20)
    assert (np.diff(scores, axis=0) >= -1e-12).all() and (np.diff(scores, axis=1) >= -1e-12).all()
    left, right = np.triu_indices(200, 1)
    apart = np.abs(targets[left] - targets[right]) > 0.5
    agree = (net(inputs)[left] - net(inputs)[right]) * (targets[left] - targets[right]) > 0
    assert agree[apart].mean() > 0.9


def test_the_first_round_of_mqnet_is_the_sum_of_both():
    view = open_set(rejected=0)
    unit = torch.nn.functional.normalize
    pure = (unit(view.pool.require("embeddings")) @ unit(view.labeled.require("embeddings")).T).amax(1)
    doubt = 1 - view.pool.require("log_probs").exp().amax(1)
    both = sum(((x - x.mean()) / x.std(correction=0)).exp() for x in (pure, doubt))
    torch.testing.assert_close(MQNet().propose(view, 3, seeded()).scores, both)


def test_the_upper_component_by_hand():
    values = torch.tensor([0.0, 0.1, 0.05, 5.0, 5.1, 4.9], dtype=torch.float64)
    odds = upper_component(values)
    assert (odds[:3] < 0).all() and (odds[3:] > 0).all()
    assert upper_component(torch.ones(4)).tolist() == [0.0] * 4
    assert upper_component(torch.ones(1)).tolist() == [0.0]


def test_lfosa_puts_what_it_takes_for_unknown_last():
    view = open_set()
    scores = LfOSA().propose(view, 1, seeded()).scores
    assert float((scores == scores.min()).double()[40:].mean()) > 0.8
    with pytest.raises(InvalidInput, match="temperature=0"):
        LfOSA(0).propose(view, 1, seeded())


@pytest.mark.parametrize("rejected", [0, 20])
def test_similar_is_the_plain_greedy_of_its_formula(rejected):
    view = open_set(rejected=rejected)
    pool, known, unknown = Similar()._gradients(view)

    def alike(left, right) -> torch.Tensor:
        return ((left[0] @ right[0].T) * (left[1] @ right[1].T)).clamp(min=0)

    to_pool, to_known = alike(pool, pool), alike(pool, known).amax(1)
    to_unknown = alike(pool, unknown).amax(1) if rejected else torch.zeros(80, dtype=torch.float64)

    def value(batch: list[int]) -> float:
        return float((torch.minimum(to_pool[:, batch].amax(1), to_known) - to_unknown).clamp(min=0).sum())

    batch: list[int] = []
    for pick in Similar().propose(view, 6, seeded()).indices.tolist():
        best = max(value([*batch, i]) for i in range(80))
        batch.append(pick)
        assert value(batch) >= best - 1e-4
    with pytest.raises(InvalidInput, match="eta=0"):
        Similar(eta=0).propose(view, 1, seeded())


def test_first_neighbours_join_until_few_enough_are_left():
    points = torch.tensor([[0.0], [1.0], [10.0], [11.0], [30.0], [32.0]])
    assert first_neighbour_clusters(points, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert first_neighbour_clusters(points, 2).tolist() == [0, 0, 0, 0, 1, 1]
    assert first_neighbour_clusters(points, 1).tolist() == [0] * 6
    assert first_neighbour_clusters(points, 5).tolist() == [0, 0, 1, 2, 3, 4]
