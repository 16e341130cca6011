"""Adversarial BIM: points that small signed gradient steps carry into another class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.selectors.base import RoundState
from autoal.strategies.base import Proposal

from ._adversarial import Logits, nearest, pool_distances
from ._training import CLASSIFICATION, RoundSelector

__all__ = ["AdversarialBIM", "bim_distances"]


@dataclass
class AdversarialBIM(RoundSelector):
    """Asks for the points whose predicted class changes after the shortest path of signed gradient steps of `eps`.

    The attack is on the task model itself, in its standardised inputs: torch models only. A point that does not change
    in `max_iter` steps comes last (the published code has no bound, and may not end).
    """

    name: ClassVar[str] = "adversarial_bim"
    source: ClassVar[str] = "Kurakin et al. 2017, arXiv 1607.02533; as a query in DeepAL, arXiv 2111.15258"
    cost: ClassVar[str] = "0 trainings; up to 100 N forward and backward passes"
    tasks: ClassVar[frozenset[str]] = CLASSIFICATION

    eps: float = 0.05
    max_iter: int = 100

    def __post_init__(self) -> None:
        if not self.eps > 0 or self.max_iter < 1:
            raise InvalidInput(f"got eps={self.eps}, max_iter={self.max_iter}; wanted more than 0, and 1 or more")

    def _answer(self, state: RoundState, seed: int, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        distances = pool_distances(state, self.name, lambda f, x: bim_distances(f, x, self.eps, self.max_iter))
        return nearest(distances, batch_size, seed)


def bim_distances(logits: Logits, x: Tensor, eps: float, max_iter: int) -> Tensor:
    """(n,) float64 squared length of x_adv - x where the prediction first changes; inf where it never does."""
    start = logits(x.detach()).detach().argmax(dim=1)
    distance = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    moved, left = x.detach().clone(), torch.arange(len(x), device=x.device)
    for _ in range(max_iter):
        step = moved[left].requires_grad_(True)
        loss = F.cross_entropy(logits(step), start[left], reduction="sum")
        moved[left] = (step + eps * torch.autograd.grad(loss, step)[0].sign()).detach()
        changed = logits(moved[left]).detach().argmax(dim=1) != start[left]
        done = left[changed]
        distance[done] = (moved[done] - x[done]).double().flatten(1).square().sum(dim=1)
        left = left[~changed]
        if len(left) == 0:
            break
    return distance
