"""Loss prediction: its pair loss by hand, and who learns from it."""

from __future__ import annotations

import pytest
import torch

from autoal.models.nets import MLP
from baselines.loss_prediction import LossHead, LossPrediction, pair_loss, train_with_loss_head
from tests.baselines.rounds import blobs, round_of


def test_pairs_in_the_right_order_with_gaps_cost_nothing():
    assert pair_loss(torch.tensor([3.0, 0.0, 2.0, 1.0]), torch.tensor([0.9, 0.1, 0.5, 0.2]), 1.0) == 0


def test_pair_loss_by_hand():
    # Pairs (0, 3) and (1, 2): signs +1 and -1, gaps 0.5 and 2: max(0, 1 - 0.5) and max(0, 1 + 2), mean 1.75.
    predicted, true = torch.tensor([1.5, 3.0, 1.0, 1.0]), torch.tensor([0.4, 0.1, 0.2, 0.3])
    assert float(pair_loss(predicted, true, 1.0)) == pytest.approx(1.75)
    assert pair_loss(predicted[:1], true[:1], 1.0) == 0
    with_middle = pair_loss(torch.tensor([1.5, 3.0, 9.0, 1.0, 1.0]), torch.tensor([0.4, 0.1, 9.0, 0.2, 0.3]), 1.0)
    assert float(with_middle) == pytest.approx(1.75)


def test_a_head_off_from_the_start_leaves_the_network_as_it_would_be_alone():
    def weights(weight: float, detach: float) -> torch.Tensor:
        torch.manual_seed(0)
        problem = LossPrediction(device="cpu")._problem(round_of(*blobs()), 1)
        net = MLP(4, 3, dropout=0.0)
        train_with_loss_head(net, problem, 10, 8, 1e-3, 1.0, weight, detach)
        return net.head.weight.detach().clone(), net.layers[0].weight.detach().clone()

    alone, detached, joint = weights(0.0, 1.0), weights(1.0, 0.0), weights(1.0, 1.0)
    assert torch.equal(alone[1], detached[1]) and not torch.equal(alone[1], joint[1])


def test_the_head_answers_each_point_by_itself():
    head = LossHead([3, 5])
    stages = [torch.randn(6, 3), torch.randn(6, 5)]
    order = torch.randperm(6)
    assert torch.allclose(head(stages)[order], head([s[order] for s in stages]))


def test_points_of_wrong_labels_are_predicted_a_larger_loss():
    """Labels are coin flips where the first input is above 0 and follow the second one below it."""
    torch.manual_seed(0)
    x = torch.randn(400, 2)
    labels = torch.where(x[:, 0] > 0, torch.randint(0, 2, (400,)), (x[:, 1] > 0).long())
    answer = LossPrediction(device="cpu", max_steps=400).select(round_of(x, labels, 200), 50)
    assert float((x[200:][answer.positions, 0] > -0.2).double().mean()) > 0.8
