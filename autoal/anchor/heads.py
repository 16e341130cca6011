"""Linear heads on embeddings: a stack of softmax heads, one for each set of labels, fitted together; in a regression
(`num_classes` 0), of ridge heads with one output.

Axes: E sets of labels, n points, D features (a constant column included), C classes (1 output in a regression).

The step size is in units of a curvature bound. For the softmax loss the Hessian is at most `1/2 X^T W X` for each
class (Boehning 1992, without the rank-one term), so in coordinates whitened by that bound plus the ridge a gradient
step of 1 always descends. Unrolled, implicit and full solutions all work in these coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["LinearHeads", "curvature_whitener", "fit_heads", "head_log_probs", "head_outputs", "with_bias"]


def with_bias(features: Tensor) -> Tensor:
    """(..., n, D) with a last column of ones."""
    return torch.cat([features, features.new_ones(*features.shape[:-1], 1)], dim=-1)


class LinearHeads(nn.Module):
    """E heads side by side: logits (E, n, C) of features (E, n, D) by weights in whitened coordinates. Without classes
    there is one output, the prediction."""

    whitener: Tensor

    def __init__(self, whitener: Tensor, num_classes: int, start: Tensor | None = None) -> None:
        super().__init__()
        episodes, width, _ = whitener.shape
        self.register_buffer("whitener", whitener)  # (E, D, D), upper triangular: features @ whitener is white
        initial = whitener.new_zeros(episodes, width, max(1, num_classes)) if start is None else start.clone()
        self.weight = nn.Parameter(initial)

    def forward(self, features: Tensor) -> Tensor:
        return features @ (self.whitener @ self.weight)

    def of_parts(self, episodes: int, which: slice) -> LinearHeads:
        """Of (E * k) heads, k for each of `episodes` stacks, those at `which` of the k."""
        whitener, weight = (
            x.unflatten(0, (episodes, -1))[:, which].flatten(0, 1) for x in (self.whitener, self.weight)
        )
        return LinearHeads(whitener, weight.shape[-1], weight.detach())


def curvature_whitener(features: Tensor, weights: Tensor, l2: float, num_classes: int) -> Tensor:
    """(E, D, D) upper triangular U with U U^T the inverse of `1/2 X^T W X + l2 I` (the bias is not penalised);
    of `X^T W X + l2 I` in a regression."""
    gram = (0.5 if num_classes else 1.0) * (features * weights.unsqueeze(-1)).transpose(1, 2) @ features
    ridge = features.new_full((features.shape[-1],), l2)
    ridge[-1] = 1e-6 * max(1.0, l2)
    lower = torch.linalg.cholesky(gram + torch.diag(ridge))
    identity = torch.eye(features.shape[-1], dtype=features.dtype, device=features.device).expand_as(gram)
    return torch.linalg.solve_triangular(lower, identity, upper=False).transpose(1, 2)


def fit_heads(
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    num_classes: int,
    l2: float,
    whitener: Tensor | None = None,
    start: Tensor | None = None,
    tolerance: float = 1e-4,
    max_steps: int = 300,
) -> LinearHeads:
    """Heads (E) at the minimum of `sum_i w_i CE_i + l2/2 |W|^2` for features (E, n, D), labels and weights (E, n).

    Nesterov's accelerated gradient with restarts in whitened coordinates, until the step is below `tolerance`
    of the weights' scale in every episode. In a regression the loss is half the squared error, and the minimum is
    solved for.
    """
    with torch.no_grad():
        u = curvature_whitener(features, weights, l2, num_classes) if whitener is None else whitener
        white = features @ u
        if not num_classes:
            return LinearHeads(u, 0, _ridge(white, u, labels, weights, l2))
        target = functional.one_hot(labels, num_classes).to(features.dtype)
        ridge_rows = u.new_ones(u.shape[1], 1)
        ridge_rows[-1] = 0.0
        ridge = l2 * (u.transpose(1, 2) @ (ridge_rows * u))
        weighted = (white * weights.unsqueeze(-1)).transpose(1, 2)
        theta = u.new_zeros(u.shape[0], u.shape[2], num_classes) if start is None else start.clone()
        ahead = theta
        fresh = u.new_ones(u.shape[0], 1, 1)
        momentum, going = fresh, torch.ones_like(fresh, dtype=torch.bool)
        for _ in range(max_steps):
            gradient = torch.baddbmm(ridge @ ahead, weighted, torch.softmax(white @ ahead, dim=-1).sub_(target))
            following = ahead - gradient
            step = following - theta
            # Restarts and stops are each head's own: none may know when another, with other labels, was done.
            uphill = (step * gradient).sum((1, 2), keepdim=True) > 0
            momentum = torch.where(uphill, fresh, momentum)
            after = 0.5 * (1 + (1 + 4 * momentum.square()).sqrt())
            ahead = torch.where(going, torch.addcmul(following, (momentum - 1) / after, step), ahead)
            theta, momentum = torch.where(going, following, theta), after
            size = gradient.abs().amax((1, 2), keepdim=True)
            going = going & (size > tolerance * (1.0 + theta.abs().amax((1, 2), keepdim=True)))
            if not bool(going.any()):
                break
        return LinearHeads(u, num_classes, theta)


def _ridge(white: Tensor, u: Tensor, targets: Tensor, weights: Tensor, l2: float) -> Tensor:
    """(E, D, 1) minimum of `sum_i w_i (y_i - f_i)^2 / 2 + l2/2 |W|^2` in coordinates whitened by `u`."""
    ridge = u.clone()
    ridge[:, -1] = 0.0
    weighted = (white * weights.unsqueeze(-1)).transpose(1, 2)
    hessian = weighted @ white + l2 * (u.transpose(1, 2) @ ridge)
    return torch.linalg.solve(hessian, weighted @ targets.to(u.dtype).unsqueeze(-1))


def head_outputs(heads: LinearHeads, features: Tensor, folds: int) -> Tensor:
    """(E, folds, n, C) logits, or predictions, of features (E, n, D) under each stack's own heads."""
    episodes, n, width = features.shape
    wide = features.unsqueeze(1).expand(-1, folds, -1, -1).reshape(episodes * folds, n, width)
    with torch.no_grad():
        return heads(wide).reshape(episodes, folds, n, -1)


def head_log_probs(heads: LinearHeads, features: Tensor) -> Tensor:
    """(E, n, C) log probabilities of features (E, n, D), or of (n, D) under every head."""
    with torch.no_grad():
        return functional.log_softmax(heads(features), dim=-1)
