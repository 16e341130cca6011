"""CEAL: the model's surest predictions serve as labels while the query is made."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoal.errors import InvalidInput, MissingOutput, UnknownName
from autoal.outputs import PoolView
from autoal.rng import generator
from autoal.selectors.base import RoundState
from autoal.strategies import CANDIDATES
from autoal.strategies.base import Proposal
from autoal.strategies.parts.information import entropy

from ._training import CLASSIFICATION, RoundSelector

__all__ = ["CEAL", "pseudo_labels"]


@dataclass
class CEAL(RoundSelector):
    """Trains a copy of the task model on the labels and on predictions whose entropy is below a threshold, and asks
    for what `base` then wants; the threshold is `threshold` - `decay` * round, and never below 0.

    Points with such a label stay in the pool and cost nothing. Where no prediction is sure enough, the answer is that
    of `base` on the task model. In the paper the model with pseudo-labels is also the one measured: here that is
    the ordinary task model, so that only the query is compared. The default threshold asks for networks that are
    nearly saturated; logistic regression seldom is.
    """

    name: ClassVar[str] = "ceal"
    source: ClassVar[str] = "Wang et al. 2016, arXiv 1701.03551"
    cost: ClassVar[str] = "1 training where there are pseudo-labels"
    tasks: ClassVar[frozenset[str]] = CLASSIFICATION

    base: str = "entropy"
    threshold: float = 5e-5
    decay: float = 3.3e-7

    def __post_init__(self) -> None:
        if self.base not in CANDIDATES:
            raise UnknownName("strategy", self.base, CANDIDATES)
        if self.threshold < 0 or self.decay < 0:
            raise InvalidInput(f"got threshold={self.threshold}, decay={self.decay}; wanted 0 or more")

    @property
    def needs(self) -> frozenset[str]:
        return CANDIDATES[self.base]().needs_for("classification") | {"log_probs"}

    def threshold_in(self, round: int) -> float:
        """Entropy in nats below which a prediction serves as a label."""
        return max(0.0, self.threshold - self.decay * round)

    def _answer(self, state: RoundState, seed: int, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        sure, labels = pseudo_labels(state.view.pool.require("log_probs"), self.threshold_in(state.round))
        view = state.view if len(sure) == 0 else self._with(state, sure, labels, seed)
        missing = sorted(self.needs - view.pool.present())
        if missing:
            raise MissingOutput(f"the model gives no {', '.join(missing)}, which {self.base} reads; choose another")
        proposal = CANDIDATES[self.base]().propose(view, batch_size, generator(seed, "base"))
        return proposal, {"pseudo_labels": len(sure)}

    def _with(self, state: RoundState, sure: Tensor, labels: Tensor, seed: int) -> PoolView:
        """What a copy of the task model says that was trained on the pseudo-labels too."""
        view, pool, labeled = state.view, state.pool_indices, state.labeled_indices
        assert pool is not None and labeled is not None
        if state.model is None or not getattr(state.model, "trains", True):
            raise InvalidInput("ceal trains a copy of the task model, and this one cannot be trained")
        model = copy.copy(state.model)  # `fit` puts new weights in the place of the old ones, and changes none
        indices, order = torch.cat([labeled, pool[sure.cpu()]]).sort()
        model.fit(
            state.inputs, indices, torch.cat([view.labels, labels.to(view.labels)])[order.to(view.device)].cpu(),
            view.num_classes, seed=seed,
        )  # fmt: skip

        def outputs(rows: Tensor) -> Any:
            return model.outputs(state.inputs, rows, self.needs, seed=seed, device=view.device)

        return PoolView(outputs(pool), outputs(labeled), view.labels, view.num_classes)


def pseudo_labels(log_probs_N_C: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Positions of the points whose predictive entropy is below the threshold, and their predicted classes."""
    sure = (entropy(log_probs_N_C) < threshold).nonzero().flatten()
    return sure, log_probs_N_C[sure].argmax(dim=1)
