"""FitNet: what a label is worth. A stack of softmax heads on embeddings, one for each episode, trained together.

Axes: E episodes, n points, D features (a constant column included), C classes.

The step size is in units of a curvature bound. For the softmax loss the Hessian is at most `1/2 X^T W X` for each
class (Boehning 1992, without the rank-one term), so in coordinates whitened by that bound plus the ridge a gradient
step of 1 always descends. Unrolled, implicit and full solutions all work in these coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["HeadProblem", "LinearHeads", "clipped_log_loss", "fit_heads", "head_log_probs", "with_bias"]

FLOOR = 0.01
"""Probability floor of the upper loss, so that no single point decides it."""


def with_bias(features: Tensor) -> Tensor:
    """(..., n, D) with a last column of ones."""
    return torch.cat([features, features.new_ones(*features.shape[:-1], 1)], dim=-1)


def clipped_log_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """-log(floor + (1 - floor) p_y), in nats, with the shape of `targets`."""
    log_p = functional.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return -torch.log(FLOOR + (1 - FLOOR) * log_p.exp())


class LinearHeads(nn.Module):
    """E heads side by side: logits (E, n, C) of features (E, n, D) by weights in whitened coordinates."""

    whitener: Tensor

    def __init__(self, whitener: Tensor, num_classes: int, start: Tensor | None = None) -> None:
        super().__init__()
        episodes, width, _ = whitener.shape
        self.register_buffer("whitener", whitener)  # (E, D, D), upper triangular: features @ whitener is white
        initial = whitener.new_zeros(episodes, width, num_classes) if start is None else start.clone()
        self.weight = nn.Parameter(initial)

    def forward(self, features: Tensor) -> Tensor:
        return features @ (self.whitener @ self.weight)


@dataclass(frozen=True)
class HeadProblem:
    """The lower level: heads trained on support points, and on pseudo-pool points as far as they are selected."""

    support: Tensor
    """(E, S, D) features with the constant column."""
    support_labels: Tensor
    """(E, S)"""
    pool: Tensor
    """(E, P, D)"""
    pool_labels: Tensor
    """(E, P)"""
    validation: Tensor
    """(E, V, D)"""
    validation_labels: Tensor
    """(E, V)"""
    validation_weights: Tensor
    """(E, V), each row sums to 1."""
    num_classes: int
    batch: int
    """Points selected in each episode."""
    l2: float
    whitener: Tensor
    """(E, D, D)"""

    @staticmethod
    def build(
        support: Tensor,
        support_labels: Tensor,
        pool: Tensor,
        pool_labels: Tensor,
        validation: Tensor,
        validation_labels: Tensor,
        validation_weights: Tensor,
        *,
        num_classes: int,
        batch: int,
        l2: float,
    ) -> HeadProblem:
        """Adds the whitener of the curvature bound with every pseudo-pool point at its mean weight, doubled so
        that the bound holds for batches that are far from the mean."""
        rows = torch.cat([support, pool], dim=1)
        share = min(1.0, 2.0 * batch / max(1, pool.shape[1]))
        weights = torch.cat([support.new_ones(support.shape[:2]), pool.new_full(pool.shape[:2], share)], dim=1)
        whitener = curvature_whitener(rows, weights, l2)
        return HeadProblem(
            support, support_labels, pool, pool_labels, validation, validation_labels, validation_weights,
            num_classes, batch, l2, whitener,
        )  # fmt: skip

    def lower_loss(self, logits_of: Callable[[Tensor], Tensor], mask: Tensor) -> Tensor:
        """(E,) training loss under `mask` (E, P); `logits_of` is the heads' forward, or a functional form of it."""
        on_support = functional.cross_entropy(
            logits_of(self.support).transpose(1, 2), self.support_labels, reduction="none"
        )
        on_pool = functional.cross_entropy(logits_of(self.pool).transpose(1, 2), self.pool_labels, reduction="none")
        # The logits of the unit vectors are the weights themselves; the last one is the bias, which is free.
        unit = torch.eye(self.support.shape[-1], dtype=self.support.dtype, device=self.support.device)[:-1]
        ridge = logits_of(unit.expand(self.support.shape[0], -1, -1)).square().sum((1, 2))
        return on_support.sum(1) + (mask * on_pool).sum(1) + 0.5 * self.l2 * ridge

    def upper_loss(self, logits: Tensor) -> Tensor:
        """(E,) weighted clipped log-loss of validation logits (E, V, C)."""
        return (self.validation_weights * clipped_log_loss(logits, self.validation_labels)).sum(1)


def curvature_whitener(features: Tensor, weights: Tensor, l2: float) -> Tensor:
    """(E, D, D) upper triangular U with U U^T the inverse of `1/2 X^T W X + l2 I` (the bias is not penalised)."""
    gram = 0.5 * (features * weights.unsqueeze(-1)).transpose(1, 2) @ features
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
    of the weights' scale in every episode.
    """
    with torch.no_grad():
        u = curvature_whitener(features, weights, l2) if whitener is None else whitener
        white = features @ u
        target = functional.one_hot(labels, num_classes).to(features.dtype)
        ridge_rows = u.new_ones(u.shape[1], 1)
        ridge_rows[-1] = 0.0
        theta = u.new_zeros(u.shape[0], u.shape[2], num_classes) if start is None else start.clone()
        ahead = theta
        momentum = u.new_ones(u.shape[0], 1, 1)
        going = torch.ones_like(momentum, dtype=torch.bool)
        for _ in range(max_steps):
            residual = (torch.softmax(white @ ahead, dim=-1) - target) * weights.unsqueeze(-1)
            gradient = white.transpose(1, 2) @ residual + l2 * (u.transpose(1, 2) @ (ridge_rows * (u @ ahead)))
            following = ahead - gradient
            step = following - theta
            # Restarts and stops are each head's own: none may know when another, with other labels, was done.
            uphill = (step * gradient).sum((1, 2), keepdim=True) > 0
            momentum = torch.where(uphill, torch.ones_like(momentum), momentum)
            after = 0.5 * (1 + (1 + 4 * momentum.square()).sqrt())
            ahead = torch.where(going, following + (momentum - 1) / after * step, ahead)
            theta, momentum = torch.where(going, following, theta), after
            size = gradient.abs().amax((1, 2), keepdim=True)
            going = going & (size > tolerance * (1.0 + theta.abs().amax((1, 2), keepdim=True)))
            if not bool(going.any()):
                break
        return LinearHeads(u, num_classes, theta)


def head_log_probs(heads: LinearHeads, features: Tensor) -> Tensor:
    """(E, n, C) log probabilities of features (E, n, D), or of (n, D) under every head."""
    with torch.no_grad():
        return functional.log_softmax(heads(features), dim=-1)
