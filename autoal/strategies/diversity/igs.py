"""Greedy sampling for regression (iGS): points far from the labeled ones in the embedding and in the target.

Axes: N points, M labeled or chosen points, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered
from autoal.strategies.diversity.kcenter import k_center
from autoal.strategies.parts.distances import centred, squared_distances, tiles
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["ImprovedGreedySampling", "Places", "greedy_sampling"]


class ImprovedGreedySampling(Strategy):
    """Asks each time for the point whose smallest product of two distances to a labeled or chosen one is largest: that
    of the embeddings, and that of the targets, which is the model's prediction less the label.

    Only for regressions. Without labels it is the greedy sampling of the embeddings (GSx): the point nearest the mean,
    then farthest-first; with labels that method is `kcenter`. Ours: the embeddings stand for the standardised inputs,
    and within a batch the prediction of a chosen point stands for its label, where the paper asks for one point at a
    time. Formulas as in the authors' sample code, read in full.
    """

    name = "igs"
    family = "diversity"
    source = "Wu, Lin and Huang 2019, arXiv 1808.04245"
    cost = "N (L + b) D"
    needs = frozenset({"embeddings", "log_probs"})
    tasks = frozenset({"regression"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        return greedy_sampling(view, batch_size, rng, lambda places: torch.mul)


Criterion = Callable[[Tensor, Tensor], Tensor]
"""Of two tensors of distances (n, M), in the embedding and in the target, what the smallest counts of; (n, M)."""


class Places(NamedTuple):
    """Where the pool and the labeled points lie, in the embedding and in the target; targets have one unit for all."""

    points_N_D: Tensor
    means_N: Tensor
    labeled_M_D: Tensor
    targets_M: Tensor

    def distances(self, rows: slice) -> tuple[Tensor, Tensor]:
        """(n, M) float64 distances of these points to all labeled ones, in the embedding and in the target."""
        apart_n_M = squared_distances(self.points_N_D[rows], self.labeled_M_D).double().sqrt_()
        return apart_n_M, (self.means_N[rows, None] - self.targets_M).abs_()

    def tiles(self) -> list[slice]:
        return list(tiles(len(self.points_N_D), 32.0 * len(self.labeled_M_D), self.points_N_D.device))


def greedy_sampling(
    view: PoolView, batch_size: int, rng: torch.Generator, criterion_of: Callable[[Places], Criterion]
) -> Proposal:
    """The batch in which each point has the largest value, that is, the smallest criterion over all labeled and chosen
    points. `criterion_of` is told where the points are. Ties go by `rng`; farthest-first on embeddings without labels.
    """
    pool, labeled = pool_and_labeled(view)
    if len(labeled) == 0:
        return k_center(pool, labeled, batch_size, rng)
    points, known = centred(pool, labeled)
    means, targets = view.pool.require("means").double(), view.labels.double().to(pool.device)
    unit = float(torch.cat([means, targets]).abs().amax()) or 1.0  # products of targets of any unit stay finite
    places = Places(points, means / unit, known, targets / unit)
    criterion = criterion_of(places)
    value_N = torch.empty(len(points), dtype=torch.float64, device=points.device)
    for rows in places.tiles():
        value_N[rows] = criterion(*places.distances(rows)).amin(dim=1)
    first_N, shuffle_N = value_N.clone(), torch.randperm(len(points), generator=rng).to(points.device)
    picks: list[int] = []
    while len(picks) < batch_size:
        pick = int(shuffle_N[value_N[shuffle_N].argmax()])
        picks.append(pick)
        # The chosen point joins the labeled ones, with its prediction for its label.
        chosen = places._replace(labeled_M_D=points[[pick]], targets_M=places.means_N[[pick]])
        for rows in chosen.tiles():
            value_N[rows] = torch.minimum(value_N[rows], criterion(*chosen.distances(rows)).flatten())
        value_N[picks] = -torch.inf
    return ordered(torch.tensor(picks, device=points.device), first_N)
