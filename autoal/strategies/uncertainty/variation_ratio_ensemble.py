"""Variation ratio of an ensemble: the share of networks that do not vote for the most voted class."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, mean_log_probs, top_probability
from autoal.strategies.uncertainty.variation_ratio import variation_ratio

__all__ = ["VariationRatioEnsemble", "ensemble_variation_ratio"]


class VariationRatioEnsemble(Strategy):
    """Asks for the points on which the votes of M networks, trained from different starts, are most split.

    M votes give at most M levels. Within a level (our choice) the least confident mean prediction comes first, which
    moves a score by less than half of the step 1/M. With one network it is least confidence, halved. Costs M trainings
    a round.
    """

    name = "variation_ratio_ensemble"
    family = "uncertainty"
    source = "Beluch et al. 2018"
    cost = "N M C"
    needs = frozenset({"ensemble_log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        log_probs = view.pool.require("ensemble_log_probs")
        return top_scores(by_rows(ensemble_variation_ratio, log_probs), batch_size, rng)


def ensemble_variation_ratio(log_probs_N_M_C: Tensor) -> Tensor:
    """(N,) 1 - (votes of the most voted class) / M, plus (1 - max of the mean probability) / 2M; float64."""
    unsure_N = 1 - top_probability(mean_log_probs(log_probs_N_M_C))
    return variation_ratio(log_probs_N_M_C) + unsure_N / (2 * log_probs_N_M_C.shape[1])
