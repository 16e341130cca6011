"""Gradient norms of the last layer against autograd, and the numbers of a hand calculation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoal.errors import UnknownName
from autoal.strategies.parts.gradient_norms import entropy_slope, label_slope
from autoal.strategies.uncertainty.entropy_gradnorm import EntropyGradNorm
from autoal.strategies.uncertainty.expected_gradnorm import ExpectedGradNorm
from tests.helpers import fake_view, probs, random_view, seeded


def by_autograd(head: nn.Linear, h: torch.Tensor, kind: str) -> float:
    """Sum of the norms over weight and bias."""

    def norms(value: torch.Tensor) -> torch.Tensor:
        return sum(g.norm() for g in torch.autograd.grad(value, [head.weight, head.bias], retain_graph=True))

    log_p = head(h).log_softmax(0)
    if kind == "entropy":
        return float(norms(-(log_p.exp() * log_p).sum()))
    return float(sum(p * norms(-log_p[c]) for c, p in enumerate(log_p.exp().detach())))


def test_the_last_layer_in_closed_form_is_what_autograd_gives():
    torch.manual_seed(0)
    head = nn.Linear(6, 4).double()
    h = torch.randn(12, 6, dtype=torch.float64, generator=seeded(1))
    view = fake_view(head(h).log_softmax(1).detach(), h)
    for strategy, kind in ((EntropyGradNorm(), "entropy"), (ExpectedGradNorm(), "label")):
        expected = torch.tensor([by_autograd(head, row, kind) for row in h], dtype=torch.float64)
        torch.testing.assert_close(strategy.propose(view, 1, seeded()).scores, expected)


def test_slopes_by_hand():
    found = entropy_slope(torch.cat([probs([0.9, 0.1])]))
    assert float(found) == pytest.approx(0.279661, abs=1e-6)
    assert float(entropy_slope(probs([0.7, 0.2, 0.1]))) == pytest.approx(0.381717, abs=1e-6)
    assert float(entropy_slope(probs([0.25] * 4))) == pytest.approx(0, abs=1e-15)
    assert float(label_slope(probs([0.5, 0.5]))) == pytest.approx(0.5**0.5)


def test_two_classes_are_asked_for_near_18_percent():
    p = torch.linspace(0.01, 0.5, 491, dtype=torch.float64)
    slopes = entropy_slope(torch.stack([p, 1 - p], 1).log())
    assert float(p[slopes.argmax()]) == pytest.approx(0.176, abs=2e-3)


def test_certain_points_keep_their_order():
    log_probs = torch.tensor([[0.0, -40.0], [0.0, -50.0], [0.0, -torch.inf]], dtype=torch.float64)
    for slope in (entropy_slope, label_slope):
        first, second, third = slope(log_probs).tolist()
        assert first > second > third >= 0


def test_the_printed_form_is_the_entropy_form():
    view = random_view()
    printed, entropy = (s.propose(view, 5, seeded()) for s in (ExpectedGradNorm(form="reference"), EntropyGradNorm()))
    assert torch.equal(printed.scores, entropy.scores)


def test_all_layers_come_from_the_model():
    view = random_view()
    for strategy, column in ((EntropyGradNorm("all"), 0), (ExpectedGradNorm("all"), 1)):
        assert strategy.needs == {"gradient_norms"}
        assert torch.equal(strategy.propose(view, 3, seeded()).scores, view.pool.gradient_norms[:, column].double())


def test_unknown_options_are_refused():
    for strategy in (EntropyGradNorm("first"), ExpectedGradNorm("first"), ExpectedGradNorm(form="printed")):
        with pytest.raises(UnknownName):
            strategy.propose(random_view(), 2, seeded())
