"""Expected-GradNorm: points whose label is expected to move the weights most."""

from __future__ import annotations

import torch

from autoal.errors import UnknownName
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.gradient_norms import SCOPES, gradient_norm_scores

__all__ = ["ExpectedGradNorm"]

FORMS = ("per_label", "reference")


class ExpectedGradNorm(Strategy):
    """Asks for the points with the largest gradient of the expected loss by the weights.

    form: as printed and released, the gradient of the expected cross-entropy under the model's own prediction, which is
    that of the entropy: `"reference"` gives the very scores of `entropy_gradnorm` (with the prediction held fixed it
    would be 0 everywhere). The default `"per_label"` is ours: the norm for each label, averaged by its probability
    (expected gradient length), which is another number. scope: as in `entropy_gradnorm`.
    """

    name = "expected_gradnorm"
    family = "uncertainty"
    source = "Wang et al. 2022, arXiv 2112.05683; Settles, Craven and Ray 2008"
    cost = "N (C + D)"

    def __init__(self, scope: str = "last", form: str = "per_label") -> None:
        self.scope = scope
        self.form = form

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return SCOPES.get(self.scope, SCOPES["last"])

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.form not in FORMS:
            raise UnknownName("form", self.form, FORMS)
        scores = gradient_norm_scores(view, self.scope, of_entropy=self.form == "reference")
        return top_scores(scores, batch_size, rng)
