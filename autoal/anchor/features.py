"""What is said of a point: its uncertainty, and features in units that mean the same in every round.

Axes: E episodes, M committee members, n points, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.anchor.committee import with_committee

__all__ = ["NUM_FEATURES", "point_features", "standardised", "target_features", "target_scale", "uncertainty_of"]

NUM_FEATURES = 4
"""Of a point: distances to the labeled points and to its neighbors, and two of what heads think of it."""


def point_features(
    log_probs: Tensor, committee: Tensor | None, to_labeled: Tensor, log_sparsity: Tensor
) -> tuple[Tensor, Tensor]:
    """Uncertainty (..., n) = 1 - margin of the mean probability, and features (..., n, 4), standardised over n.

    `log_probs` (..., n, C), `committee` (..., M, n, C), log distance to the labeled set (..., n), log distance to
    the neighbors (..., n). Features: both distances, the entropy's percentile, the committee's disagreement.
    """
    members = with_committee(log_probs, committee)
    probs = members.mean(-3)
    disagreement = _entropy(probs) - _entropy(members).mean(-2)
    entropy = _entropy(probs)
    percentile = entropy.argsort(-1).argsort(-1).to(probs.dtype)
    z = torch.stack([to_labeled, -log_sparsity, percentile, disagreement], dim=-1)
    return uncertainty_of(probs), _standardised(z)


def uncertainty_of(probs: Tensor) -> Tensor:
    """(..., n) 1 - margin of probabilities (..., n, C), in [0, 1]."""
    top = probs.topk(min(2, probs.shape[-1]), dim=-1).values
    return (1.0 - (top[..., 0] - top[..., -1] if probs.shape[-1] > 1 else top[..., 0])).clamp(0, 1)


def _standardised(z: Tensor) -> Tensor:
    centred = z - z.mean(-2, keepdim=True)
    # Limited to three standard deviations: one far point must not own the value of the batch.
    deviation = centred.square().mean(-2, keepdim=True).sqrt()
    return (centred / deviation.clamp_min(1e-6)).clamp(-3, 3)


def target_features(
    means: Tensor, committee: Tensor | None, to_labeled: Tensor, log_sparsity: Tensor
) -> tuple[Tensor, Tensor]:
    """The same in a regression, from predictions `means` (..., n) and `committee` (..., M, n).

    Uncertainty is the rank of the committee's standard deviation in (0, 1]: a rank, because the deviations of an
    episode's few points and of a whole pool then have one distribution, and no far point makes all others count
    nothing. Without a committee it is 1 everywhere. Features: both distances, the percentile of the prediction,
    the log of the deviation.
    """
    deviation = torch.zeros_like(to_labeled)
    uncertainty = torch.ones_like(to_labeled)
    if committee is not None:
        deviation = committee.std(-2, correction=0).to(to_labeled)
        uncertainty = _percentile(deviation)
    spread = torch.log(deviation + 1e-6 * deviation.amax(-1, keepdim=True) + 1e-12)
    z = torch.stack([to_labeled, -log_sparsity, _percentile(means.to(to_labeled)), spread], dim=-1)
    return uncertainty, _standardised(z)


def _percentile(values: Tensor) -> Tensor:
    """(..., n) share of the values that are below, with half of those that are equal."""
    order = values.sort(-1).values.contiguous()
    values = values.contiguous()
    below, upto = torch.searchsorted(order, values), torch.searchsorted(order, values, right=True)
    return (0.5 * (below + upto) / values.shape[-1]).to(values.dtype)


def _entropy(probs: Tensor) -> Tensor:
    return -torch.special.xlogy(probs, probs).sum(-1)


def target_scale(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation (E, 1) of targets (E, n), the latter 1 where they are constant; with classes 0 and 1."""
    if num_classes:
        return torch.zeros(len(labels), 1, device=labels.device), torch.ones(len(labels), 1, device=labels.device)
    shift, unit = labels.mean(1, keepdim=True), labels.std(1, keepdim=True, correction=0)
    return shift, torch.where(unit > 1e-12 * (1 + shift.abs()), unit, torch.ones_like(unit))


def standardised(labels: Tensor, shift: Tensor, unit: Tensor) -> Tensor:
    """Targets (E, n) as float32 in units of the support's deviation; classes as they are."""
    return ((labels - shift) / unit).float() if labels.is_floating_point() else labels
