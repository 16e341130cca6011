"""Three engines, one hypergradient: against finite differences, a closed form, and each other."""

import pytest
import torch

from autoal.anchor.heads import fit_heads, with_bias
from autoal.rng import generator
from autoal.search.engines import ENGINES, _solve_hessian
from autoal.search.fit_net import HeadProblem


def problem(episodes=3, s=20, p=12, v=15, d=5, c=3, seed=0, l2=1.0):
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(c, d, dtype=torch.float64, generator=rng)

    def draw(n):
        y = torch.randint(0, c, (episodes, n), generator=rng)
        return with_bias(centres[y] + torch.randn(episodes, n, d, dtype=torch.float64, generator=rng)), y

    xs, ys = draw(s)
    xp, yp = draw(p)
    xv, yv = draw(v)
    weights = torch.full((episodes, v), 1 / v, dtype=torch.float64)
    made = HeadProblem.build(xs, ys, xp, yp, xv, yv, weights, num_classes=c, batch=4, l2=l2)
    ones = torch.ones(episodes, s, dtype=torch.float64)
    heads = fit_heads(xs, ys, ones, num_classes=c, l2=l2, whitener=made.whitener, tolerance=1e-9, max_steps=5000)
    mask = torch.rand(episodes, p, dtype=torch.float64, generator=rng)
    return made, heads, mask.requires_grad_()


def gradient(engine, made, heads, mask, steps):
    loss, _ = ENGINES[engine](made, heads, mask, steps, 1.0)
    return torch.autograd.grad(loss.sum(), mask)[0]


@pytest.mark.parametrize("engine", ["higher", "func"])
def test_the_unrolled_step_passes_gradcheck(engine):
    made, heads, mask = problem()
    assert torch.autograd.gradcheck(lambda m: ENGINES[engine](made, heads, m, 3, 1.0)[0], (mask,))


@pytest.mark.parametrize("steps", [1, 5])
def test_higher_and_torch_func_give_the_same_loss_weights_and_gradient(steps):
    made, heads, mask = problem()
    loss_h, weight_h = ENGINES["higher"](made, heads, mask, steps, 1.0)
    loss_f, weight_f = ENGINES["func"](made, heads, mask, steps, 1.0)
    assert torch.allclose(loss_h, loss_f, atol=1e-12) and torch.allclose(weight_h, weight_f, atol=1e-12)
    assert torch.allclose(gradient("higher", made, heads, mask, steps), gradient("func", made, heads, mask, steps))


def test_unrolled_to_convergence_implicit_and_finite_differences_agree():
    made, heads, mask = problem()
    unrolled = gradient("higher", made, heads, mask, 600)
    implicit = gradient("implicit", made, heads, mask, 0)
    assert torch.allclose(unrolled, implicit, atol=1e-5)
    h = 1e-4
    for point in range(mask.shape[1]):
        step = torch.zeros_like(mask)
        step[:, point] = h
        up, _ = ENGINES["implicit"](made, heads, (mask + step).detach(), 0, 1.0)
        down, _ = ENGINES["implicit"](made, heads, (mask - step).detach(), 0, 1.0)
        assert torch.allclose((up - down) / (2 * h), implicit[:, point], atol=1e-5)


def test_one_step_is_minus_eta_times_the_product_of_the_gradients():
    made, heads, mask = problem(episodes=1)
    loss, weight = ENGINES["higher"](made, heads, mask, 1, 0.1)
    (got,) = torch.autograd.grad(loss.sum(), mask)
    # By hand, in the whitened coordinates in which the step is taken.
    x, y = made.pool[0] @ made.whitener[0], made.pool_labels[0]
    p = torch.softmax(x @ heads.weight[0], dim=1)
    point_gradients = torch.einsum("nd,nc->ndc", x, p - torch.nn.functional.one_hot(y, 3))
    after = weight[0].clone().requires_grad_()
    upper = made.upper_loss((made.validation[0] @ made.whitener[0] @ after).unsqueeze(0)).sum()
    (g_upper,) = torch.autograd.grad(upper, after)
    assert torch.allclose(got[0], -0.1 * torch.einsum("ndc,dc->n", point_gradients, g_upper), atol=1e-10)


def test_a_ridge_regression_of_one_weight_has_the_closed_form_hypergradient():
    """theta* = (sum w x y) / (sum w x^2 + lam): unrolled to convergence and finite differences against algebra."""
    x, y = torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64)
    lam, target = 0.5, 0.7
    phi = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)

    def solution(p):
        w = torch.stack([p, torch.ones((), dtype=torch.float64)])
        return (w * x * y).sum() / ((w * x * x).sum() + lam)

    theta = torch.zeros((), dtype=torch.float64)
    for _ in range(500):
        w = torch.stack([phi, torch.ones((), dtype=torch.float64)])
        theta = theta - 0.1 * ((w * x * (x * theta - y)).sum() + lam * theta)
    (unrolled,) = torch.autograd.grad(0.5 * (theta - target) ** 2, phi)
    hessian = (phi * x[0] ** 2 + x[1] ** 2 + lam).detach()
    optimum = solution(phi).detach()
    implicit = -(optimum - target) * x[0] * (x[0] * optimum - y[0]) / hessian
    h = 1e-6
    finite = (0.5 * (solution(phi + h) - target) ** 2 - 0.5 * (solution(phi - h) - target) ** 2) / (2 * h)
    assert abs(float(unrolled - implicit)) < 1e-5 and abs(float(finite.detach() - implicit)) < 1e-5


def test_the_gradient_expected_under_the_models_own_belief_vanishes():
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = torch.softmax(torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), dim=1)
    expected = sum(
        p[:, c, None, None] * torch.einsum("nd,nk->ndk", x, p - torch.eye(3, dtype=torch.float64)[c]) for c in range(3)
    )
    assert expected.abs().max() < 1e-12


def test_fitted_heads_are_scikit_learns_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    made, _, _ = problem(episodes=2, s=60)
    ones = torch.ones(2, 60, dtype=torch.float64)
    heads = fit_heads(made.support, made.support_labels, ones, num_classes=3, l2=1.0, tolerance=1e-9, max_steps=5000)
    for e in range(2):
        x, y = made.support[e, :, :-1].numpy(), made.support_labels[e].numpy()
        reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(x, y)
        ours = torch.softmax(heads(made.support)[e], dim=1).detach().numpy()
        assert abs(ours - reference.predict_proba(x)).max() < 1e-5


def test_an_engine_leaves_the_heads_it_started_from_alone():
    for engine in ENGINES:
        made, heads, mask = problem()
        before = heads.weight.detach().clone()
        gradient(engine, made, heads, mask, 3)
        assert torch.equal(heads.weight, before)


def test_an_episode_that_is_solved_early_stays_solved_while_others_go_on():
    rng = generator(0, "solve")
    flat = torch.ones(30)
    flat[-1] = 0.0  # no curvature there, and next to nothing to solve
    hessians = torch.stack([torch.diag(flat), torch.diag(torch.logspace(-2, 0, 30))])
    right = torch.randn(2, 30, 1, generator=rng)
    right[0, -1] = 1e-7
    theta = torch.zeros(2, 30, 1, requires_grad=True)
    solution = _solve_hessian(hessians @ theta, theta, right)
    assert torch.allclose(solution[0], right[0], atol=1e-4)
    assert torch.allclose(solution[1], torch.linalg.solve(hessians[1], right[1]), rtol=1e-2, atol=1e-2)
