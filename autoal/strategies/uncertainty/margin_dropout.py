"""Margin of the mean prediction of posterior samples."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, margin, mean_log_probs

__all__ = ["MarginDropout"]


class MarginDropout(Strategy):
    """Asks for the points whose mean prediction over K posterior samples, of MC dropout for one, has its two most
    likely classes closest: -(p1 - p2), from -1 to 0. Where the samples are all alike, as without dropout, it is margin.
    """

    name = "margin_dropout"
    family = "uncertainty"
    source = "Gal and Ghahramani 2016, arXiv 1506.02142; Zhan et al. 2022, arXiv 2203.13450"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        log_probs = view.pool.require("mc_log_probs")
        return top_scores(-by_rows(lambda rows: margin(mean_log_probs(rows)), log_probs), batch_size, rng)
