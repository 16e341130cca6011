"""DACS: core-set with more picks from sparse regions."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import PoolView
from autoal.rng import generator
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered, random_ties
from autoal.strategies.diversity.kcenter_pca import principal_coordinates
from autoal.strategies.parts.distances import (
    NOISE,
    centred,
    farthest_first,
    nearest_centre,
    squared_norms,
    tiles,
    unit_rows,
)
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.information import by_rows, entropy, margin, top_probability

__all__ = ["DACS", "bucket_density", "natural_breaks", "neighbour_density", "quotas"]

BINS = 1_024
"""Densities are told apart this finely when they are split."""
MEASURES = {
    "margin": lambda log_probs: -margin(log_probs),
    "entropy": entropy,
    "least_confidence": lambda log_probs: -top_probability(log_probs),
}


class DACS(Strategy):
    """Splits the pool by density into `groups` and asks by k-center inside each, sparse groups first, with more picks
    for small groups. The labeled points and the picks of earlier groups are centres from the start.

    density: `"knn"` is k over the distance to the k-th neighbour, k = `neighbours`, exact; `"lsh"` counts points in
    the same buckets of random projections, which is linear in N, but draws them from a fixed seed. Both in
    `width` principal components of length 1: the paper trains a small head for such vectors, which belongs to the
    model's training, so here they come from the embeddings. k-center reads the same vectors.

    share: picks per group. `"size"` is softmax((1 - n_g / N) / T), T = `temperature`, which favours small groups,
    sparse or not; `"inverse_density"` is softmax(-(mean density of g) / (T mean density)).
    uncertainty: None, or `"margin"`, `"entropy"`, `"least_confidence"`, in a classification: four times as many are
    chosen so, and the most uncertain of these are asked for.

    The paper gives no numbers; widths, groups, T, the LSH formula and the combination are ours. `groups=1` is k-center.
    """

    name = "dacs"
    family = "diversity"
    source = "Kim and Shin 2022, arXiv 2206.04838"
    cost = "N^2 K + N D^2, K = 32 components"
    tasks = BOTH_TASKS

    def __init__(
        self,
        groups: int = 4,
        neighbours: int = 20,
        density: str = "knn",
        share: str = "size",
        temperature: float = 0.25,
        width: int = 32,
        uncertainty: str | None = None,
        factor: int = 4,
    ) -> None:
        self.groups = groups
        self.neighbours = neighbours
        self.density = density
        self.share = share
        self.temperature = temperature
        self.width = width
        self.uncertainty = uncertainty
        self.factor = factor

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"embeddings"} if self.uncertainty is None else {"embeddings", "log_probs"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        self.check(view.task)
        pool, labeled = (unit_rows(side) for side in principal_coordinates(*pool_and_labeled(view), self.width))
        wanted = batch_size if self.uncertainty is None else min(len(pool), self.factor * batch_size)
        picks, nearest = self.spread(pool, labeled, wanted, rng)
        if self.uncertainty is None:
            return ordered(picks, nearest)
        doubt = by_rows(MEASURES[self.uncertainty], view.pool.require("log_probs"))
        best = random_ties(doubt[picks], rng, batch_size)
        return ordered(picks[best], nearest)

    def spread(self, pool_N_K: Tensor, labeled_L_K: Tensor, wanted: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(wanted,) positions of rows of length 1, in order, and (N,) squared distance of each to the nearest labeled
        one: without a look at any uncertainty."""
        density = neighbour_density(pool_N_K, self.neighbours) if self.density == "knn" else bucket_density(pool_N_K)
        group = natural_breaks(density, self.groups)
        return _grouped_k_center(pool_N_K, labeled_L_K, group, self._quotas(density, group, wanted), rng)

    def check(self, task: str) -> None:
        """Raises InvalidInput or UnknownName for an option that cannot be."""
        for name, least in (("groups", 1), ("neighbours", 1), ("width", 1), ("factor", 1)):
            if getattr(self, name) < least:
                raise InvalidInput(f"got {name}={getattr(self, name)}; wanted {least} or more")
        if not self.temperature > 0:
            raise InvalidInput(f"got temperature={self.temperature}; wanted a positive number")
        for name, known in (("density", ("knn", "lsh")), ("share", ("size", "inverse_density"))):
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)
        if self.uncertainty is not None:
            if self.uncertainty not in MEASURES:
                raise UnknownName("uncertainty", self.uncertainty, MEASURES)
            if task == "regression":
                raise InvalidInput("these measures of uncertainty need classes; use uncertainty=None in a regression")

    def _quotas(self, density_N: Tensor, group_N: Tensor, wanted: int) -> list[int]:
        size_G = torch.bincount(group_N).double()
        if self.share == "size":
            exponent_G = 1 - size_G / len(group_N)
        else:
            mean_G = torch.zeros_like(size_G).index_add_(0, group_N, density_N) / size_G
            exponent_G = -mean_G / density_N.mean()
        return quotas((exponent_G / self.temperature).softmax(dim=0).tolist(), size_G.long().tolist(), wanted)


def neighbour_density(points_N_D: Tensor, neighbours: int) -> Tensor:
    """(N,) float64: k over the distance to the k-th nearest other point, k = min(`neighbours`, N - 1), in tiles."""
    n = len(points_N_D)
    k = min(neighbours, n - 1)
    if k == 0:
        return points_N_D.new_ones(n, dtype=torch.float64)
    distance_N = torch.empty(n, dtype=torch.float64, device=points_N_D.device)
    size_N = squared_norms(points_N_D)
    for rows in tiles(n, 8 * n, points_N_D.device):
        part = torch.addmm(size_N, points_N_D[rows], points_N_D.T, alpha=-2)  # squared distance, less the row's own
        # Each row holds the point itself, at distance 0: the k-th other one is the k + 1-st.
        squared = part.topk(k + 1, dim=1, largest=False, sorted=True).values[:, k] + size_N[rows]
        distance_N[rows] = squared.masked_fill_(squared < 2 * NOISE * size_N[rows], 0).double().sqrt()
    return k / distance_N.clamp_min(1e-12)


def bucket_density(points_N_D: Tensor, tables: int = 16, bits: int | None = None) -> Tensor:
    """(N,) float64 estimate of mean_j (1 - angle_ij / pi)^bits over the other points j: the mean share of them that
    falls into the same bucket of `tables` tables of sign random projections. Points of length 1. By default
    ceil(log2(N / 50)) bits, 1 at least; drawn from a fixed seed. Cost N D tables bits."""
    n, width = points_N_D.shape
    bits = max(1, math.ceil(math.log2(max(n, 2) / 50))) if bits is None else bits
    made = generator(0, "buckets")
    powers = 2 ** torch.arange(bits, device=points_N_D.device)
    share_N = points_N_D.new_zeros(n, dtype=torch.float64)
    for _ in range(tables):
        directions = torch.randn(width, bits, generator=made, dtype=torch.float64).to(points_N_D)
        key_N = ((points_N_D @ directions > 0) * powers).sum(dim=1)
        _, bucket_N, count = torch.unique(key_N, return_inverse=True, return_counts=True)
        share_N += (count[bucket_N] - 1).double() / max(n - 1, 1)
    return share_N / tables


def natural_breaks(values_N: Tensor, groups: int) -> Tensor:
    """(N,) int64 group of each value, 0 the smallest: the split into at most `groups` intervals with the least sum of
    squared distances to their means (Jenks), up to the width of a bin where there are more than `BINS` values."""
    values, place = np.unique(values_N.double().cpu().numpy(), return_inverse=True)
    if len(values) > BINS:
        width = (values[-1] - values[0]) / BINS
        place = np.minimum(((values[place] - values[0]) / width).astype(np.int64), BINS - 1)
    place = np.unique(place, return_inverse=True)[1]
    weight = np.bincount(place).astype(np.float64)
    moved = values_N.double().cpu().numpy()
    moved = moved - moved.mean()
    total = np.bincount(place, weights=moved)
    count, groups = len(weight), min(groups, len(weight))
    weights, totals = np.insert(weight.cumsum(), 0, 0.0), np.insert(total.cumsum(), 0, 0.0)
    # Least scatter is greatest sum of total^2 / weight over the groups; best[e]: of the first e bins in so many groups.
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (totals[None] - totals[:, None]) ** 2 / (weights[None] - weights[:, None])
    gain[np.tril_indices(count + 1)] = -np.inf
    best = gain[0]
    starts = []
    for _ in range(groups - 1):
        table = best[:, None] + gain
        starts.append(table.argmax(axis=0))
        best = table.max(axis=0)
    end, bounds = count, []
    for start in reversed(starts):
        end = int(start[end])
        bounds.append(end)
    group = np.searchsorted(np.sort(bounds), place, side="right")
    return torch.from_numpy(group.astype(np.int64)).to(values_N.device)


def quotas(shares: list[float], sizes: list[int], wanted: int) -> list[int]:
    """Whole numbers near `shares` times `wanted` (largest remainders), none above its size; what does not fit goes to
    the next group, and from the last to the first."""
    exact = [share * wanted for share in shares]
    given = [math.floor(x) for x in exact]
    by_remainder = sorted(range(len(exact)), key=lambda g: given[g] - exact[g])
    for g in by_remainder[: wanted - sum(given)]:
        given[g] += 1
    left = 0
    for g in [*range(len(given)), *range(len(given))]:
        taken = min(sizes[g], given[g] + left)
        left, given[g] = given[g] + left - taken, taken
    return given


def _grouped_k_center(
    points_N_D: Tensor, labeled_L_D: Tensor, group_N: Tensor, wanted: list[int], rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Picks, and the squared distance of each point to the nearest labeled one."""
    points_N_D, labeled_L_D = centred(points_N_D, labeled_L_D)
    picks = torch.empty(0, dtype=torch.int64, device=points_N_D.device)
    known_N = nearest_N = nearest_centre(points_N_D, labeled_L_D)[0]
    if len(labeled_L_D) == 0:  # the point of the first group that is nearest the mean of the pool
        first = next(g for g, count in enumerate(wanted) if count)
        inside = (group_N == first).nonzero().flatten()
        picks = inside[random_ties(-squared_norms(points_N_D[inside]), rng, 1)]
        known_N = nearest_N = nearest_centre(points_N_D, points_N_D[picks])[0]
        wanted = [count - (g == first) for g, count in enumerate(wanted)]
    for g, count in enumerate(wanted):
        if count:
            inside = (group_N == g).nonzero().flatten()
            free = nearest_N[inside].masked_fill(torch.isin(inside, picks), -1)
            fresh = inside[farthest_first(points_N_D[inside], free, count, rng)]
            nearest_N = torch.minimum(nearest_N, nearest_centre(points_N_D, points_N_D[fresh])[0])
            picks = torch.cat([picks, fresh])
    return picks, known_N
