"""The budget-calibrated sigmoid: exact budget, monotone, shift-free, and a gradient that is the closed form."""

import pytest
import torch

from autoal.search.bilevel import COLDEST
from autoal.search.relax import soft_top_k
from autoal.settings import SearchConfig


def scores(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("k", [1, 7, 49])
def test_the_mask_sums_to_the_budget_and_lies_between_zero_and_one(k, temperature):
    mask = soft_top_k(scores(5, 50), k, temperature)
    assert torch.allclose(mask.sum(-1), torch.full((5,), float(k), dtype=torch.float64), atol=1e-6)
    assert mask.min() >= 0 and mask.max() <= 1


def test_three_equal_scores_share_one_pick_and_the_jacobian_is_the_closed_form():
    s = torch.zeros(3, dtype=torch.float64)
    assert torch.allclose(soft_top_k(s, 1, 1.0), torch.full((3,), 1 / 3, dtype=torch.float64))
    jacobian = torch.autograd.functional.jacobian(lambda x: soft_top_k(x, 1, 1.0), s)
    g = 2 / 9
    assert torch.allclose(jacobian, torch.eye(3, dtype=torch.float64) * g - g / 3, atol=1e-12)


def test_the_jacobian_is_g_times_one_minus_g_over_the_sum():
    s, t = scores(20), 0.3
    m = soft_top_k(s, 6, t)
    g = m * (1 - m) / t
    expected = torch.diag(g) - torch.outer(g, g) / g.sum()
    assert torch.allclose(torch.autograd.functional.jacobian(lambda x: soft_top_k(x, 6, t), s), expected, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: soft_top_k(x, 6, t), (s.clone().requires_grad_(),))


def test_adding_a_constant_changes_nothing_and_a_higher_score_is_never_chosen_less():
    s = scores(30)
    mask = soft_top_k(s, 5, 0.5)
    assert torch.allclose(soft_top_k(s + 17.0, 5, 0.5), mask, atol=1e-9)
    assert torch.equal(mask.argsort(), s.argsort())
    raised = s.clone()
    raised[3] += 0.5
    assert soft_top_k(raised, 5, 0.5)[3] > mask[3]


def test_it_tends_to_the_hard_top_k_as_the_temperature_falls():
    s = scores(50)
    hard = torch.zeros(50, dtype=torch.float64).scatter(0, s.topk(7).indices, 1.0)
    errors = [float((soft_top_k(s, 7, t) - hard).abs().max()) for t in (1.0, 0.1, 0.001)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-3


def test_points_that_are_out_get_nothing_and_a_budget_above_the_pool_takes_all():
    s = scores(10)
    s[[2, 5]] = -torch.inf
    s.requires_grad_()
    mask = soft_top_k(s, 4, 0.5)
    assert mask[2] == mask[5] == 0 and abs(float(mask.detach().sum()) - 4) < 1e-6
    mask[0].backward()
    assert torch.isfinite(s.grad).all()
    assert torch.equal(soft_top_k(scores(4), 9, 0.5), torch.ones(4, dtype=torch.float64))


def test_the_gradient_lives_at_every_temperature_of_the_schedule_and_a_saturated_sigmoid_has_none():
    s = scores(1000).requires_grad_()
    loss = scores(1000, seed=1)
    for temperature in torch.linspace(SearchConfig().temperature, COLDEST, 10):
        (gradient,) = torch.autograd.grad((soft_top_k(s, 20, float(temperature)) * loss).sum(), s)
        assert 1e-8 < gradient.abs().median() < 1e3
    saturated = torch.sigmoid(1e11 * (torch.softmax(s, 0) - 0.02))
    (gradient,) = torch.autograd.grad((saturated * loss).sum(), s)
    assert gradient.abs().median() < 1e-8
