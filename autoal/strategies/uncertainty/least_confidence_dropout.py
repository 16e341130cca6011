"""Least confidence of the mean prediction of posterior samples."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, mean_log_probs, top_probability

__all__ = ["LeastConfidenceDropout"]


class LeastConfidenceDropout(Strategy):
    """Asks for the points whose mean prediction over K posterior samples, of MC dropout for one, has the least likely
    top class: 1 - max p, from 0 to 1 - 1/C. Where the samples are all alike, as without dropout, it is least
    confidence.
    """

    name = "least_confidence_dropout"
    family = "uncertainty"
    source = "Gal and Ghahramani 2016, arXiv 1506.02142; Zhan et al. 2022, arXiv 2203.13450"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        log_probs = view.pool.require("mc_log_probs")
        return top_scores(1 - by_rows(lambda rows: top_probability(mean_log_probs(rows)), log_probs), batch_size, rng)
