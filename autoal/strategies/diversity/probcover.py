"""ProbCover: balls of one size that cover most of the pool."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered
from autoal.strategies.parts.coverage import greedy_coverage
from autoal.strategies.parts.distances import centred, kmeans, squared_distances, tiles, unit_rows
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["ProbCover", "pure_radius"]

SAMPLE = 5_000
"""Points among which the radius is chosen."""
REFERENCES = 1_000
"""Points that the density of the others is measured by."""
REGRESSION_CLUSTERS = 10
"""Clusters that balls shall not mix in a regression, where there is no number of classes to take."""


class ProbCover(Strategy):
    """Asks each time for the point whose ball covers most points of the pool that no ball of a labeled or chosen point
    covers yet, on embeddings of length 1.

    delta: the radius. `"auto"` is the largest one at which a share `purity` of the points have a ball that lies in
    their own of C k-means clusters (10 in a regression, ours). Results depend on it.

    At least 1 - 1/e of the best coverage. Ours: equal counts go by density; the radius is chosen on 5 000 points of
    larger pools, and coverage is counted on 10 000, so that no graph of the pool is ever stored; once all is
    covered the rest of the batch is by MaxHerding.
    """

    name = "probcover"
    family = "diversity"
    source = "Yehuda et al. 2022, arXiv 2205.11320"
    cost = "N min(N, 10 000) D"
    needs = frozenset({"embeddings"})
    tasks = BOTH_TASKS
    draws = True

    def __init__(self, delta: float | str = "auto", purity: float = 0.95) -> None:
        self.delta = delta
        self.purity = purity

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not 0 < self.purity <= 1:
            raise InvalidInput(f"got purity={self.purity}; wanted a share above 0 and at most 1")
        pool, labeled = map(unit_rows, pool_and_labeled(view))
        delta = self.delta
        if isinstance(delta, str):
            if delta != "auto":
                raise InvalidInput(f"got delta={delta!r}; wanted 'auto' or a positive number")
            delta = pure_radius(pool, view.num_classes or REGRESSION_CLUSTERS, self.purity, rng)
        elif not delta > 0:
            raise InvalidInput(f"got delta={delta}; wanted 'auto' or a positive number")
        density, equal = _density(pool, rng), torch.ones(len(pool), dtype=torch.float64, device=pool.device)
        picks, gains, first = greedy_coverage(
            pool, equal, labeled, batch_size, bandwidth=delta, ball=True, liked_N=density, normalise=False, rng=rng
        )
        picks = picks[gains > 0]
        if len(picks) < batch_size:
            left = equal.index_fill(0, picks, 0).nonzero().flatten()
            covered, more = torch.cat([labeled.to(pool.dtype), pool[picks]]), batch_size - len(picks)
            filled = greedy_coverage(pool, equal, covered, more, bandwidth=1.0, candidates=left, rng=rng)[0]
            picks = torch.cat([picks, filled])
        return ordered(picks, first)


def pure_radius(points_N_D: Tensor, clusters: int, purity: float, rng: torch.Generator) -> float:
    """Largest radius at which a share `purity` of the balls holds points of one k-means cluster alone; at least 1e-3,
    and 1 where there is one cluster.

    A ball is pure up to the nearest point of another cluster, so that the answer is a quantile of those distances.
    Cost S^2 D for S = min(N, 5 000) points, and k-means on them.
    """
    some = torch.randperm(len(points_N_D), generator=rng)[:SAMPLE].to(points_N_D.device)
    (points,) = centred(points_N_D[some])
    cluster = kmeans(points, min(max(2, clusters), len(points)), rng, mini_batch=False)[2]
    nearest = points.new_empty(len(points))
    for rows in tiles(len(points), 8 * len(points), points.device):
        part = squared_distances(points[rows], points)
        nearest[rows] = part.masked_fill_(cluster[rows, None] == cluster, torch.inf).amin(dim=1).sqrt()
    # `allowed` balls may be mixed; the nearest stranger of the next one is the rim.
    allowed = int((1 - purity) * len(points) + 1e-9)
    radius = float(nearest.sort().values[min(allowed, len(points) - 1)])
    return max(radius, 1e-3) if radius < torch.inf else 1.0


def _density(points_N_D: Tensor, rng: torch.Generator) -> Tensor:
    """(N,) mean similarity exp(-d^2) to points of the pool."""
    some = torch.randperm(len(points_N_D), generator=rng)[:REFERENCES].to(points_N_D.device)
    (points,) = centred(points_N_D)
    density = torch.empty(len(points), dtype=torch.float64, device=points.device)
    for rows in tiles(len(points), 8 * len(some), points.device):
        density[rows] = squared_distances(points[rows], points[some]).neg_().exp_().double().mean(dim=1)
    return density
