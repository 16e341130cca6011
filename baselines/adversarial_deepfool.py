"""Adversarial DeepFool: points nearest to a linearised decision boundary of the task model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.selectors.base import RoundState
from autoal.strategies.base import Proposal

from ._adversarial import Logits, nearest, pool_distances
from ._training import CLASSIFICATION, RoundSelector

__all__ = ["AdversarialDeepFool", "deepfool_distances"]


@dataclass
class AdversarialDeepFool(RoundSelector):
    """Asks for the points with the smallest perturbation that changes the predicted class, found by steps to the
    nearest boundary of the model made linear, at most `max_iter`.

    Each step is lengthened by `overshoot`, as in the attack's paper, so that it ends behind the boundary; the length
    that is compared is without it. Only the `classes` most likely classes count (10, ours). On the task model itself,
    in its standardised inputs: torch models only.
    The paper also trains on the perturbed copies of the points bought, which is not done here: only the query is
    compared.
    """

    name: ClassVar[str] = "adversarial_deepfool"
    source: ClassVar[str] = "Ducoffe and Precioso 2018, arXiv 1802.09841"
    cost: ClassVar[str] = "0 trainings; up to 50 min(C, 10) N forward and backward passes"
    tasks: ClassVar[frozenset[str]] = CLASSIFICATION

    max_iter: int = 50
    overshoot: float = 0.02
    classes: int = 10

    def __post_init__(self) -> None:
        if self.max_iter < 1 or self.overshoot < 0 or self.classes < 2:
            raise InvalidInput(
                f"got max_iter={self.max_iter}, overshoot={self.overshoot}, classes={self.classes}; wanted 1 or more, "
                "0 or more, 2 or more"
            )

    def _answer(self, state: RoundState, seed: int, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        distances = pool_distances(
            state, self.name, lambda f, x: deepfool_distances(f, x, self.max_iter, self.overshoot, self.classes)
        )
        return nearest(distances, batch_size, seed)


def deepfool_distances(logits: Logits, x: Tensor, max_iter: int, overshoot: float, classes: int) -> Tensor:
    """(n,) float64 squared length of the perturbation; inf where the prediction never changes."""
    x = x.detach()
    distance = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    total, left = torch.zeros_like(x), torch.arange(len(x), device=x.device)
    likely = logits(x).detach().topk(min(classes, logits(x[:1]).shape[1]), dim=1).indices  # column 0: the prediction
    for _ in range(max_iter):
        total[left] += _step(logits, x[left] + (1 + overshoot) * total[left], likely[left])
        now = logits(x[left] + (1 + overshoot) * total[left]).detach().argmax(dim=1)
        done = left[now != likely[left, 0]]
        distance[done] = total[done].double().flatten(1).square().sum(dim=1)
        left = left[now == likely[left, 0]]
        if len(left) == 0:
            break
    return distance


def _step(logits: Logits, x: Tensor, likely_n_k: Tensor) -> Tensor:
    """The shortest step from x to a boundary between the first of the likely classes and another one; 0 where the
    model is flat."""
    x = x.detach().requires_grad_(True)
    values = logits(x).gather(1, likely_n_k)
    best = torch.full((len(x),), torch.inf, device=x.device, dtype=x.dtype)
    step = torch.zeros_like(x)
    for k in range(1, likely_n_k.shape[1]):
        gap = values[:, k] - values[:, 0]
        slope = torch.autograd.grad(gap.sum(), x, retain_graph=True)[0]
        square = slope.flatten(1).square().sum(dim=1)
        gap = gap.detach().abs()
        length = torch.where(square > 0, gap / square.sqrt(), torch.inf)
        nearer = length < best
        best = torch.where(nearer, length, best)
        factor = (gap / square.clamp_min(torch.finfo(x.dtype).tiny)).reshape(-1, *[1] * (x.ndim - 1))
        step = torch.where(nearer.reshape(factor.shape), factor * slope, step)
    return step.detach()
