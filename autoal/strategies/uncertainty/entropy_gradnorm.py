"""Entropy-GradNorm: points at which the predictive entropy depends most on the weights."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.gradient_norms import SCOPES, gradient_norm_scores

__all__ = ["EntropyGradNorm"]


class EntropyGradNorm(Strategy):
    """Asks for the points with the largest gradient of the predictive entropy by the weights.

    The score is a sum over parameter tensors of their gradients' norms, as in the authors' code. scope: `"last"`, the
    last layer alone, in closed form; `"all"`, every layer, which the model must provide (`gradient_norms`). The
    gradient vanishes at even predictions as at certain ones, so with two classes it asks near p = 0.18 and 0.82, and a
    model at chance tells it nothing.
    """

    name = "entropy_gradnorm"
    family = "uncertainty"
    source = "Wang et al. 2022, arXiv 2112.05683"
    cost = "N (C + D)"

    def __init__(self, scope: str = "last") -> None:
        self.scope = scope

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return SCOPES.get(self.scope, SCOPES["last"])

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return top_scores(gradient_norm_scores(view, self.scope, of_entropy=True), batch_size, rng)
