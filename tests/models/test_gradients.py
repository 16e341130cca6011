"""Sketches and norms of gradients against gradients held in full."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, jacrev

from autoal.errors import MissingOutput
from autoal.models.gradients import GradientSketch, gradient_factors, gradient_norms, pseudo_loss


def dense_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def conv_net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, groups=2, padding="same", padding_mode="reflect", bias=False),
        nn.Flatten(),
        nn.Linear(36, 3),
    ).double()


CASES = {"dense": (dense_net, (4,)), "conv": (conv_net, (2, 6, 6))}


def full_gradients(module: nn.Module, x: torch.Tensor, regression: bool) -> torch.Tensor:
    """(n, all weights of linear layers and convolutions), one point at a time."""
    module.eval()
    kept = {
        f"{n}.{p}"
        for n, m in module.named_modules()
        if isinstance(m, (nn.Linear, nn.Conv2d))
        for p in ("weight", "bias")
    }
    weights = {n: p.detach() for n, p in module.named_parameters() if n in kept}

    def value(weights, point):
        return pseudo_loss(functional_call(module, weights, (point[None],)), regression)[0]

    rows = [jacrev(value)(weights, point) for point in x]
    return torch.stack([torch.cat([row[n].flatten() for n in weights]) for row in rows])


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_of_the_factors_is_that_of_the_full_gradients(name):
    make, shape = CASES[name]
    net, x = make(), torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    factors = gradient_factors(net, x, lambda logits: pseudo_loss(logits, False))
    rows = torch.cat(
        [sum(torch.einsum("nto,nti->noi", g, a) for a, g in pairs).flatten(1) for pairs in factors.values()], 1
    )
    full = full_gradients(net, x, False)
    torch.testing.assert_close(rows @ rows.T, full @ full.T, rtol=1e-10, atol=1e-12)


def test_the_sketch_is_unbiased():
    net, x = dense_net(), torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    full = full_gradients(net, x, False)
    draws = torch.stack([s @ s.T for s in (GradientSketch(net, 16, seed)(x).double() for seed in range(800))])
    error = draws.std(dim=0) / 800**0.5
    assert ((draws.mean(dim=0) - full @ full.T).abs() < 4 * error + 1e-6).all()


def test_a_wide_sketch_is_close():
    net, x = conv_net().float(), torch.randn(6, 2, 6, 6, generator=torch.Generator().manual_seed(4))
    full, sketch = full_gradients(net, x, False), GradientSketch(net, 20_000, 0)(x)
    error = (sketch @ sketch.T - full @ full.T).norm() / (full @ full.T).norm()
    assert error < 0.05


def test_chunks_are_sketched_alike():
    net, x = conv_net().float(), torch.randn(7, 2, 6, 6, generator=torch.Generator().manual_seed(5))
    sketch = GradientSketch(net, 32, 1)
    torch.testing.assert_close(torch.cat([sketch(x[:3]), sketch(x[3:])]), GradientSketch(net, 32, 1)(x))
    assert not torch.allclose(GradientSketch(net, 32, 2)(x), sketch(x))


def test_a_regression_is_differentiated_by_its_prediction():
    torch.manual_seed(6)
    net = nn.Linear(3, 1).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    (pair,) = gradient_factors(net, x, lambda out: pseudo_loss(out, True))[""]
    assert torch.equal(pair[0][:, 0], torch.cat([x, torch.ones(4, 1, dtype=torch.float64)], 1))
    assert torch.equal(pair[1], torch.ones(4, 1, 1, dtype=torch.float64))


def test_nothing_to_differentiate_is_said():
    with pytest.raises(MissingOutput, match=r"no nn\.Linear"):
        gradient_factors(nn.Flatten(), torch.ones(2, 3), lambda out: out.sum(1))


def loop_norms(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """One point, one backward pass at a time, as in the released loop."""
    module.eval()
    rows = []
    for point in x:
        logits = module(point[None])
        log_p = F.log_softmax(logits, 1)
        probs = log_p.exp()

        def norm(value):
            return sum(g.norm() for g in torch.autograd.grad(value, list(module.parameters()), retain_graph=True))

        each = [norm(-log_p[0, c]) for c in range(logits.shape[1])]
        rows.append(
            torch.stack(
                [norm(-(probs * log_p).sum()), sum(p * e for p, e in zip(probs[0].detach(), each, strict=True))]
            )
        )
    return torch.stack(rows)


@pytest.mark.parametrize("name", CASES)
def test_norms_are_those_of_the_loop(name):
    make, shape = CASES[name]
    net, x = make(), torch.randn(6, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(gradient_norms(net, x).double(), loop_norms(net, x), rtol=1e-5, atol=1e-7)


def test_the_expected_loss_has_the_gradient_of_the_entropy_when_its_posterior_is_not_held_fixed():
    net, x = dense_net(), torch.randn(1, 4, dtype=torch.float64)
    log_p = F.log_softmax(net(x), 1)
    losses = {"not held": -(log_p.exp() * log_p).sum(), "held": -(log_p.exp().detach() * log_p).sum()}
    grads = {k: torch.autograd.grad(v, list(net.parameters()), retain_graph=True) for k, v in losses.items()}
    assert sum(g.norm() for g in grads["held"]) < 1e-14
    assert gradient_norms(net, x)[0, 0] == pytest.approx(float(sum(g.norm() for g in grads["not held"])), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_network_is_left_as_it_was(name):
    make, shape = CASES[name]
    net, x = make(), torch.randn(3, *shape, dtype=torch.float64)
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    GradientSketch(net, 8)(x)
    gradient_norms(net, x)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert net.training and all(p.grad is None and p.requires_grad for p in net.parameters())
