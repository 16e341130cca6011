"""DACS with loss prediction: the choice by hand, and heads that leave the network alone."""

from __future__ import annotations

import pytest
import torch

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies.diversity.dacs import DACS
from baselines.dacs_loss_prediction import DACSLossPrediction, DirectionHead
from baselines.loss_prediction import LossPrediction, train_with_loss_head
from tests.baselines.rounds import blobs, round_of, waves
from tests.helpers import seeded


def at(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane at these angles."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def choice(selector: DACSLossPrediction, losses: torch.Tensor, pool, labeled, count: int) -> list[int]:
    """What it asks for where heads say this."""
    selector.looked_at = lambda problem: (losses, pool, labeled, {})
    x, labels = blobs(len(pool) + len(labeled), classes=2)
    return selector.select(round_of(x, labels, len(labeled)), count).positions.tolist()


def test_of_a_spread_batch_twice_as_large_the_largest_losses_are_bought():
    # Labeled at 0 degrees; farthest first from there: 180, then 90 and 270, then 2. Of these the losses choose 90, 180.
    pool = at(180, 90, 270, 1, 2)
    losses = torch.tensor([2.0, 3.0, 1.0, 9.0, 0.0])
    assert choice(DACSLossPrediction(groups=1, factor=2), losses, pool, at(0), 2) == [1, 0]
    # With the whole pool to choose from the losses alone decide, and with nothing to choose from the spread does.
    assert choice(DACSLossPrediction(groups=1, factor=9), losses, pool, at(0), 2) == [3, 1]
    assert set(choice(DACSLossPrediction(groups=1, factor=1), losses, pool, at(0), 1)) == {0}


def test_more_of_the_sparse_region_is_among_those_chosen_from():
    dense, sparse = at(*torch.linspace(40, 50, 60).tolist()), at(*torch.linspace(150, 250, 20).tolist())
    pool = torch.cat([dense, sparse])
    picked = choice(DACSLossPrediction(groups=2, neighbours=3, factor=1), torch.zeros(80), pool, at(0), 10)
    assert sum(one >= 60 for one in picked) > 5


def test_dacs_itself_chooses_as_before_it_was_shared():
    pool, labeled = at(*torch.linspace(0, 300, 50).tolist()), at(0, 120)
    picks, nearest = DACS(neighbours=3).spread(pool, labeled, 10, seeded())
    assert len(picks.unique()) == 10 and torch.allclose(nearest, torch.cdist(pool, labeled).square().amin(1), atol=1e-5)


def test_the_directions_have_length_one_and_leave_the_network_as_it_would_be():
    def trained(beside: bool) -> torch.Tensor:
        torch.manual_seed(0)
        selector = LossPrediction(device="cpu")
        problem = selector._problem(round_of(*blobs()), 1)
        net = selector._network(problem)
        net.dropout.p = 0.0  # masks come from the generator that also makes the further head
        state = torch.random.get_rng_state()
        head = DirectionHead([128, 64], 5, 3)
        torch.random.set_rng_state(state)
        extra = (head, lambda stages, labels: head([s.detach() for s in stages]).square().mean()) if beside else None
        train_with_loss_head(net, problem, 10, 8, 1e-3, 1.0, 1.0, 0.6, beside=extra)
        if beside:
            lengths = head.directions(net.stages(problem.pool[:])).norm(dim=1)
            assert lengths.tolist() == pytest.approx([1.0] * len(lengths), abs=1e-5)
        return net.head.weight.detach().clone()

    assert torch.equal(trained(False), trained(True))


def test_its_heads_learn_the_labels():
    selector = DACSLossPrediction(device="cpu", max_steps=200)
    problem = selector._problem(round_of(*blobs(150), labeled=60), 1)
    losses, pool, labeled, _ = selector.looked_at(problem)
    assert losses.shape == (90,) and pool.shape == (90, 32) and labeled.shape == (60, 32)
    nearest = torch.cdist(pool, labeled).argmin(dim=1)
    assert float((problem.labels[nearest] == torch.arange(60, 150) % 3).double().mean()) > 0.9


def test_a_regression_is_taken():
    answer = DACSLossPrediction(device="cpu", max_steps=20).select(round_of(*waves()), 5)
    assert len(answer.positions.unique()) == 5


def test_what_it_cannot_do_is_said():
    with pytest.raises(UnknownName, match="'lsh'"):
        DACSLossPrediction(density="lhs")
    with pytest.raises(InvalidInput, match="factor=0"):
        DACSLossPrediction(factor=0)
