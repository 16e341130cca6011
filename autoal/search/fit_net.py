"""FitNet: what a label is worth. A stack of softmax heads on embeddings, one for each episode, trained together;
in a regression (`num_classes` 0), of ridge heads with one output.

Axes: E episodes, n points, D features (a constant column included), C classes (1 output in a regression).

The step size is in units of a curvature bound. For the softmax loss the Hessian is at most `1/2 X^T W X` for each
class (Boehning 1992, without the rank-one term), so in coordinates whitened by that bound plus the ridge a gradient
step of 1 always descends. Unrolled, implicit and full solutions all work in these coordinates. The Hessian of half
the squared error is `X^T W X` itself, which no bound flatters: there every pseudo-pool point counts in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoal.errors import InvalidInput

__all__ = [
    "HeadProblem",
    "LinearHeads",
    "agreement",
    "bagged_and_halved",
    "bagged_heads",
    "clipped_log_loss",
    "clipped_squares",
    "fit_heads",
    "head_log_probs",
    "head_outputs",
    "with_bias",
]

FLOOR = 0.01
"""Probability floor of the upper loss, so that no single point decides it."""
CLIP = 2.0
"""From so many noise deviations on, the upper loss of a regression grows linearly, for the same reason."""


def with_bias(features: Tensor) -> Tensor:
    """(..., n, D) with a last column of ones."""
    return torch.cat([features, features.new_ones(*features.shape[:-1], 1)], dim=-1)


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
    upper: str = "log_loss"
    """`SearchConfig.upper`"""
    target: Tensor | None = None
    """(T, D) points of the pool, for the upper loss that is the entropy of the predictions on them."""

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
        upper: str = "log_loss",
        target: Tensor | None = None,
    ) -> HeadProblem:
        """Adds the whitener of the curvature bound with every pseudo-pool point at its mean weight, doubled so
        that the bound holds for batches that are far from the mean; at weight 1 in a regression.

        Raises InvalidInput for `upper` "entropy" in a regression.
        """
        if upper == "entropy" and not num_classes:
            raise InvalidInput("got upper='entropy' in a regression, whose predictions have none; wanted 'log_loss'")
        rows = torch.cat([support, pool], dim=1)
        share = min(1.0, 2.0 * batch / max(1, pool.shape[1])) if num_classes else 1.0
        weights = torch.cat([support.new_ones(support.shape[:2]), pool.new_full(pool.shape[:2], share)], dim=1)
        whitener = curvature_whitener(rows, weights, l2, num_classes)
        noise = support.new_ones(len(support), 1) if noise is None else noise
        return HeadProblem(
            support, support_labels, pool, pool_labels, validation, validation_labels, validation_weights,
            num_classes, batch, l2, whitener, noise, upper, target,
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

    def objective(self, logits_of: Callable[[Tensor], Tensor], mask: Tensor) -> Tensor:
        """(E,) what SearchNet lowers, once the heads `logits_of` were trained under `mask` (E, P): by `upper` the
        upper loss, the mean entropy on `target`, or minus the mean loss of the selected points."""
        if self.upper == "hardness":
            return -(mask * self._training_loss(logits_of(self.pool), self.pool_labels)).sum(1) / mask.sum(1)
        if self.upper == "entropy":
            assert self.target is not None
            log_p = functional.log_softmax(logits_of(self.target.expand(len(self.pool), -1, -1)), dim=-1)
            return -(log_p.exp() * log_p).sum(-1).mean(1)
        return self.upper_loss(logits_of(self.validation))

    def upper_loss(self, logits: Tensor) -> Tensor:
        """(E,) weighted `held_out_loss` of validation logits (E, V, C)."""
        return (self.validation_weights * self.held_out_loss(logits)).sum(1)

    def held_out_loss(self, logits: Tensor) -> Tensor:
        """(E, V) clipped log-loss of validation logits (E, V, C); clipped squares in a regression."""
        if self.num_classes:
            return clipped_log_loss(logits, self.validation_labels)
        return clipped_squares(logits, self.validation_labels.to(logits.dtype), self.noise)


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


def fit_on_parts(features: Tensor, labels: Tensor, parts: Tensor, *, num_classes: int, l2: float) -> LinearHeads:
    """(E * k) heads for stacks of points (E, n, D) with labels (E, n), each on one of the parts (E, k, n) of its own
    stack, a mask of zeros and ones."""
    episodes, n, width = features.shape
    k = parts.shape[1]
    wide = features.unsqueeze(1).expand(-1, k, -1, -1).reshape(episodes * k, n, width)
    tiled = labels.unsqueeze(1).expand(-1, k, -1).reshape(episodes * k, n)
    weights = parts.reshape(episodes * k, n).to(features)
    return fit_heads(wide, tiled, weights, num_classes=num_classes, l2=l2, tolerance=1e-3, max_steps=60)


def folds_left_out(episodes: int, n: int, folds: int, rng: torch.Generator) -> Tensor:
    """(E, folds, n) bool: all points but those of one fold, drawn for each stack."""
    fold = torch.stack([torch.randperm(n, generator=rng) for _ in range(episodes)]) % folds
    return fold.unsqueeze(1) != torch.arange(folds).unsqueeze(1)


def halves(labels: Tensor, halvings: int, rng: torch.Generator) -> Tensor:
    """(E, 2 * halvings, n) bool: the two halves of each halving, one after the other, drawn class by class of `labels`
    (E, n)."""
    first = torch.zeros(len(labels), halvings, labels.shape[1], dtype=torch.bool)
    for e, each in enumerate(labels.cpu()):
        for h in range(halvings):
            order = torch.randperm(len(each), generator=rng)
            first[e, h, order[each[order].argsort(stable=True)][h % 2 :: 2]] = True
    return torch.stack([first, ~first], dim=2).flatten(1, 2)


def bagged_heads(
    features: Tensor, labels: Tensor, folds: int, *, num_classes: int, l2: float, rng: torch.Generator
) -> LinearHeads | None:
    """`folds` heads for each stack of points (E, n, D) with labels (E, n), each without one fold; (E * folds) heads."""
    return bagged_and_halved(features, labels, folds, 0, num_classes=num_classes, l2=l2, rng=rng, halving_rng=rng)[0]


def bagged_and_halved(
    features: Tensor,
    labels: Tensor,
    folds: int,
    halvings: int,
    *,
    num_classes: int,
    l2: float,
    rng: torch.Generator,
    halving_rng: torch.Generator,
) -> tuple[LinearHeads | None, LinearHeads | None]:
    """`bagged_heads`, and heads (E * 2 * halvings) on the `halves` of the same points, fitted in one go: the steps of
    the one cost hardly more with the other beside them. None for what was not asked for, or has too few points."""
    episodes, n = labels.shape
    parts = []
    asked = (folds if 2 <= folds <= n else 0, 2 * halvings)
    if asked[0]:
        parts.append(folds_left_out(episodes, n, folds, rng))
    if asked[1]:
        parts.append(halves(labels, halvings, halving_rng))
    if not parts:
        return None, None
    heads = fit_on_parts(features, labels, torch.cat(parts, dim=1), num_classes=num_classes, l2=l2)
    bagged = heads.of_parts(episodes, slice(asked[0])) if asked[0] else None
    return bagged, heads.of_parts(episodes, slice(asked[0], None)) if asked[1] else None


def agreement(heads: LinearHeads, on: Tensor) -> Tensor:
    """(E,) in [0, 1]: correlation, over points `on` (E, m, D), of the square roots of the probabilities under two
    heads that were fitted on two halves of the same labels; mean over the halvings. `heads` are those of `halves`."""
    copies = len(heads.whitener) // len(on)
    roots = functional.log_softmax(head_outputs(heads, on, copies), dim=-1).div(2).exp()
    centred = roots - roots.mean(2, keepdim=True)
    one, other = centred[:, 0::2], centred[:, 1::2]
    lengths = one.square().sum((2, 3)).sqrt() * other.square().sum((2, 3)).sqrt()
    return ((one * other).sum((2, 3)) / lengths.clamp_min(1e-12)).mean(1).clamp(0, 1)


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
