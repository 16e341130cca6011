"""Mean standard deviation of the class probabilities, or of the predicted target, over posterior samples."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows
from autoal.strategies.parts.regression import sample_features

__all__ = ["MeanStd", "mean_std"]


class MeanStd(Strategy):
    """Asks for the points whose class probabilities vary most from one posterior sample to the next.

    The standard deviation is that of the K samples as a population, averaged over classes: 0 where they agree, 0.5
    for two opposite certain ones and two classes. In a regression it is that of the predicted target, in its unit.
    """

    name = "mean_std"
    family = "uncertainty"
    source = "Kampffmeyer, Salberg and Jenssen 2016"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})
    tasks = BOTH_TASKS

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if view.task == "regression":
            return top_scores(sample_features(view.pool.require("mc_means")).norm(dim=1), batch_size, rng)
        return top_scores(by_rows(mean_std, view.pool.require("mc_log_probs")), batch_size, rng)


def mean_std(log_probs_N_K_C: Tensor) -> Tensor:
    """(N,) mean over classes of the standard deviation over samples."""
    return log_probs_N_K_C.double().exp().std(dim=1, correction=0).mean(dim=1)
