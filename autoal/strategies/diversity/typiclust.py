"""TypiClust: typical points of clusters that hold few labels. For small budgets."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered
from autoal.strategies.parts.distances import centred, kmeans, mean_neighbour_distance, unit_rows
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["TypiClust"]

MAX_CLUSTER = 20_000
"""Larger clusters are judged by a sample of this size."""


class TypiClust(Strategy):
    """Clusters pool and labeled points into min(L + b, `max_clusters`) clusters and asks for the most typical point
    of each, clusters with fewest labels first, then largest first, in turn.

    Typicality is 1 / (mean distance to the 20 nearest points of the cluster that may be asked for + 1e-5), on
    embeddings of length 1 (`normalise`). Clusters of 5 or fewer are left out; once the others are used up, the
    rest is random. `squared=True` averages squared distances, as the released code does. Above 50 clusters they
    come from mini-batches.
    """

    name = "typiclust"
    family = "diversity"
    source = "Hacohen, Dekel and Weinshall 2022, arXiv 2202.02794"
    cost = "N (L + b) D times iterations"
    needs = frozenset({"embeddings"})
    tasks = BOTH_TASKS
    draws = True

    def __init__(
        self, max_clusters: int = 500, neighbours: int = 20, normalise: bool = True, squared: bool = False
    ) -> None:
        self.max_clusters = max_clusters
        self.neighbours = neighbours
        self.normalise = normalise
        self.squared = squared

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        pool, labeled = pool_and_labeled(view)
        n, count = len(pool), min(len(labeled) + batch_size, self.max_clusters)
        if self.normalise:
            pool, labeled = unit_rows(pool), unit_rows(labeled)
        (points,) = centred(torch.cat([pool, labeled.to(pool.dtype)]))
        assigned = kmeans(points, count, rng, mini_batch=count > 50)[2]
        members = [part.tolist() for part in _members(assigned[:n], count)]
        sizes = torch.bincount(assigned, minlength=count).tolist()
        labels = torch.bincount(assigned[n:], minlength=count).tolist()
        shuffle = torch.randperm(count, generator=rng).tolist()
        turns = [c for c in sorted(shuffle, key=lambda c: (labels[c], -sizes[c])) if sizes[c] > 5 and members[c]]

        picks: list[int] = []
        rest = torch.full((n,), -torch.inf, dtype=torch.float64, device=points.device)
        while turns and len(picks) < batch_size:
            for c in turns[: batch_size - len(picks)]:
                inside = torch.tensor(members[c], device=points.device)
                typical, seen = self._typicality(points, inside, rng)
                rest[seen] = typical
                tied = (typical == typical.max()).nonzero().flatten()
                picks.append(int(seen[tied[int(torch.randint(len(tied), (), generator=rng))]]))
                members[c].remove(picks[-1])
            turns = [c for c in turns if members[c]]
        chosen = torch.tensor(picks, dtype=torch.int64, device=points.device)
        if len(picks) < batch_size:
            left = torch.ones(n, dtype=torch.bool, device=points.device).index_fill_(0, chosen, False)
            left = left.nonzero().flatten()
            some = torch.randperm(len(left), generator=rng)[: batch_size - len(picks)].to(left.device)
            chosen = torch.cat([chosen, left[some]])
        return ordered(chosen, rest)

    def _typicality(self, points: Tensor, inside: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Typicality of the points at `inside`, or of a sample of them, and which they are."""
        if len(inside) > MAX_CLUSTER:
            inside = inside[torch.randperm(len(inside), generator=rng)[:MAX_CLUSTER].to(inside.device)]
        near = min(self.neighbours, len(inside) // 2)
        if near == 0:
            return torch.zeros(len(inside), dtype=torch.float64, device=inside.device), inside
        return 1 / (mean_neighbour_distance(points[inside], near, self.squared) + 1e-5), inside


def _members(assigned: Tensor, count: int) -> tuple[Tensor, ...]:
    sizes = torch.bincount(assigned, minlength=count).tolist()
    return torch.split(torch.sort(assigned, stable=True).indices, sizes)
