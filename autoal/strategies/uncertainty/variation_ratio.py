"""Variation ratio: the share of posterior samples that do not vote for the most voted class."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, margin, mean_log_probs

__all__ = ["VariationRatio", "variation_ratio"]


class VariationRatio(Strategy):
    """Asks for the points on which the posterior samples' votes are most split.

    K votes give few levels, so points of one level are ordered by the margin of the mean prediction, which moves a
    score by less than half of the step 1/K. (1 - max p of one prediction, often sold under this name, is least
    confidence.)
    """

    name = "variation_ratio"
    family = "uncertainty"
    source = "Freeman 1965; Gal and Ghahramani 2016, arXiv 1506.02142"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        log_probs = view.pool.require("mc_log_probs")
        samples = log_probs.shape[1]

        def score(rows_N_K_C: Tensor) -> Tensor:
            return variation_ratio(rows_N_K_C) + (1 - margin(mean_log_probs(rows_N_K_C))) / (2 * samples)

        return top_scores(by_rows(score, log_probs), batch_size, rng)


def variation_ratio(log_probs_N_K_C: Tensor) -> Tensor:
    """(N,) 1 - (votes of the most voted class) / K, in float64."""
    votes = torch.nn.functional.one_hot(log_probs_N_K_C.argmax(dim=2), log_probs_N_K_C.shape[2]).sum(dim=1)
    return 1 - votes.amax(dim=1).double() / log_probs_N_K_C.shape[1]
