"""Distances in tiles: never N x N. Axes: N points, M centres, D features.

Features are float32 and centred first, since |x|^2 + |y|^2 - 2xy loses about 1e-6 |x|^2 to rounding. What is left
below that is taken for 0, so that a duplicate is seen as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from autoal import compute
from autoal.compute import chunks

__all__ = [
    "NOISE",
    "centred",
    "farthest_first",
    "kmeans",
    "mean_neighbour_distance",
    "nearest_centre",
    "plus_plus",
    "squared_distances",
    "squared_norms",
    "tiles",
    "unit_rows",
]

NOISE = 1e-6
"""Rounding of a squared distance in float32, as a share of |x|^2 + |y|^2."""

CACHE_BYTES = 8 * 2**20
"""Size of a tile on a CPU: one that stays in the cache is several times faster than one that does not."""


def tiles(n: int, bytes_per_row: float, device: torch.device) -> Iterator[slice]:
    """Slices that cover `range(n)`, small enough for the cache on a CPU and for the budget anywhere."""
    budget = min(compute.CHUNK_BYTES, CACHE_BYTES) if device.type == "cpu" else None
    return chunks(n, bytes_per_row, budget)


def centred(points_N_D: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """float32 copies, each minus the mean of the first. Sizes whose squares leave float32 are scaled, all alike."""
    mean_D = points_N_D.mean(dim=0, dtype=torch.float64)
    moved = []
    for rows in (points_N_D, *others):
        rows = rows if rows.dtype == torch.float64 else rows.float()
        moved.append(rows - mean_D.to(rows.dtype))
    largest = max((float(rows.abs().amax()) for rows in moved if rows.numel()), default=0.0)
    if 0 < largest and not 1e-12 < largest < 1e12:
        moved = [rows / largest for rows in moved]
    return tuple(rows.float().contiguous() for rows in moved)


def unit_rows(rows_N_D: Tensor) -> Tensor:
    """Rows of length 1, float32 or float64 as given; a row of zeros stays one."""
    rows = rows_N_D if rows_N_D.dtype == torch.float64 else rows_N_D.float()
    tiny = torch.finfo(rows.dtype).tiny
    if rows.numel() == 0:
        return rows
    rows = rows / rows.abs().amax(dim=1, keepdim=True).clamp_min(tiny)  # lengths that would underflow
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min(tiny)


def squared_norms(rows_N_D: Tensor) -> Tensor:
    """(N,) squared lengths."""
    return torch.linalg.vector_norm(rows_N_D, dim=1).square()


def squared_distances(left_n_D: Tensor, right_m_D: Tensor) -> Tensor:
    """(n, m) squared Euclidean distances, in one piece: for tiles."""
    left_n, right_m = squared_norms(left_n_D), squared_norms(right_m_D)
    squared_n_m = torch.addmm(right_m, left_n_D, right_m_D.T, alpha=-2).add_(left_n[:, None])
    return squared_n_m.masked_fill_(squared_n_m < NOISE * (left_n[:, None] + right_m), 0)


def nearest_centre(points_N_D: Tensor, centres_M_D: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) squared distance to the nearest centre and (N,) which one; infinity and 0 where there is none."""
    n, m = len(points_N_D), len(centres_M_D)
    nearest_N = points_N_D.new_full((n,), torch.inf)
    which_N = torch.zeros(n, dtype=torch.int64, device=points_N_D.device)
    if m == 0:
        return nearest_N, which_N
    size_M = squared_norms(centres_M_D)
    for rows in tiles(n, 4 * m, points_N_D.device):
        part_n_M = torch.addmm(size_M, points_N_D[rows], centres_M_D.T, alpha=-2)
        torch.min(part_n_M, dim=1, out=(nearest_N[rows], which_N[rows]))
    size_N = squared_norms(points_N_D)
    nearest_N += size_N
    return nearest_N.masked_fill_(nearest_N < 2 * NOISE * size_N, 0), which_N


def farthest_first(
    points_N_D: Tensor, nearest_N: Tensor, count: int, rng: torch.Generator, block: int = 1024
) -> Tensor:
    """(count,) positions, each the one farthest from all centres before it (Gonzalez 1985), ties broken by `rng`.

    nearest_N is the squared distance to the centres there are already; a negative one is never picked. The list
    is that of the plain loop, but a pass over all points is made only when the picks have used up the `block`
    points that were farthest at the last one: distances can only fall, so the old ones bound the new.
    """
    n = len(points_N_D)
    nearest_N, size_N = nearest_N.clone(), squared_norms(points_N_D)
    shuffle_N = torch.randperm(n, generator=rng).to(nearest_N.device)
    rank_N = torch.empty_like(shuffle_N)
    rank_N[shuffle_N] = torch.arange(n, device=nearest_N.device)
    picks: list[int] = []
    while len(picks) < count:
        order_N = shuffle_N[torch.sort(nearest_N[shuffle_N], descending=True, stable=True).indices]
        if float(nearest_N[order_N[0]]) <= 0:  # only duplicates are left
            return torch.cat([order_N.new_tensor(picks), order_N[: count - len(picks)]])
        inside = order_N[:block]
        bound, bound_rank = -torch.inf, n
        if block < n:
            bound, bound_rank = float(nearest_N[order_N[block]]), int(rank_N[order_N[block]])
        values, points, sizes, ranks = nearest_N[inside], points_N_D[inside], size_N[inside], rank_N[inside]
        fresh: list[int] = []
        while len(picks) + len(fresh) < count:
            best = float(values.max())
            chosen = int(torch.where(values == best, ranks, n).argmin())
            if best < 0 or best < bound or (best == bound and int(ranks[chosen]) > bound_rank):
                break
            fresh.append(int(inside[chosen]))
            to_chosen = torch.addmv(sizes + sizes[chosen], points, points[chosen], alpha=-2)
            to_chosen.masked_fill_(to_chosen < NOISE * (sizes + sizes[chosen]), 0)
            values = torch.minimum(values, to_chosen)
            values[chosen] = -1
        picks += fresh
        if len(picks) < count:
            nearest_N = torch.minimum(nearest_N, nearest_centre(points_N_D, points_N_D[fresh])[0])
            nearest_N[fresh] = -1
    return shuffle_N.new_tensor(picks)


def plus_plus(
    distances: Callable[[slice | Tensor, Tensor], Tensor],
    weights_N: Tensor,
    count: int,
    rng: torch.Generator,
    *,
    taken: Tensor,
    draws: int = 64,
) -> Tensor:
    """(count,) distinct positions outside `taken`, by D^2 sampling: each drawn in proportion to its squared distance
    to the nearest pick, which `weights_N` holds for those in `taken`. Once all weights are 0, uniform.

    `distances(rows, picks)` gives a tile of squared distances. Points are drawn from weights that are out of date
    and kept with probability (true weight / old weight), which is the same distribution; all weights are brought
    up to date only when fewer than three in ten are kept.
    """
    n, device = len(weights_N), weights_N.device
    weights_N = weights_N.double().index_fill(0, taken, 0)
    taken_N = torch.zeros(n, dtype=torch.bool, device=device).index_fill_(0, taken, True)
    picks: list[int] = []
    recent: list[int] = []
    while len(picks) < count:
        cumulative_N = weights_N.cumsum(0)
        total = float(cumulative_N[-1])
        if not total > 0:
            left = (~taken_N).nonzero().flatten().cpu()
            filled = left[torch.randperm(len(left), generator=rng)[: count - len(picks)]]
            return torch.tensor(picks + filled.tolist(), dtype=torch.int64, device=device)
        uniform = torch.rand(2, draws, generator=rng, dtype=torch.float64)
        # A sum in another order may end above the last entry; such a draw falls back on the last point.
        drawn = torch.searchsorted(cumulative_N, (uniform[0] * total).to(device), right=True).clamp_(max=n - 1)
        # One draw after the other: in numpy, whose small arrays cost a tenth of tensors.
        names, kept = drawn.cpu().numpy(), 0
        among = distances(drawn, drawn).double().cpu().numpy()
        old = weights_N[drawn].cpu()
        bar, true = (uniform[1] * old).numpy(), old
        if recent:
            true = torch.minimum(old, distances(drawn, torch.tensor(recent, device=device)).double().amin(1).cpu())
        weight = np.where(np.isin(names, recent), 0.0, true.numpy())
        for t in range(draws):
            if len(picks) == count or not bar[t] < weight[t]:
                continue
            picks.append(int(names[t]))
            recent.append(picks[-1])
            weight = np.minimum(weight, among[:, t])
            weight[names == picks[-1]] = 0.0
            kept += 1
        taken_N[recent] = True
        if kept < 0.3 * draws and len(picks) < count:
            centres = torch.tensor(recent, device=device)
            for rows in tiles(n, 24 * len(recent), device):
                weights_N[rows] = torch.minimum(weights_N[rows], distances(rows, centres).double().amin(dim=1))
            weights_N[centres] = 0
            recent = []
    return torch.tensor(picks, dtype=torch.int64, device=device)


def kmeans(
    points_N_D: Tensor,
    count: int,
    rng: torch.Generator,
    *,
    mini_batch: bool | None = None,
    max_iterations: int = 300,
    tolerance: float = 1e-4,
) -> tuple[Tensor, Tensor, Tensor]:
    """Centres (count, D), squared distance of each point to its own (N,), and which that is (N,).

    k-means++ then Lloyd, until the centres move by less than `tolerance` of the mean variance. With `mini_batch`
    (by default above 5e6 distances a step) the seeds come from a sample and 100 steps of 5 000 points follow
    (Sculley 2010). Takes points from `centred`.
    """
    n, device = len(points_N_D), points_N_D.device
    if mini_batch is None:
        mini_batch = n * count > 5_000_000
    batch = max(5_000, 4 * count)
    mini_batch = mini_batch and n > batch
    seeds_from = points_N_D
    if mini_batch:
        seeds_from = points_N_D[torch.randperm(n, generator=rng)[: 2 * batch].to(device)]
    centres = seeds_from[_seeds(seeds_from, count, rng)].clone()
    if mini_batch:
        seen = points_N_D.new_zeros(count)
        for _ in range(100):
            sample = points_N_D[torch.randint(n, (batch,), generator=rng).to(device)]
            sums, sizes = _cluster_sums(sample, nearest_centre(sample, centres)[1], count)
            seen += sizes
            centres += (sums - sizes[:, None] * centres) / seen.clamp_min(1)[:, None]
        return (centres, *nearest_centre(points_N_D, centres))
    still = tolerance * float(points_N_D.var(dim=0, correction=0).mean())
    which = None
    for _ in range(max_iterations):
        nearest, assigned = nearest_centre(points_N_D, centres)
        if which is not None and torch.equal(assigned, which):
            return centres, nearest, assigned
        which = assigned
        sums, sizes = _cluster_sums(points_N_D, assigned, count)
        moved = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], centres)
        shift = float((moved - centres).square().sum())
        centres = moved
        if shift <= still:
            break
    return (centres, *nearest_centre(points_N_D, centres))


def _seeds(points_N_D: Tensor, count: int, rng: torch.Generator) -> Tensor:
    first = torch.randint(len(points_N_D), (1,), generator=rng).to(points_N_D.device)

    def distances(rows: slice | Tensor, picks: Tensor) -> Tensor:
        return squared_distances(points_N_D[rows], points_N_D[picks])

    nearest_N = distances(slice(None), first).flatten()
    return torch.cat([first, plus_plus(distances, nearest_N, count - 1, rng, taken=first)])


def _cluster_sums(points_N_D: Tensor, assigned_N: Tensor, count: int) -> tuple[Tensor, Tensor]:
    sizes = torch.bincount(assigned_N, minlength=count).to(points_N_D.dtype)
    sums = points_N_D.new_zeros(count, points_N_D.shape[1])
    if points_N_D.device.type == "cpu":
        return sums.index_add_(0, assigned_N, points_N_D), sizes
    for rows in tiles(len(points_N_D), 12 * count, points_N_D.device):  # index_add_ adds in any order there
        sums += torch.nn.functional.one_hot(assigned_N[rows], count).to(sums.dtype).T @ points_N_D[rows]
    return sums, sizes


def mean_neighbour_distance(points_n_D: Tensor, neighbours: int, squared: bool = False) -> Tensor:
    """(n,) mean distance of each point to its `neighbours` nearest others, (squared where asked for)."""
    n = len(points_n_D)
    means = torch.empty(n, dtype=torch.float64, device=points_n_D.device)
    for rows in tiles(n, 12 * n, points_n_D.device):
        part = squared_distances(points_n_D[rows], points_n_D)
        own = torch.arange(rows.start, rows.stop, device=part.device)
        part[own - rows.start, own] = torch.inf
        near = part.topk(neighbours, dim=1, largest=False, sorted=False).values.double()
        means[rows] = (near if squared else near.sqrt()).mean(dim=1)
    return means
