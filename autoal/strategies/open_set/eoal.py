"""EOAL: points that heads of the known classes are sure of, far from all that was rejected."""

from __future__ import annotations

import math

import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, random_ties, top_scores
from autoal.strategies.parts.distances import centred, squared_distances, tiles
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.rejected import cross_entropy_head, one_vs_all_heads, rejected_with
from autoal.strategies.parts.strata import merged_by_rank

__all__ = ["EOAL", "first_neighbour_clusters"]

FACTOR = 4
"""Candidates per pick among which the clusters take turns."""


class EOAL(Strategy):
    """Asks for points of small closed-set entropy less distance entropy, from clusters that take turns. The first is
    the mean entropy of C one-vs-all heads: small where the classes are known. The second is the entropy of a softmax of
    minus the distances to C clusters of the rejected points: large far from all of them. Points that a detector with
    C + 1 outputs takes for unknown come last.

    Ours: heads and detector are linear, on the embeddings of the task model, which they cannot change, so that the
    paper's regulariser of its features has no place; turns are among the best 4 b, clustered by first neighbours into
    C; distances are in units of their mean. `weight` is that of the rejected points in the heads. While nothing is
    rejected there is one entropy and no detector, as in the first round of the paper. With nothing labeled all are
    equal. It buys known points, not informative ones.
    """

    name = "eoal"
    family = "open set"
    source = "Safaei et al. 2024, arXiv 2312.14126"
    cost = "N C D + b^2 D"
    needs = frozenset({"embeddings"})

    def __init__(self, weight: float = 0.8) -> None:
        self.weight = weight

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        pool, labeled = pool_and_labeled(view)
        classes = view.num_classes
        if len(labeled) == 0:
            return top_scores(torch.zeros(len(pool), device=pool.device), batch_size, rng)
        labeled, labels = labeled.to(pool.dtype), view.labels.to(pool.device)
        rejected = rejected_with(view, "embeddings")
        unknown = pool[:0] if rejected is None else rejected.require("embeddings").to(pool.dtype)
        heads = one_vs_all_heads(labeled, labels, unknown, classes, self.weight)
        score = _binary_entropy(heads(pool)).mean(dim=1) / math.log(2)
        strange = torch.zeros(len(pool), dtype=torch.bool, device=pool.device)
        if len(unknown):
            score -= _distance_entropy(pool, unknown, classes)
            targets = torch.cat([labels, labels.new_full((len(unknown),), classes)])
            detector = cross_entropy_head(torch.cat([labeled, unknown]), targets, classes + 1)
            strange = detector(pool).argmax(dim=1) == classes
        score = score.mul_(1e5).round_().div_(1e5)  # a fit says no more
        # Tiers: candidates in turns, above other points taken for known, above the unknown; scores are within 1 of 0.
        key = torch.where(strange, -3.0, 3.0) - score
        best = random_ties(key, rng, FACTOR * batch_size)
        best = best[~strange[best]]
        if len(best):
            (rows,) = centred(pool[best])
            key[best] = 10 + merged_by_rank(-score[best], first_neighbour_clusters(rows, classes))
        return top_scores(key, batch_size, rng)


def _binary_entropy(logits: Tensor) -> Tensor:
    """Nats; large logits have none."""
    probs = logits.sigmoid()
    return torch.special.entr(probs) + torch.special.entr((-logits).sigmoid())


def _distance_entropy(pool_N_D: Tensor, unknown_R_D: Tensor, clusters: int) -> Tensor:
    """(N,) in [0, 1], 0 where there is one cluster."""
    unknown, pool = centred(unknown_R_D, pool_N_D)
    member = first_neighbour_clusters(unknown, clusters)
    count = int(member.max()) + 1
    if count < 2:
        return pool.new_zeros(len(pool), dtype=torch.float64)
    distance = squared_distances(pool, _means(unknown, member, count)).double().sqrt()
    shares = (-distance / distance.mean().clamp_min(1e-300)).softmax(dim=1)
    return torch.special.entr(shares).sum(dim=1) / math.log(count)


def _means(points_n_D: Tensor, member_n: Tensor, count: int) -> Tensor:
    sums = points_n_D.new_zeros(count, points_n_D.shape[1], dtype=torch.float64)
    sums.index_add_(0, member_n, points_n_D.double())
    return (sums / torch.bincount(member_n, minlength=count)[:, None]).to(points_n_D.dtype)


def first_neighbour_clusters(points_n_D: Tensor, count: int) -> Tensor:
    """(n,) int64 cluster, `count` of them at most: points join their nearest neighbour, then the means of what is
    joined do (FINCH, Sarfraz et al. 2019), until a step would leave fewer; from there the nearest two join."""
    member = torch.arange(len(points_n_D), device=points_n_D.device)
    means, left = points_n_D, len(points_n_D)
    while left > max(count, 1):
        nearest, squared = torch.empty_like(member[:left]), means.new_empty(left)
        for rows in tiles(left, 12 * left, means.device):
            part = squared_distances(means[rows], means)
            own = torch.arange(rows.start, rows.stop, device=part.device)
            part[own - rows.start, own] = torch.inf
            squared[rows], nearest[rows] = part.min(dim=1)
        links = torch.stack([torch.arange(left), nearest.cpu()]).numpy()
        fewer, joined = connected_components(coo_matrix(([1] * left, links), shape=(left, left)), directed=False)
        step = torch.from_numpy(joined).long().to(member.device)
        if fewer < count:
            low, high = sorted((int(squared.argmin()), int(nearest[squared.argmin()])))
            step = torch.arange(left, device=member.device)
            step[high] = low
            step[high + 1 :] -= 1
            fewer = left - 1
        member, left = step[member], fewer
        means = _means(points_n_D, member, left)
    return member
