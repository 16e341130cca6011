"""k-means: the points nearest the centres of b clusters."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.distances import centred, farthest_first, kmeans, nearest_centre, unit_rows

__all__ = ["KMeans", "clustered_picks", "nearest_of_each"]


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
        picks, squared = _nearest_centres(points, batch_size, rng)
        return ordered(picks, -squared)


def clustered_picks(points_N_D: Tensor, candidates: Tensor, batch_size: int, rng: torch.Generator) -> Tensor:
    """(b,) distinct positions: the candidate nearest the centre of each of b k-means clusters of the candidates, on
    rows of length 1, largest cluster first. Where there are b or fewer, all of them, and others drawn at random."""
    if len(candidates) > batch_size:
        (points,) = centred(unit_rows(points_N_D[candidates]))
        return candidates[_nearest_centres(points, batch_size, rng)[0]]
    shuffle = torch.randperm(len(points_N_D), generator=rng).to(candidates.device)
    inside = torch.isin(shuffle, candidates)
    return torch.cat([shuffle[inside], shuffle[~inside]])[:batch_size]


def _nearest_centres(points_N_D: Tensor, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """(count,) the point nearest each k-means centre, farthest-first where clusters are empty; and (N,) the squared
    distance of each point to its centre."""
    _, squared, assigned = kmeans(points_N_D, count, rng)
    picks = nearest_of_each(squared, assigned, count, rng)
    if len(picks) < count:
        nearest = nearest_centre(points_N_D, points_N_D[picks])[0].index_fill(0, picks, -1)
        picks = torch.cat([picks, farthest_first(points_N_D, nearest, count - len(picks), rng)])
    return picks, squared


def nearest_of_each(squared_N: Tensor, assigned_N: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Position of the smallest `squared_N` in each cluster that is not empty, largest cluster first."""
    order = random_ties(-squared_N, rng)
    place = torch.arange(len(order), device=order.device)
    first = place.new_full((count,), len(order)).scatter_reduce(0, assigned_N[order], place, "amin")
    sizes = torch.bincount(assigned_N, minlength=count)
    clusters = random_ties(sizes, rng)
    return order[first[clusters[sizes[clusters] > 0]]]
