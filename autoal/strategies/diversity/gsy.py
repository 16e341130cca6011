"""Greedy sampling of the target (GSy): points whose prediction is far from all labels."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy
from autoal.strategies.diversity.igs import greedy_sampling

__all__ = ["TargetGreedySampling"]


class TargetGreedySampling(Strategy):
    """Asks each time for the point whose prediction is farthest from the labels of all labeled points, and from the
    predictions of those chosen before (ours: the paper asks for one point at a time).

    Only for regressions. Without labels it goes by embeddings, as iGS does. Formula as in the authors' sample code,
    read in full.
    """

    name = "gsy"
    family = "diversity"
    source = "Wu, Lin and Huang 2019, arXiv 1808.04245"
    cost = "N (L + b) D"
    needs = frozenset({"embeddings", "log_probs"})
    tasks = frozenset({"regression"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return greedy_sampling(view, batch_size, rng, lambda places: lambda apart, target: target)
