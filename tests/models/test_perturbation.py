"""Output changes under weight noise, against what calculus says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoal import rng
from autoal.errors import InvalidInput
from autoal.models.perturbation import deviations, shaken


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2, bias=False).double()


def points(n: int = 5) -> torch.Tensor:
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_a_linear_model_moves_by_the_noise_times_the_point():
    net, x = linear(), points()
    found = deviations(net, lambda: net(x).detach(), 2, 1e-3, 4, "global")
    clean = net.weight.detach().clone()
    for k in range(2):
        with shaken(net, 1e-3, rng.derive_seed(4, "noise", k), "global"):
            change = net.weight.detach() - clean
        assert change.norm() == pytest.approx(1e-3 * float(clean.norm()))
        torch.testing.assert_close(found[:, k], x @ change.T, atol=1e-12, rtol=1e-9)


def test_layerwise_changes_are_relative_to_the_output():
    net, x = linear(), points()
    clean = net(x).detach()
    layerwise, whole = (
        deviations(net, lambda: net(x).detach(), 3, 1e-3, 0, noise) for noise in ("layerwise", "global")
    )
    assert layerwise.shape == whole.shape == (5, 3, 2)
    with shaken(net, 1e-3, rng.derive_seed(0, "noise", 0)):
        moved = (net(x).detach() - clean) / clean.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layerwise[:, 0], moved)


def test_changes_grow_with_the_scale():
    torch.manual_seed(2)
    net, x = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2), nn.Softmax(1)).double(), points()
    small, twice = (deviations(net, lambda: net(x).detach(), 5, s).norm() for s in (5e-4, 1e-3))
    assert float(twice / small) == pytest.approx(2, rel=0.01)


def test_mean_square_is_the_norm_of_the_jacobian():
    net, x = linear(), points(2)
    found = deviations(net, lambda: net(x).detach(), 2000, 1e-3, 0, "global")
    expected = net.weight.detach().norm() ** 2 * 2 * x.norm(dim=1) ** 2 / net.weight.numel()
    torch.testing.assert_close((found / 1e-3).square().sum(2).mean(1), expected, rtol=0.05, atol=0)


def test_weights_come_back_bit_for_bit_even_after_an_error():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(RuntimeError), shaken(net, 1e-3, 0):
        assert not torch.equal(net[0].weight, before["0.weight"]) and torch.equal(net[0].bias, before["0.bias"])
        raise RuntimeError
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_same_seed_same_noise_and_frozen_layers_stay():
    net, x = linear(), points()
    first, second = (deviations(net, lambda: net(x).detach(), 2, seed=9) for _ in range(2))
    assert torch.equal(first, second)
    net.weight.requires_grad_(False)
    assert not deviations(net, lambda: net(x).detach(), 2).any()


def test_unknown_noise_is_refused():
    with pytest.raises(InvalidInput, match="layerwise, global"), shaken(linear(), 1e-3, 0, "salt"):
        pass
