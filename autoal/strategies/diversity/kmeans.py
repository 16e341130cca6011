"""k-means: the points nearest the centres of b clusters."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.distances import centred, farthest_first, kmeans, nearest_centre

__all__ = ["KMeans", "nearest_of_each"]


class KMeans(Strategy):
    """Clusters the pool's embeddings into b clusters and asks for the point nearest each centre, largest cluster
    first.

    Where clusters are empty, as with fewer distinct points than b, the rest is farthest-first. It ignores what is
    labeled. Above 5e6 in N b the clusters come from mini-batches.
    """

    name = "kmeans"
    family = "diversity"
    source = "MacQueen 1967; seeding of Arthur and Vassilvitskii 2007"
    cost = "N b D times iterations"
    needs = frozenset({"embeddings"})
    tasks = BOTH_TASKS
    draws = True

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        (points,) = centred(view.pool.require("embeddings"))
        _, squared, assigned = kmeans(points, batch_size, rng)
        picks = nearest_of_each(squared, assigned, batch_size, rng)
        if len(picks) < batch_size:
            nearest = nearest_centre(points, points[picks])[0].index_fill(0, picks, -1)
            picks = torch.cat([picks, farthest_first(points, nearest, batch_size - len(picks), rng)])
        return ordered(picks, -squared)


def nearest_of_each(squared_N: Tensor, assigned_N: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Position of the smallest `squared_N` in each cluster that is not empty, largest cluster first."""
    order = random_ties(-squared_N, rng)
    place = torch.arange(len(order), device=order.device)
    first = place.new_full((count,), len(order)).scatter_reduce(0, assigned_N[order], place, "amin")
    sizes = torch.bincount(assigned_N, minlength=count)
    clusters = random_ties(sizes, rng)
    return order[first[clusters[sizes[clusters] > 0]]]
