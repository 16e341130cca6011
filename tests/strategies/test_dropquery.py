"""DropQuery against the loop over points, samples and features that it stands for."""

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.strategies.diversity.dropquery import DropQuery
from autoal.strategies.diversity.kmeans import clustered_picks
from autoal.strategies.parts.distances import unit_rows
from tests.helpers import fake_view, seeded
from tests.strategies.test_last_layer import layer


def slow_changes(embeddings, weights, bias, dropout, samples, rng) -> list[int]:
    """How often each point's class changes, with the numbers drawn in the order of samples, points and features."""
    changes = [0] * len(embeddings)
    for _ in range(samples):
        for i, z in enumerate(embeddings):
            kept = torch.rand(len(z), generator=rng) >= dropout
            masked = [float(x) / (1 - dropout) if k else 0.0 for x, k in zip(z, kept, strict=True)]
            whole = [float(w @ z + c) for w, c in zip(weights, bias, strict=True)]
            fewer = [float(w @ z.new_tensor(masked) + c) for w, c in zip(weights, bias, strict=True)]
            changes[i] += whole.index(max(whole)) != fewer.index(max(fewer))
    return changes


@pytest.mark.parametrize("enough, samples, dropout", [(0, 3, 0.75), (25, 3, 0.75), (2, 5, 0.3), (0, 1, 0.5)])
def test_the_slow_loop(enough, samples, dropout):
    embeddings, weights, log_probs = layer(50, 6, classes=4, seed=3)
    # What of the logits the weights do not explain is the bias.
    bias = (log_probs - embeddings @ weights.T).mean(dim=0)
    rng = seeded(1)
    changes = torch.tensor(slow_changes(embeddings, weights, bias, dropout, samples, rng))
    least = samples // 2 + 1
    while least > 1 and int((changes >= least).sum()) < enough * 4:
        least -= 1
    wanted = clustered_picks(embeddings, (changes >= least).nonzero().flatten(), 4, rng)
    picks, scores = DropQuery(dropout, samples, enough).propose(fake_view(log_probs, embeddings), 4, seeded(1))
    assert picks.tolist() == wanted.tolist()
    others = torch.ones(50, dtype=torch.bool).index_fill(0, picks, False)
    ranks = scores[others].argsort(stable=True)
    assert (changes[others][ranks].diff() >= 0).all()


def switch(on: list[float]) -> torch.Tensor:
    """Log-probs of a layer that says class 1 above a half of the first feature."""
    first = torch.tensor(on, dtype=torch.float64)
    return torch.stack([torch.zeros_like(first), first - 0.5], dim=1).log_softmax(dim=1)


def test_a_class_that_rests_on_no_feature_cannot_change():
    # The first feature is 0 or 1; where it is 0, whatever is dropped, class 0 stays.
    on = [0.0, 1.0] * 15
    points = torch.stack([torch.tensor(on), torch.arange(30) / 7], dim=1)
    for seed in range(5):
        picks = DropQuery(enough=0, samples=9).propose(fake_view(switch(on), points), 4, seeded(seed)).indices
        assert all(on[i] == 1.0 for i in picks.tolist())


def test_missing_picks_are_drawn_from_all_others():
    on = [0.0] * 20 + [1.0]
    points = torch.stack([torch.tensor(on), torch.arange(21) / 7], dim=1)
    view, seen = fake_view(switch(on), points), set()
    for seed in range(30):
        picks = DropQuery(samples=15).propose(view, 3, seeded(seed)).indices.tolist()
        assert picks[0] == 20 and len(set(picks)) == 3
        seen |= set(picks)
    assert len(seen) > 15


def test_the_picks_are_nearest_the_centres_of_their_clusters():
    # Two tight groups by direction, each around one point in its middle; lengths do not matter.
    angles = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 80.0, 81.0, 82.0]).deg2rad()
    points = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.arange(1, 9)[:, None]
    assert sorted(clustered_picks(points, torch.arange(8), 2, seeded()).tolist()) == [2, 6]
    assert sorted(clustered_picks(points, torch.tensor([0, 1, 2, 5, 6, 7]), 2, seeded()).tolist()) == [1, 6]
    assert float(unit_rows(points).norm(dim=1).max()) == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_few_candidates_come_first_and_none_twice(count):
    points = torch.randn(8, 3, generator=seeded(2))
    candidates = torch.arange(count)
    picks = clustered_picks(points, candidates, 8, seeded()).tolist()
    assert sorted(picks) == list(range(8)) and set(picks[:count]) == set(range(count))


@pytest.mark.parametrize("classes", [1, 3])
def test_where_nothing_changes_the_batch_is_random(classes):
    log_probs = torch.zeros(12, classes, dtype=torch.float64).log_softmax(dim=1)
    view = fake_view(log_probs, torch.randn(12, 4, generator=seeded()))
    batches = {tuple(sorted(DropQuery().propose(view, 3, seeded(s)).indices.tolist())) for s in range(10)}
    assert len(batches) > 5


@pytest.mark.parametrize("options", [{"dropout": 0.0}, {"dropout": 1.0}, {"samples": 0}, {"enough": -1}])
def test_what_makes_no_sense_is_refused(options):
    embeddings, _, log_probs = layer(9, 3)
    with pytest.raises(InvalidInput, match=next(iter(options))):
        DropQuery(**options).propose(fake_view(log_probs, embeddings), 2, seeded())
