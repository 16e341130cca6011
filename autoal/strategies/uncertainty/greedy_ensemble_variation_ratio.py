"""Variation ratio of a greedy ensemble, whose networks were trained to differ from each other."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows
from autoal.strategies.uncertainty.variation_ratio_ensemble import ensemble_variation_ratio

__all__ = ["GreedyEnsembleVariationRatio"]


class GreedyEnsembleVariationRatio(Strategy):
    """Asks for the points on which the votes of M networks are most split, each of them trained to differ, in function
    space, from those before it.

    Points of one level are ordered as by `variation_ratio_ensemble`. The paper has no active learning: reading its
    ensemble for votes is ours. Costs about two trainings for each network a round.
    """

    name = "greedy_ensemble_variation_ratio"
    family = "uncertainty"
    source = "Tiulpin and Blaschko 2022, arXiv 2105.14275; Beluch et al. 2018"
    cost = "N M C"
    needs = frozenset({"greedy_log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        log_probs = view.pool.require("greedy_log_probs")
        return top_scores(by_rows(ensemble_variation_ratio, log_probs), batch_size, rng)
