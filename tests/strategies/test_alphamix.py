"""AlfaMix against the loop over points, classes and features, and against the distance to the boundary."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.outputs import ModelOutputs
from autoal.strategies.diversity.alphamix import AlphaMix, class_means, flipped_at
from autoal.strategies.diversity.kmeans import clustered_picks
from tests.helpers import fake_view, seeded
from tests.strategies.test_last_layer import layer


def slow_flips(embeddings, weights, bias, means, level, clamp) -> list[bool]:
    """Whether each point's class changes at this level, ratio by ratio."""
    flips = []
    for z in embeddings:
        logits = weights @ z + bias
        predicted = int(logits.argmax())
        slope = logits.softmax(dim=0)
        slope[predicted] -= 1
        g = weights.T @ slope
        flipped = False
        for mean in means:
            v = mean - z
            e = level / math.sqrt(len(z))
            a = e * v.norm() / g.norm() * g / v
            if clamp:
                a = a.clamp(0, level)
            mixed = (1 - a) * z + a * mean
            flipped |= int((weights @ mixed + bias).argmax()) != predicted
        flips.append(flipped)
    return flips


@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("batch_size", [2, 10, 25])
def test_the_slow_loop(clamp, batch_size):
    embeddings, weights, log_probs = layer(60, 5, classes=4, seed=5)
    labeled, _, _ = layer(9, 5, seed=6)
    labels = [0, 1, 0, 1, 3, 3, 0, 1, 3]  # none of class 2
    bias = (log_probs - embeddings @ weights.T).mean(dim=0)
    means = [labeled[torch.tensor(labels) == c].mean(dim=0) if c in labels else labeled.mean(dim=0) for c in range(4)]
    flipped, levels = torch.zeros(60, dtype=torch.bool), [0.2, 0.4, 0.6, 0.8, 1.0]
    for level in levels:
        flipped |= torch.tensor(slow_flips(embeddings, weights, bias, means, level, clamp))
        if int(flipped.sum()) > batch_size:
            break
    view = fake_view(log_probs, embeddings, labeled=labeled, labels=labels)
    picks = AlphaMix(clamp=clamp).propose(view, batch_size, seeded(2)).indices
    assert picks.tolist() == clustered_picks(embeddings, flipped.nonzero().flatten(), batch_size, seeded(2)).tolist()
    assert 0 < int(flipped.sum()) < 60


def test_two_classes_flip_where_the_move_is_as_long_as_the_way_to_the_boundary():
    embeddings, weights, log_probs = layer(40, 3, classes=2, seed=1)
    mean = embeddings.mean(dim=0) + 9
    across = weights[0] - weights[1]
    distance = (log_probs[:, 0] - log_probs[:, 1]).abs() / across.norm()
    length = (mean - embeddings).norm(dim=1)
    needed = distance * math.sqrt(3) / length
    for level in (0.05, 0.2, 0.5, 1.0):
        flipped = flipped_at(log_probs, embeddings, weights, mean[None], level, clamp=False)
        assert flipped.tolist() == (needed < level).tolist()
    assert 0 < int((needed < 0.5).sum()) < 40


def test_the_set_grows_with_the_level_and_a_clamped_mix_stays_on_the_way():
    embeddings, weights, log_probs = layer(200, 4, classes=3, seed=2)
    means = torch.randn(3, 4, generator=seeded(), dtype=torch.float64) + 2
    for clamp in (True, False):
        sets = [flipped_at(log_probs, embeddings, weights, means, level, clamp) for level in (0.1, 0.3, 0.6, 1.0)]
        assert all(bool((small <= large).all()) for small, large in itertools.pairwise(sets))
    # Mixed with itself a point stays where it is.
    own = [flipped_at(log_probs[[i]], embeddings[[i]], weights, embeddings[[i]], 1.0, True) for i in range(20)]
    assert not any(bool(flips) for flips in own)


def test_the_mean_of_a_class_and_that_of_all_where_it_has_no_label():
    rows = torch.tensor([[0.0, 2.0], [4.0, 6.0], [8.0, 1.0]])
    assert class_means(rows, torch.tensor([2, 2, 0]), 3).tolist() == [[8.0, 1.0], [4.0, 3.0], [2.0, 4.0]]


def test_points_near_the_boundary_are_asked_for():
    # One feature decides; labels lie far out on both sides.
    first = torch.tensor([-9.0, -8.0, -7.0, -0.3, 0.2, 0.4, 7.0, 8.0, 9.0, 10.0])
    points = torch.stack([first, torch.linspace(-1, 1, 10)], dim=1)
    log_probs = torch.stack([-first, first], dim=1).double().log_softmax(dim=1)
    view = fake_view(log_probs, points, labeled=torch.tensor([[-10.0, 0.0], [10.0, 0.0]]), labels=[0, 1])
    picks, scores = AlphaMix(step=0.1).propose(view, 2, seeded())
    assert set(picks.tolist()) < {3, 4, 5}
    assert set(scores.argsort(descending=True)[:3].tolist()) == {3, 4, 5}


def test_certain_points_do_not_move_and_without_labels_the_batch_is_random():
    embeddings, _, log_probs = layer(30, 4)
    certain = torch.full_like(log_probs, -torch.inf).scatter(1, log_probs.argmax(dim=1, keepdim=True), 0.0)
    view = fake_view(certain, embeddings, labeled=embeddings[:3], labels=[0, 1, 2])
    bare = replace(fake_view(log_probs, embeddings), labeled=ModelOutputs(), labels=torch.empty(0, dtype=torch.int64))
    for each in (view, bare):
        batches = [AlphaMix().propose(each, 3, seeded(s)) for s in range(10)]
        assert len({tuple(batch.indices.tolist()) for batch in batches}) > 5
        others = torch.ones(30, dtype=torch.bool).index_fill(0, batches[0].indices, False)
        assert batches[0].scores[others].unique().numel() == 1


def test_copies_and_a_batch_as_large_as_the_pool():
    embeddings, _, log_probs = layer(5, 4)
    rows = torch.arange(20) % 5
    view = fake_view(log_probs[rows], embeddings[rows], labeled=embeddings[:3], labels=[0, 1, 2])
    for batch_size in (4, 7, 20):
        assert AlphaMix().propose(view, batch_size, seeded()).indices.unique().numel() == batch_size


@pytest.mark.parametrize("step", [0.0, 1.5])
def test_a_step_that_makes_no_sense_is_refused(step):
    embeddings, _, log_probs = layer(9, 3)
    with pytest.raises(InvalidInput, match="step"):
        AlphaMix(step=step).propose(fake_view(log_probs, embeddings), 2, seeded())
