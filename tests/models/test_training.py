"""Training is a function of the seed, and says so when it fails."""

import numpy as np
import pytest
import torch
from torch import nn

from autoal.data import as_rows
from autoal.errors import AutoALError, InvalidInput
from autoal.models import MLP, SmallCNN, TrainConfig, train

CPU = torch.device("cpu")
QUICK = TrainConfig(epochs=3, min_steps=0, batch_size=8)


def images(n=17):
    generator = np.random.RandomState(0)
    y = np.arange(n) % 2
    X = (generator.rand(n, 8, 8) * 100 + 120 * y[:, None, None]).astype(np.uint8)
    return as_rows(X), torch.from_numpy(y)


def trained(config=QUICK, seed=0, n=17, net=None):
    rows, y = images(n)
    torch.manual_seed(0)
    net = net or SmallCNN(1, 2, width=4)
    losses = train(net, rows, torch.arange(n), y, config, seed, CPU)
    return net, losses


@pytest.mark.parametrize(
    "config",
    [
        QUICK,
        TrainConfig(epochs=2, min_steps=0, optimizer="sgd", lr=0.05, schedule="none", augment=True),
        TrainConfig(epochs=2, min_steps=0, optimizer="adam", weight_decay=0.0, patience=None),
    ],
)
def test_same_seed_same_weights_whatever_was_drawn_before(config):
    first, losses = trained(config)
    torch.rand(13), np.random.rand(5)
    torch.manual_seed(99)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    rows, y = images()
    torch.manual_seed(0)
    net = SmallCNN(1, 2, width=4)
    torch.set_rng_state(state)
    assert train(net, rows, torch.arange(17), y, config, 0, CPU) == losses
    assert torch.equal(state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), net.parameters(), strict=True))
    other, _ = trained(config, seed=1)
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_training_learns_what_is_easy():
    net, losses = trained(TrainConfig(batch_size=8, lr=1e-2))
    rows, y = images()
    net.eval()
    assert losses[-1] < 0.1 < losses[0]
    assert bool((net(rows.take(slice(0, 17))).argmax(1) == y).all())


@pytest.mark.parametrize("n", [9, 17, 1])
def test_a_last_batch_of_one_point_is_no_trouble_for_batch_normalisation(n):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
    _, losses = trained(n=n, net=net)
    assert all(np.isfinite(losses))


def test_few_labels_get_enough_steps():
    _, losses = trained(TrainConfig(epochs=1, min_steps=12, batch_size=9, patience=None))
    assert len(losses) == 6  # two batches an epoch


def test_training_stops_when_the_loss_does():
    net = MLP(64, 2, dropout=0.0)
    _, losses = trained(TrainConfig(epochs=500, lr=1e-12, patience=3), net=net)
    assert len(losses) <= 5


def test_a_loss_that_explodes_says_what_to_do():
    with pytest.raises(AutoALError, match="lower the learning rate"):
        trained(TrainConfig(optimizer="sgd", lr=1e30, schedule="none"), net=MLP(64, 2, dropout=0.0))


def test_frozen_weights_stay_and_a_frozen_module_is_refused():
    net = MLP(64, 2)
    net.layers.requires_grad_(False)
    before = net.layers[0].weight.clone()
    trained(net=net)
    assert torch.equal(before, net.layers[0].weight)
    with pytest.raises(InvalidInput, match="fit=False"):
        trained(net=net.requires_grad_(False))


def test_progress_is_reported():
    rows, y = images()
    calls = []
    train(MLP(64, 2), rows, torch.arange(17), y, QUICK, 0, CPU, lambda *call: calls.append(call))
    assert calls == [("training", 1, 3), ("training", 2, 3), ("training", 3, 3)]


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"lr": -1.0}, {"lr": float("nan")}, {"optimizer": "lion"}, {"schedule": "step"}, {"patience": 0}],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        TrainConfig(**wrong)
