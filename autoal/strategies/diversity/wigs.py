"""Weighted greedy sampling for regression (WiGS): a sum of two distances in the place of iGS's product."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy
from autoal.strategies.diversity.igs import Criterion, Places, greedy_sampling

__all__ = ["WeightedGreedySampling"]


class WeightedGreedySampling(Strategy):
    """Asks each time for the point whose smallest value of `weight` x + (1 - `weight`) y over all labeled and chosen
    points is largest: x is the distance of the embeddings, y that of the prediction and the label, both scaled to
    [0, 1] over all pairs of a point of the pool and a labeled one.

    Only for regressions; a point like a labeled one in the embedding, but far from its label, has a value here and none
    in iGS. This is the variant with a fixed weight; weights that fall with time or are learned from round to round need
    a history, which no strategy has, and are left out. Without labels it goes by embeddings, as iGS does. Ours: what
    iGS takes for inputs and for labels within a batch, and the scale, which is that of the start of the batch. Formulas
    as in the authors' code for fixed weights, read in full; of the paper, the beginning.
    """

    name = "wigs"
    family = "diversity"
    source = "Nguyen, Russo, Hoffman and McCormick 2026, arXiv 2603.10435, fixed weight"
    cost = "N (L + b) D"
    needs = frozenset({"embeddings", "log_probs"})
    tasks = frozenset({"regression"})

    def __init__(self, weight: float = 0.5) -> None:
        self.weight = weight

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not 0 <= self.weight <= 1:
            raise InvalidInput(f"got weight={self.weight}; wanted a share from 0 to 1")
        return greedy_sampling(view, batch_size, rng, self._criterion)

    def _criterion(self, places: Places) -> Criterion:
        extremes = [torch.stack([torch.stack(d.aminmax()) for d in places.distances(rows)]) for rows in places.tiles()]
        low_2, high_2 = torch.stack(extremes)[..., 0].amin(dim=0), torch.stack(extremes)[..., 1].amax(dim=0)
        # Where all distances are alike they say nothing, and are 0.
        span_2 = torch.where(high_2 > low_2, high_2 - low_2, torch.inf)

        def weighted(apart_n_M: Tensor, target_n_M: Tensor) -> Tensor:
            x, y = (apart_n_M - low_2[0]) / span_2[0], (target_n_M - low_2[1]) / span_2[1]
            return self.weight * x + (1 - self.weight) * y

        return weighted
