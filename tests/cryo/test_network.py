"""The masked autoencoder and the self-cross similarity."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from autoal.cryo.similarity import Likeness, self_cross
from autoal.models.masked import MaskedAutoencoder
from autoal.rng import isolated
from tests.helpers import seeded


def net(**settings: int) -> MaskedAutoencoder:
    with isolated(0):
        return MaskedAutoencoder(**{"width": 24, "depth": 1, "decoder_width": 16, "decoder_depth": 1, **settings})


@pytest.mark.parametrize(("ratio", "masked"), [(0.75, 12), (0.5, 8), (0.01, 1), (0.99, 15)])
def test_as_many_patches_are_masked_as_asked_for(ratio: float, masked: int) -> None:
    with isolated(0):
        model = MaskedAutoencoder(mask_ratio=ratio)
    drawn = model.draw_masks(50, seeded())
    expected = min(max(masked, 1), 15)
    if ratio == 0.01:
        expected = 0  # rounds to none: all 16 are kept
    assert (drawn.sum(dim=1) == expected).all()
    assert len({tuple(row) for row in drawn.tolist()}) > 1 or expected == 0


def test_the_loss_is_that_of_masked_patches_alone() -> None:
    model, x = net().eval(), torch.randn(3, 32, 32, generator=seeded())
    masked = model.draw_masks(3, seeded(1))
    predicted = model.reconstruct(x, masked)
    target = model.patches(x)
    target = (target - target.mean(2, keepdim=True)) / (target.var(2, keepdim=True) + 1e-6).sqrt()
    by_hand = torch.stack([(predicted[i] - target[i])[masked[i]].square().mean() for i in range(3)])
    assert torch.allclose(model.losses(x, masked), by_hand, atol=1e-5)
    # What is masked is not seen: other pixels there give the same prediction.
    other = x.clone()
    patches = other.reshape(3, 4, 8, 4, 8).transpose(2, 3).reshape(3, 16, 64)
    patches[masked] += torch.randn(64, generator=seeded(2))
    changed = patches.reshape(3, 4, 4, 8, 8).transpose(2, 3).reshape(3, 32, 32)
    assert torch.allclose(model.reconstruct(changed, masked), predicted, atol=1e-5)


def test_features_are_unit_vectors_and_see_every_patch() -> None:
    model, x = net().eval(), torch.randn(2, 32, 32, generator=seeded())
    assert torch.allclose(model.features(x).norm(dim=1), torch.ones(2), atol=1e-5)
    other = x.clone()
    other[:, 24:, 24:] = other[:, 24:, 24:].flip(1)
    assert (model.features(x) - model.features(other)).abs().max() > 1e-4


@pytest.mark.parametrize("tau", [0.05, 0.2, 1.0])
def test_self_cross_at_both_ends(tau: float) -> None:
    one = torch.nn.functional.normalize(torch.ones(1, 6), dim=1)
    same = self_cross(one.expand(4, -1), one.expand(5, -1), torch.rand(5, generator=seeded()) + 0.1, tau)
    assert float(same) == pytest.approx(math.log(2), abs=1e-5)
    axes = torch.eye(6)
    apart = self_cross(axes[:1].expand(4, -1), axes[1:], torch.ones(5), tau)
    assert float(apart) == pytest.approx(math.log1p(math.exp(-1 / tau)), rel=1e-4, abs=1e-7)


def test_one_positive_has_no_self_term() -> None:
    feature = torch.eye(4)[:1].requires_grad_()
    loss = self_cross(feature, torch.eye(4)[1:], torch.ones(3), 0.2)
    loss.backward()
    assert float(loss.detach()) == 0 and feature.grad is not None and not feature.grad.any()


def test_weights_spare_what_is_like_the_exemplars_and_take_no_gradient() -> None:
    raw = torch.randn(200, 8, generator=seeded(), requires_grad=True)
    others, positives = torch.nn.functional.normalize(raw, dim=1), torch.eye(8)[:2]
    omega = Likeness(200, 0.2).omega(np.arange(200), others, positives)
    assert not omega.requires_grad
    alike = (others @ positives.mean(dim=0)).detach()
    order = alike.argsort(descending=True)
    assert omega[order[:20]].max() < 0.5 < omega[order[80:]].min()
    assert int((omega < 0.5).sum()) == pytest.approx(40, abs=2)
    # Only through the features: the gradient is that with the weights held fixed.
    loss = self_cross(positives, others, omega, 0.2)
    held = self_cross(positives, others, omega.detach().clone(), 0.2)
    gradients = [torch.autograd.grad(one, raw, retain_graph=True)[0] for one in (loss, held)]
    assert torch.equal(*gradients)
