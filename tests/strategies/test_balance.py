"""BALanCe and Batch-BALanCe: by hand, and against an expectation over every labeling."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.parts.calibration import held_out_log_probs
from autoal.strategies.parts.edges import Edges, cuts, edge_threshold, edges_between, told_apart
from autoal.strategies.uncertainty.balance import Balance
from autoal.strategies.uncertainty.bald import BALD
from autoal.strategies.uncertainty.batch_balance import BatchBalance, cluster_seeds, greedy_cuts
from autoal.strategies.uncertainty.batchbald import BatchBALD
from tests.helpers import fake_view, mc, random_outputs, random_view, seeded

ONE_PAIR = Edges(torch.tensor([0]), 1)


def samples(n=8, classes=3):
    log_probs = random_outputs(n, 3, classes, dtype=torch.float64).require("mc_log_probs") * 0.4
    return log_probs.log_softmax(dim=2)


def brute_force(log_probs_b_K_C: torch.Tensor, edges: Edges) -> float:
    """The paper's formula, word for word: 1/K sum_y p(y) sum_k h_k (1 - prod l l')."""
    probs = log_probs_b_K_C[:, : 2 * edges.pairs].exp()
    ratios, total = probs / probs.amax(dim=2, keepdim=True), 0.0
    for labels in itertools.product(range(probs.shape[2]), repeat=len(probs)):
        likelihood_J = math.prod(probs[i, :, c] for i, c in enumerate(labels))
        ratio_J = math.prod(ratios[i, :, c] for i, c in enumerate(labels))
        cut = sum(1 - float(ratio_J[k] * ratio_J[k + edges.pairs]) for k in edges.left_E.tolist())
        total += float(likelihood_J.mean()) * cut
    return total / edges.pairs


@pytest.mark.parametrize(
    ("pair", "value"),
    [([[0.9, 0.1], [0.1, 0.9]], 8 / 9), ([[0.9, 0.1], [0.9, 0.1]], 0.1 * 80 / 81), ([[1, 0], [0, 1]], 1.0)],
)
def test_one_pair(pair, value):
    assert told_apart(mc(pair), ONE_PAIR).tolist() == pytest.approx([value])
    assert told_apart(mc(pair[::-1]), ONE_PAIR).tolist() == pytest.approx([value])


def test_pairs_that_do_not_count_cut_nothing():
    none, half = Edges(torch.tensor([], dtype=torch.int64), 3), Edges(torch.tensor([1]), 2)
    assert told_apart(samples(), none).tolist() == [0] * 8
    assert float(told_apart(samples(), half).max()) <= 0.5


def test_it_is_the_formula():
    edges = Edges(torch.tensor([0, 2]), 3)
    log_probs = samples()
    values = [brute_force(row[None], edges) for row in log_probs]
    assert told_apart(log_probs, edges).tolist() == pytest.approx(values, abs=1e-12)
    weight = 1 / (6 * 3)
    assert (weight * cuts(log_probs, edges).sum(dim=1)).tolist() == pytest.approx(values, abs=1e-12)


def test_each_step_of_a_batch_takes_the_best_of_all_and_its_value_is_that_over_every_labeling():
    edges = Edges(torch.tensor([0, 2]), 3)
    log_probs = samples()
    single = told_apart(log_probs, edges)
    order = single.argsort(descending=True)
    picks, gains = greedy_cuts(log_probs, edges, single, order, 4)
    for step in range(4):
        chosen = picks[:step].tolist()
        values = {i: brute_force(log_probs[[*chosen, i]], edges) for i in range(8) if i not in chosen}
        assert int(picks[step]) == max(values, key=values.get)
        assert sum(gains[: step + 1]) == pytest.approx(max(values.values()), abs=1e-12)
    assert all(after <= before for before, after in itertools.pairwise(gains))
    assert sum(gains) <= 2 / 3


def test_a_batch_of_one_is_that_of_balance():
    view = random_view(60)
    batches = [made().propose(view, 1, seeded()).indices for made in (Balance, BatchBalance)]
    assert torch.equal(*batches)


def test_a_long_batch_still_tells_points_apart_by_what_little_is_left():
    edges = Edges(torch.tensor([0, 1, 2]), 3)
    log_probs = samples(400)
    single = told_apart(log_probs, edges)
    picks, gains = greedy_cuts(log_probs, edges, single, torch.arange(400), 400)
    assert picks.unique().numel() == 400 and gains[-1] < 1e-25
    assert 1 - sum(gains) < 1e-12


def test_pairs_count_where_they_differ_on_enough_of_the_pool():
    """Of 4 points the three pairs (0, 3), (1, 4), (2, 5) differ on 0, 1 and 3."""
    a, b = [0.9, 0.1], [0.2, 0.8]
    rows = mc([a, a, a, a, b, b], [a, a, a, a, a, b], [a, a, b, a, a, a], [b, b, b, b, b, b])
    counted = {t: edges_between(rows, t).left_E.tolist() for t in (0.0, 0.25, 0.3, 0.75, 0.9)}
    assert counted == {0.0: [1, 2], 0.25: [1, 2], 0.3: [2], 0.75: [2], 0.9: [2]}
    assert edges_between(rows[:, [0, 1, 2, 0, 1, 2, 5]], 0.1) is None  # a seventh sample has no partner
    assert edges_between(rows[:, :1], 0.1) is None


def test_the_threshold_is_a_share_of_the_held_out_error():
    view = random_view(40, 60)
    embeddings, labels = view.labeled.require("embeddings"), view.labels
    log_probs, truth = held_out_log_probs(embeddings, labels, 4)
    error = float((log_probs.argmax(dim=1) != truth).double().mean())
    assert edge_threshold(view, 0.25, "auto") == pytest.approx(error / 4)
    assert edge_threshold(view, 0.25, 0.3) == 0.3
    few = replace(view, labeled=view.labeled[:9], labels=labels[:9])
    assert edge_threshold(few, 0.25, "auto") == 0.05
    assert edge_threshold(replace(view, labels=torch.zeros_like(labels)), 0.25, "auto") == 0.05


def all_agree() -> PoolView:
    """Every sample predicts the first class everywhere."""
    rows = samples(20)
    rows = rows.sort(dim=2, descending=True).values
    return fake_view(mc_log_probs=rows, embeddings=torch.zeros(20, 2))


def test_where_all_pairs_agree_it_is_bald():
    view = all_agree()
    for made, plain in ((Balance, BALD), (BatchBalance, BatchBALD)):
        ours, theirs = (strategy().propose(view, 4, seeded()) for strategy in (made, plain))
        assert torch.equal(ours.indices, theirs.indices)
        torch.testing.assert_close(ours.scores, theirs.scores)


def test_where_nothing_is_left_to_cut_the_rest_is_drawn():
    view = fake_view(mc_log_probs=mc(*[[[1, 0], [0, 1]]] * 30, *[[[1, 0], [1, 0]]] * 30), embeddings=torch.zeros(60, 1))
    batches = [BatchBalance().propose(view, 20, seeded(s)).indices for s in range(3)]
    assert len({tuple(batch.tolist()) for batch in batches}) == 3
    assert all((batch < 30).all() for batch in batches)


def groups_view(each=30):
    """Three groups of points, each cutting the edges of one pair of samples of three."""
    a, b = [0.95, 0.05], [0.05, 0.95]
    kinds = [[a, a, a, b, a, a], [a, a, a, a, b, a], [a, a, a, a, a, b]]
    noise = 0.2 * torch.randn(3 * each, 6, 2, generator=seeded(), dtype=torch.float64)
    rows = (mc(*[kind for kind in kinds for _ in range(each)]) + noise).log_softmax(dim=2)
    return fake_view(mc_log_probs=rows, embeddings=torch.zeros(3 * each, 1)), rows


def test_clustering_takes_one_point_of_each_group_that_cuts_the_same():
    view, rows = groups_view()
    edges = edges_between(rows, 0.05)
    assert edges.left_E.tolist() == [0, 1, 2]
    single = told_apart(rows, edges)
    spread = [set((cluster_seeds(rows, edges, single, 3, seeded(s)) // 30).tolist()) for s in range(10)]
    assert sum(len(groups) == 3 for groups in spread) >= 8
    picks = BatchBalance(greedy_up_to=2).propose(view, 3, seeded(1)).indices
    assert torch.equal(picks, cluster_seeds(rows, edges, single, 3, seeded(1)))


def test_likeness_of_two_points_is_an_inner_product():
    edges, log_probs = Edges(torch.tensor([0, 2]), 3), samples(2)
    alone = [brute_force(row[None], edges) for row in log_probs]
    features = cuts(log_probs, edges)
    likeness = float(features[0] @ features[1]) / (6 * 3)
    assert likeness == pytest.approx(sum(alone) - brute_force(log_probs, edges), abs=1e-12)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_clustering_gives_distinct_points_even_of_copies(count):
    rows = samples(40)[torch.arange(40) % 3]
    edges = Edges(torch.tensor([0, 2]), 3)
    picks = cluster_seeds(rows, edges, told_apart(rows, edges), count, seeded())
    assert picks.unique().numel() == count


@pytest.mark.parametrize("options", [{"rho": 0.0}, {"threshold": "low"}, {"threshold": 1.5}, {"greedy_up_to": -1}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(InvalidInput, match="wanted"):
        BatchBalance(**options).propose(random_view(), 2, seeded())
