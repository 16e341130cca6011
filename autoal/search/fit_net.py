"""FitNet: what a label is worth. A stack of linear heads on embeddings, one for each episode, trained together.

Axes: E episodes, n points, D features (a constant column included), C classes (1 output in a regression).

The step size is in units of a curvature bound (`autoal.anchor.heads`). The Hessian of half the squared error is
`X^T W X` itself, which no bound flatters: there every pseudo-pool point counts in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from autoal.anchor.heads import curvature_whitener

__all__ = ["HeadProblem", "clipped_log_loss", "clipped_squares"]

FLOOR = 0.01
"""Probability floor of the upper loss, so that no single point decides it."""
CLIP = 2.0
"""From so many noise deviations on, the upper loss of a regression grows linearly, for the same reason."""


def clipped_log_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """-log(floor + (1 - floor) p_y), in nats, with the shape of `targets`."""
    log_p = functional.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return -torch.log(FLOOR + (1 - FLOOR) * log_p.exp())


def clipped_squares(predicted: Tensor, targets: Tensor, noise: Tensor) -> Tensor:
    """Huber's loss of `(target - predicted) / noise`, with the shape of `targets`: half the square up to 2, then
    linear. `predicted` (..., n, 1), `noise` (..., 1).

    This is the Gaussian negative log-likelihood, in nats, with the noise held at one value for all that is compared.
    A likelihood that fits its variance anew after each batch lets a few held-out points decide it, and squares a bad
    miss besides; so the gate, which weighs a mean gain against its standard error, would stay shut on noise alone.
    """
    missed = ((targets - predicted.squeeze(-1)) / noise).abs()
    return torch.where(missed <= CLIP, 0.5 * missed.square(), CLIP * (missed - 0.5 * CLIP))


@dataclass(frozen=True)
class HeadProblem:
    """The lower level: heads trained on support points, and on pseudo-pool points as far as they are selected."""

    support: Tensor
    """(E, S, D) features with the constant column."""
    support_labels: Tensor
    """(E, S) classes; in a regression targets of unit size, here and below."""
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
    noise: Tensor
    """(E, 1) deviation of the targets around the prediction, the unit of the upper loss of a regression; else 1."""

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
        noise: Tensor | None = None,
    ) -> HeadProblem:
        """Adds the whitener of the curvature bound with every pseudo-pool point at its mean weight, doubled so
        that the bound holds for batches that are far from the mean; at weight 1 in a regression."""
        rows = torch.cat([support, pool], dim=1)
        share = min(1.0, 2.0 * batch / max(1, pool.shape[1])) if num_classes else 1.0
        weights = torch.cat([support.new_ones(support.shape[:2]), pool.new_full(pool.shape[:2], share)], dim=1)
        whitener = curvature_whitener(rows, weights, l2, num_classes)
        noise = support.new_ones(len(support), 1) if noise is None else noise
        return HeadProblem(
            support, support_labels, pool, pool_labels, validation, validation_labels, validation_weights,
            num_classes, batch, l2, whitener, noise,
        )  # fmt: skip

    def lower_loss(self, logits_of: Callable[[Tensor], Tensor], mask: Tensor) -> Tensor:
        """(E,) training loss under `mask` (E, P); `logits_of` is the heads' forward, or a functional form of it."""
        on_support = self._training_loss(logits_of(self.support), self.support_labels)
        on_pool = self._training_loss(logits_of(self.pool), self.pool_labels)
        # The logits of the unit vectors are the weights themselves; the last one is the bias, which is free.
        unit = torch.eye(self.support.shape[-1], dtype=self.support.dtype, device=self.support.device)[:-1]
        ridge = logits_of(unit.expand(self.support.shape[0], -1, -1)).square().sum((1, 2))
        return on_support.sum(1) + (mask * on_pool).sum(1) + 0.5 * self.l2 * ridge

    def _training_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(E, n) cross-entropy; half the squared error in a regression."""
        if self.num_classes:
            return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
        return 0.5 * (labels.to(logits.dtype) - logits.squeeze(-1)).square()

    def upper_loss(self, logits: Tensor) -> Tensor:
        """(E,) weighted `held_out_loss` of validation logits (E, V, C)."""
        return (self.validation_weights * self.held_out_loss(logits)).sum(1)

    def held_out_loss(self, logits: Tensor) -> Tensor:
        """(E, V) clipped log-loss of validation logits (E, V, C); clipped squares in a regression."""
        if self.num_classes:
            return clipped_log_loss(logits, self.validation_labels)
        return clipped_squares(logits, self.validation_labels.to(logits.dtype), self.noise)
