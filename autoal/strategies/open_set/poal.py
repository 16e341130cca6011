"""POAL: batches that are uncertain and look in-distribution, with no weight between the two."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName, shown
from autoal.outputs import PoolView
from autoal.rng import random_state
from autoal.strategies.base import Proposal, Strategy, ordered
from autoal.strategies.parts.confidence import (
    gmm_confidence,
    knn_confidence,
    mahalanobis_confidence,
    relative_confidence,
)
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.information import by_rows, entropy, margin, top_probability
from autoal.strategies.parts.pareto_subsets import poal_select
from autoal.strategies.parts.rejected import rejected_with

__all__ = ["Poal", "PoalPublished"]

CONFIDENCES = ("relative", "mahalanobis", "gmm", "knn", "max_softmax")


class Poal(Strategy):
    """Asks for a batch on the Pareto front of uncertainty and likeness to the labeled points, so that points of
    classes nobody asked for are not bought for being uncertain. There is no weight between the two.

    This default departs from the paper, which never looks at what was rejected; `poal_published` is its form. Ours:

    - `confidence="relative"`: once points have been rejected (`view.rejected`) they are one more class under the one
      covariance of all, and confidence is half of what the squared Mahalanobis distance to their mean exceeds that to
      the nearest known class's by.
    - Only points with such a confidence above 0 are candidates, while at least `gate` times the batch remain; else, and
      with `gate=None`, all are.
    - The covariance is shrunk as Ledoit and Wolf 2004 advise (`ridge="ledoit_wolf"`).

    While none is rejected (or their embeddings are missing) it is the published form with the shrinkage and no gate.
    With nothing labeled, utility alone.

    Other confidences, none of which has a gate: on embeddings `mahalanobis` (the published deep form, penultimate layer
    only), `gmm` (mixtures per class, the published classical form) or `knn`; on the outputs `max_softmax`. `ridge` is
    for `relative` and `mahalanobis`: a share of the mean variance, or `"ledoit_wolf"`; None is `"ledoit_wolf"` for the
    first and 1e-3 for the second. The energy score needs logits, which log probabilities no longer hold, and is left
    out.
    """

    name = "poal"
    family = "open set"
    source = "after Zhan et al. 2023, arXiv 2207.01190; rejected points and gate are ours"
    cost = "N D^2 + N log N + T b"
    needs = frozenset({"log_probs", "embeddings"})
    draws = True

    def __init__(
        self,
        confidence: str = "relative",
        utility: str = "entropy",
        preselect_factor: int = 6,
        max_draws: int | None = None,
        pick: str = "intersection",
        engine: str = "monte_carlo",
        early_stop: bool = True,
        ridge: float | str | None = None,
        gate: int | None = 6,
    ) -> None:
        self.confidence = confidence
        self.utility = utility
        self.preselect_factor = preselect_factor
        self.max_draws = max_draws
        self.pick = pick
        self.engine = engine
        self.early_stop = early_stop
        self.ridge = ridge
        self.gate = gate

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.gate is not None and not (isinstance(self.gate, int | float) and self.gate >= 1):
            raise InvalidInput(
                f"got gate={shown(self.gate)}; wanted a number of batches, at least 1, or None for no gate"
            )
        utility_N = _utility(self.utility, view.pool.require("log_probs"))
        confidence_N, has_zero = self._confidence(view, rng)
        inside_N = torch.ones(len(view), dtype=torch.bool, device=confidence_N.device)
        if has_zero and self.gate is not None and int((confidence_N > 0).sum()) >= self.gate * batch_size:
            inside_N = confidence_N > 0
        inside = inside_N.nonzero().flatten()
        selection = poal_select(
            utility_N[inside],
            confidence_N[inside],
            batch_size,
            rng,
            preselect_factor=self.preselect_factor,
            draws=self.max_draws,
            pick=self.pick,
            engine=self.engine,
            early_stop=self.early_stop,
        )
        # Within a layer by mean rank of the two, the term is below 1, so layers never mix; those outside come last, the
        # most confident first.
        rest_N = _dense_ranks(confidence_N) - float(selection.layers.max()) - 2
        rest_N[inside] = (
            _dense_ranks(utility_N[inside]) + _dense_ranks(confidence_N[inside])
        ) / 2 - selection.layers.double()
        return ordered(inside[selection.indices], rest_N)

    def _confidence(self, view: PoolView, rng: torch.Generator) -> tuple[Tensor, bool]:
        """(N,) confidence, and whether its sign tells known from rejected."""
        if self.confidence not in CONFIDENCES:
            raise UnknownName("confidence", self.confidence, CONFIDENCES)
        if self.confidence == "max_softmax":
            return top_probability(view.pool.require("log_probs")), False
        pool_N_D, labeled_L_D = pool_and_labeled(view)
        labels_L = view.labels.to(pool_N_D.device)
        if self.confidence == "gmm":
            return gmm_confidence(pool_N_D, labeled_L_D, labels_L, random_state(rng)), False
        if self.confidence == "knn":
            return knn_confidence(pool_N_D, labeled_L_D), False
        if self.confidence == "mahalanobis":
            ridge = 1e-3 if self.ridge is None else self.ridge
            return mahalanobis_confidence(pool_N_D, labeled_L_D, labels_L, ridge), False
        ridge = "ledoit_wolf" if self.ridge is None else self.ridge
        rejected = rejected_with(view, "embeddings")
        if rejected is None or len(labeled_L_D) == 0:
            return mahalanobis_confidence(pool_N_D, labeled_L_D, labels_L, ridge), False
        rejected_R_D = rejected.require("embeddings")
        if rejected_R_D.shape[1] != pool_N_D.shape[1]:
            raise InvalidInput(
                f"embeddings of the rejected points have {rejected_R_D.shape[1]} columns, those of the pool "
                f"{pool_N_D.shape[1]}; both must come from the same model"
            )
        return relative_confidence(pool_N_D, labeled_L_D, labels_L, rejected_R_D, ridge), True


class PoalPublished(Poal):
    """POAL as its paper has it: what was rejected is never looked at, and every point is a candidate.

    Confidence is `mahalanobis` (the deep experiments; one covariance, penultimate layer only, `ridge` 1e-3 of the mean
    variance on its diagonal so that it can be inverted) or `gmm` (the classical ones). `poal` is our form, which learns
    from what was rejected.

    The released code departs from its paper (it rejects no dominated subset, reads a covariance as its inverse and
    prefers distant points in the deep experiments); here these are mended.
    """

    name = "poal_published"
    source = "Zhan et al. 2023, arXiv 2207.01190"

    def __init__(
        self,
        confidence: str = "mahalanobis",
        utility: str = "entropy",
        preselect_factor: int = 6,
        max_draws: int | None = None,
        pick: str = "intersection",
        engine: str = "monte_carlo",
        early_stop: bool = True,
        ridge: float | str = 1e-3,
    ) -> None:
        super().__init__(confidence, utility, preselect_factor, max_draws, pick, engine, early_stop, ridge)

    def _confidence(self, view: PoolView, rng: torch.Generator) -> tuple[Tensor, bool]:
        if self.confidence == "relative":
            raise InvalidInput("got confidence='relative', which is not in the paper; wanted poal, which has it")
        return super()._confidence(view, rng)


def _dense_ranks(values_N: Tensor) -> Tensor:
    """(N,) in [0, 1), equal values share one."""
    levels, level_N = torch.unique(values_N, return_inverse=True)
    return level_N.double() / len(levels)


def _utility(utility: str, log_probs_N_C: Tensor) -> Tensor:
    if utility == "entropy":
        return by_rows(entropy, log_probs_N_C)
    if utility == "margin":
        return -by_rows(margin, log_probs_N_C)
    if utility == "least_confidence":
        return -top_probability(log_probs_N_C)
    raise UnknownName("utility", utility, ("entropy", "margin", "least_confidence"))
