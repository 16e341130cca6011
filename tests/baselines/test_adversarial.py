"""Attacks on models whose distances to the boundary are known."""

from __future__ import annotations

import torch
from torch import nn

from autoal.rng import generator
from baselines import AdversarialBIM, AdversarialDeepFool
from baselines.adversarial_bim import bim_distances
from baselines.adversarial_deepfool import deepfool_distances
from tests.baselines.rounds import round_of


def linear(classes: int, width: int = 3) -> nn.Linear:
    layer = nn.Linear(width, classes).double()
    draws = generator(0, "linear")
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, width, generator=draws))
        layer.bias.copy_(0.1 * torch.randn(classes, generator=draws))
    return layer


def test_deepfool_finds_the_nearest_of_several_linear_boundaries():
    layer, x = linear(4).requires_grad_(False), torch.randn(50, 3, generator=generator(1), dtype=torch.float64)
    found = deepfool_distances(layer, x, 50, 0.02, 10)
    for point, distance in zip(x, found, strict=True):
        values = layer(point)
        top = int(values.argmax())
        gaps = [
            float((values[top] - values[k]).square() / (layer.weight[top] - layer.weight[k]).square().sum())
            for k in range(4)
            if k != top
        ]
        assert abs(float(distance) - min(gaps)) < 1e-9


def test_bim_takes_as_many_signed_steps_as_a_linear_model_says():
    layer, x = linear(2), torch.randn(50, 3, generator=generator(1), dtype=torch.float64)
    slope = layer.weight[1] - layer.weight[0]
    margin = (layer(x)[:, 1] - layer(x)[:, 0]).abs()
    steps = (margin / (0.05 * slope.abs().sum())).floor() + 1  # strictly beyond the boundary
    expected = (0.05 * steps).square() * 3
    found = bim_distances(layer, x, 0.05, 1000)
    assert torch.allclose(found, expected.detach())
    cut = bim_distances(layer, x, 0.05, 5)
    assert torch.equal(cut.isinf(), steps > 5)


def test_a_flat_model_has_no_adversary():
    flat = lambda x: torch.tensor([1.0, 0.0]).expand(len(x), 2) + 0 * x.sum()  # noqa: E731
    x = torch.randn(4, 3)
    assert bim_distances(flat, x, 0.05, 3).isinf().all()
    assert deepfool_distances(flat, x, 3, 0.02, 10).isinf().all()


def test_on_two_classes_and_a_linear_model_both_ask_for_the_smallest_margins():
    x = torch.randn(60, 3, generator=generator(2))
    module = linear(2).float()
    state = round_of(x, torch.arange(60) % 2, module=module)
    margins = (module(x[12:]) @ torch.tensor([1.0, -1.0])).abs()
    wanted = set(margins.argsort()[:5].tolist())
    assert set(AdversarialDeepFool().select(state, 5).positions.tolist()) == wanted
    steps = bim_distances(module, x[12:], 0.05, 100)
    picked = AdversarialBIM().select(state, 5).positions
    assert float(steps[picked].max()) <= float(steps.sort().values[4])
