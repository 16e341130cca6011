"""Three ways to the same hypergradient: what the held-out loss after training says of each selected point.

`higher` (the reference) and `func` unroll gradient steps of FitNet and differentiate through them (Maclaurin et al.
2015, arXiv 1502.03492; Franceschi et al. 2017, arXiv 1703.01785). `implicit` solves the lower level and applies the
implicit function theorem (Pedregosa 2016, arXiv 1602.02355), which is exact at the solution.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from autoal.anchor.heads import LinearHeads, fit_heads
from autoal.models.eager import eager
from autoal.search.fit_net import HeadProblem

# `higher` 0.2.1 compares a number with `is`, which Python warns of whenever it compiles the file.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    import higher

__all__ = ["ENGINES", "Engine"]

higher.register_optim(eager(torch.optim.SGD), higher.optim.DifferentiableSGD)

Engine = Callable[[HeadProblem, LinearHeads, Tensor, int, float], tuple[Tensor, Tensor]]
"""engine(problem, heads, mask (E, P), steps, lr) -> upper loss (E,), differentiable in the mask, and the heads'
weights (E, D, C) after training, detached."""


def _unrolled_by_higher(
    problem: HeadProblem, heads: LinearHeads, mask: Tensor, steps: int, lr: float
) -> tuple[Tensor, Tensor]:
    optimizer = eager(torch.optim.SGD)(heads.parameters(), lr=lr)
    with higher.innerloop_ctx(heads, optimizer, copy_initial_weights=True, track_higher_grads=True) as (fast, diffopt):
        for _ in range(steps):
            # Episodes share no parameter, so the gradient of the sum is each one's own.
            diffopt.step(problem.lower_loss(fast, mask).sum())
        upper = problem.upper_loss(fast(problem.validation))
        weight = next(iter(fast.parameters())).detach()
    return upper, weight


def _unrolled_by_func(
    problem: HeadProblem, heads: LinearHeads, mask: Tensor, steps: int, lr: float
) -> tuple[Tensor, Tensor]:
    buffers = dict(heads.named_buffers())
    weight = heads.weight.detach()

    def logits_of(w: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda features: torch.func.functional_call(heads, {**buffers, "weight": w}, (features,))

    descend = torch.func.grad(lambda w, m: problem.lower_loss(logits_of(w), m).sum())
    for _ in range(steps):
        weight = weight - lr * descend(weight, mask)
    return problem.upper_loss(logits_of(weight)(problem.validation)), weight.detach()


def _implicit(problem: HeadProblem, heads: LinearHeads, mask: Tensor, steps: int, lr: float) -> tuple[Tensor, Tensor]:
    """`steps` and `lr` play no part: the lower level is solved, from the given heads on."""
    features = torch.cat([problem.support, problem.pool], dim=1)
    labels = torch.cat([problem.support_labels, problem.pool_labels], dim=1)
    weights = torch.cat([torch.ones_like(problem.support_labels, dtype=mask.dtype), mask.detach()], dim=1)
    solved = fit_heads(
        features, labels, weights,
        num_classes=problem.num_classes, l2=problem.l2, whitener=problem.whitener, start=heads.weight.detach(),
        tolerance=1e-9 if mask.dtype == torch.float64 else 1e-5, max_steps=5000 if mask.dtype == torch.float64 else 500,
    )  # fmt: skip
    theta = solved.weight
    with torch.enable_grad():
        lower = problem.lower_loss(solved, mask)
        (gradient,) = torch.autograd.grad(lower.sum(), theta, create_graph=True)
        upper = problem.upper_loss(solved(problem.validation))
        (toward,) = torch.autograd.grad(upper.sum(), theta, retain_graph=True)
    adjoint = _solve_hessian(gradient, theta, toward.detach())
    # dL/dm = -(d/dm grad_theta L_T) . H^-1 grad_theta L_V, as the gradient of a number that is itself zero.
    pull = -(gradient * adjoint).sum((1, 2))
    return upper + pull - pull.detach(), theta.detach()


def _solve_hessian(gradient: Tensor, theta: Tensor, right: Tensor) -> Tensor:
    """H^-1 right for each episode by conjugate gradients; the whitened Hessian lies below the identity."""

    def hessian_times(vector: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(gradient, theta, vector, retain_graph=True)
        return product

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((1, 2), keepdim=True)

    x, r = torch.zeros_like(right), right.clone()
    p, rr = r.clone(), dot(r, r)
    tiny = torch.finfo(right.dtype).tiny
    target = rr * (1e-24 if right.dtype == torch.float64 else 1e-10)
    for _ in range(min(1000, 2 * right[0].numel())):
        # An episode that is solved stays as it is while others go on: its residual would sink to where rounding rules.
        still = rr > target
        if not bool(still.any()):
            break
        hp = hessian_times(p)
        alpha = torch.where(still, rr / dot(p, hp).clamp_min(tiny), torch.zeros_like(rr))
        x, r = x + alpha * p, r - alpha * hp
        following = torch.where(still, dot(r, r), rr)
        p, rr = torch.where(still, r + following / rr.clamp_min(tiny) * p, p), following
    return x


ENGINES: dict[str, Engine] = {
    "higher": _unrolled_by_higher,
    "func": _unrolled_by_func,
    "implicit": _implicit,
}
