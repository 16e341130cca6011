"""Batches chosen in a space of features or kernel values (Holzmueller et al. 2023). Axes: N points, L labeled,
P features.

Each takes a space, the size of the batch and a generator, which breaks ties, and gives positions in order. A greedy
rule that has nothing left to gain, because all that is left are copies, goes on at random.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.strategies.parts.distances import farthest_first, plus_plus, tiles
from autoal.strategies.parts.fisher import rank_one_batch
from autoal.strategies.parts.kernels import Features, InfiniteNetwork, Posterior, Space, posterior, robust_cholesky

__all__ = ["bait_forward_backward", "frank_wolfe", "k_means_plus_plus", "largest_cluster", "max_det", "max_dist"]

FLAT = 1e-12
"""A variance below this share of the largest is rounding."""


def max_dist(space: Space, count: int, rng: torch.Generator, labeled: bool = True) -> Tensor:
    """Farthest first: each pick is the one farthest from all picks and, where asked for, labeled points. Without any
    the first is the one of largest norm."""
    nearest_N, _, first = _start(space, rng, labeled)
    if isinstance(space, Features):
        return torch.cat([first, farthest_first(space.centred[0], nearest_N, count - len(first), rng)])
    ranks_N = _ranks(space, rng)
    picks = first.tolist()
    while len(picks) < count:
        pick, value = _best(nearest_N, ranks_N)
        if value <= 0:
            return _filled(picks, count, ranks_N)
        picks.append(pick)
        nearest_N = torch.minimum(nearest_N, _columns(space, [pick])[:, 0])
        nearest_N[pick] = -1
    return torch.tensor(picks, dtype=torch.int64, device=space.device)


def _start(space: Space, rng: torch.Generator, labeled: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(N,) squared distances to the labeled points, where asked for and there are any, (N,) which is nearest, and no
    pick; else to the point of largest norm, whose own is -1, 0, and that point."""
    nothing = torch.empty(0, dtype=torch.int64, device=space.device)
    if labeled and space.labeled_count:
        return (*space.nearest_labeled(), nothing)
    pick, _ = _best(space.sizes(), _ranks(space, rng))
    first = nothing.new_tensor([pick])
    nearest_N = _columns(space, [pick])[:, 0].index_fill(0, first, -1)
    return nearest_N, torch.zeros(space.n, dtype=torch.int64, device=space.device), first


def k_means_plus_plus(space: Space, count: int, rng: torch.Generator, labeled: bool = True) -> Tensor:
    """D^2 sampling: each pick is drawn in proportion to its squared distance to the nearest pick or, where asked for,
    labeled point; the first evenly where there is none."""
    if labeled and space.labeled_count:
        weights_N, first = space.nearest_labeled()[0], torch.empty(0, dtype=torch.int64, device=space.device)
    else:
        first = torch.randint(space.n, (1,), generator=rng).to(space.device)
        weights_N = _columns(space, first.tolist())[:, 0]
    others = plus_plus(space.squared_distances, weights_N, count - len(first), rng, taken=first)
    return torch.cat([first, others])


def largest_cluster(
    space: Space, count: int, rng: torch.Generator, labeled: bool = True, ahead: int | None = None
) -> Tensor:
    """LCMD: each point belongs to the nearest pick or, where asked for, labeled point; the next pick is the farthest
    point of the cluster whose squared distances have the largest sum. Without any centre it starts with the point of
    largest norm.

    Distances to several likely picks are worked out in one pass: to the farthest points of the clusters next in
    size, as many as the last such pass paid for, or always `ahead`. The picks do not depend on it.
    """
    ranks_N = _ranks(space, rng)
    nearest_N, which_N, first = _start(space, rng, labeled)
    picks = first.tolist()
    before = 0 if picks else space.labeled_count
    most = max(1, min(64, 2**28 // (8 * space.n)))
    known: dict[int, Tensor] = {}
    used = 1
    while len(picks) < count:
        mass_M = torch.bincount(which_N, weights=nearest_N.clamp(min=0).double(), minlength=before + count)
        inside_N = (mass_M == mass_M.max())[which_N]
        pick, value = _best(torch.where(inside_N, nearest_N, -1), ranks_N)
        if value <= 0:
            return _filled(picks, count, ranks_N)
        if pick not in known:
            width = min(most, ahead or 2 * used, count - len(picks))
            others = _farthest_of(which_N, nearest_N, mass_M, width - 1)
            wanted = [pick, *(o for o in others if o != pick)]
            known = dict(zip(wanted, _columns(space, wanted).unbind(dim=1), strict=True))
            used = 0
        used += 1
        closer_N = known[pick] < nearest_N
        closer_N[picks] = False
        nearest_N = torch.where(closer_N, known[pick], nearest_N)
        nearest_N[pick] = -1
        which_N.masked_fill_(closer_N, before + len(picks))
        which_N[pick] = before + len(picks)
        picks.append(pick)
    return torch.tensor(picks, dtype=torch.int64, device=space.device)


def _farthest_of(which_N: Tensor, nearest_N: Tensor, mass_M: Tensor, count: int) -> list[int]:
    """A farthest point of each of the clusters from the second largest on."""
    if count < 1:
        return []
    farthest_M = nearest_N.new_zeros(len(mass_M)).scatter_reduce(0, which_N, nearest_N, "amax")
    top = mass_M.topk(min(count + 1, len(mass_M))).indices
    wanted_M = torch.zeros_like(farthest_M, dtype=torch.bool).index_fill_(0, top[1:], True)
    hits = (wanted_M[which_N] & (nearest_N == farthest_M[which_N]) & (nearest_N > 0)).nonzero().flatten()
    return hits[:count].tolist()


def max_det(
    space: Space,
    count: int,
    rng: torch.Generator,
    noise: float = 0.0,
    labeled: bool = False,
    form: str = "auto",
    block: int = 1024,
) -> Tensor:
    """Greedy log det(K + noise I) of picks and, where asked for, labeled points: each pick has the largest variance
    given all before it.

    Variances only fall. So picks come from the `block` points of largest variance until those are used up, and only
    then are the others brought up to date; the list is that of the plain loop. `form="columns"` keeps a Cholesky
    column of length N for each pick; `"features"` updates through the P x P posterior, with memory O(P^2), and wants
    noise above 0. `"auto"` takes the second where there are many picks for the width.
    """
    if labeled and space.labeled_count:
        if isinstance(space, Features):
            space = posterior(space, noise)
        elif isinstance(space, InfiniteNetwork):
            space = Posterior(space, 1.0, noise)
    if form == "auto":
        many = isinstance(space, Features) and (8 * space.pool_N_P.shape[1] <= count or space.n * count > 2**28)
        form = "features" if many and noise > 0 else "columns"
    ranks_N = _ranks(space, rng)
    prior_N = space.sizes()
    floor = FLAT * float(prior_N.max())
    left_N = prior_N.clone()
    state = _FeatureForm(space, noise) if form == "features" else _ColumnForm(space, noise, count)
    picks: list[int] = []
    while len(picks) < count:
        left_N.masked_fill_((left_N >= 0) & (left_N <= floor), 0)
        order_N = _ordered(left_N, ranks_N)[: block + 1]
        if float(left_N[order_N[0]]) <= 0:
            return _filled(picks, count, ranks_N)
        order_N = order_N[left_N[order_N] >= 0]
        inside = order_N[:block]
        bound, bound_rank = -1.0, space.n
        if len(order_N) > block:
            bound, bound_rank = float(left_N[order_N[block]]), int(ranks_N[order_N[block]])
        fresh, root = _pivots(state.among(inside), noise, count - len(picks), floor, bound, bound_rank, ranks_N[inside])
        chosen = inside[torch.tensor(fresh, device=space.device)]
        picks += chosen.tolist()
        if len(picks) < count:
            left_N = state.add(chosen, root, left_N)
            left_N[picks] = -1
    return torch.tensor(picks, dtype=torch.int64, device=space.device)


def _pivots(
    kernel: Tensor, noise: float, count: int, floor: float, bound: float, bound_rank: int, ranks: Tensor
) -> tuple[list[int], Tensor]:
    """Places of the pivots of a block while none outside can be larger, and their Cholesky factor (r, r)."""
    left = kernel.diagonal().clone()
    factor = kernel.new_empty(min(count, len(kernel)), len(kernel))
    fresh: list[int] = []
    while len(fresh) < len(factor):
        best = float(left.max())
        at = int(torch.where(left == best, ranks, torch.iinfo(ranks.dtype).max).argmin())
        # The first is always taken: what the block holds differs from the bound by rounding at most.
        beaten = best < bound or (best == bound and int(ranks[at]) > bound_rank)
        if fresh and (best <= floor or beaten):
            break
        t = len(fresh)
        column = kernel[at] - factor[:t, at] @ factor[:t]
        column[at] = max(best, 0.0) + noise
        factor[t] = column / column[at].clone().clamp_min(torch.finfo(column.dtype).tiny).sqrt()
        left -= factor[t].square()
        fresh.append(at)
        left[fresh] = -1
    return fresh, factor[: len(fresh)][:, fresh].T.tril()


class _ColumnForm:
    def __init__(self, space: Space, noise: float, count: int) -> None:
        self.space, self.noise, self.filled = space, noise, 0
        self.columns_N_b = torch.empty(space.n, count, dtype=torch.float64, device=space.device)

    def among(self, inside: Tensor) -> Tensor:
        """(n, n) kernel of these points given all picks so far."""
        known = self.columns_N_b[inside, : self.filled]
        return self.space.products(inside, inside) - known @ known.T

    def add(self, chosen: Tensor, root: Tensor, left_N: Tensor) -> Tensor:
        """(N,) variances once the chosen ones, with this Cholesky factor, are known."""
        before = self.columns_N_b[chosen, : self.filled]
        new = slice(self.filled, self.filled + len(chosen))
        for rows in tiles(self.space.n, self.space.tile_bytes() + 32 * len(chosen), self.space.device):
            column = self.space.products(rows, chosen) - self.columns_N_b[rows, : self.filled] @ before.T
            found = torch.linalg.solve_triangular(root, column.T, upper=False)
            self.columns_N_b[rows, new] = found.T
            left_N[rows] -= found.square().sum(dim=0)
        self.filled += len(chosen)
        return left_N.clamp_(min=0)


class _FeatureForm:
    def __init__(self, space: Space, noise: float) -> None:
        assert isinstance(space, Features) and noise > 0
        self.rows_N_P, self.noise = space.pool_N_P, noise
        self.information = noise * torch.eye(self.rows_N_P.shape[1], dtype=torch.float64, device=space.device)
        self.whiten = torch.eye(len(self.information), dtype=torch.float64, device=space.device)

    def among(self, inside: Tensor) -> Tensor:
        rows = self.rows_N_P[inside].double() @ self.whiten
        return rows @ rows.T

    def add(self, chosen: Tensor, root: Tensor, left_N: Tensor) -> Tensor:
        rows = self.rows_N_P[chosen].double()
        self.information += rows.T @ rows
        eye = torch.eye(len(self.information), dtype=rows.dtype, device=rows.device)
        factor = robust_cholesky(self.information)
        self.whiten = self.noise**0.5 * torch.linalg.solve_triangular(factor, eye, upper=False).T
        for part in tiles(len(self.rows_N_P), 16 * self.rows_N_P.shape[1], rows.device):
            left_N[part] = (self.rows_N_P[part].double() @ self.whiten).square().sum(dim=1)
        return left_N


def bait_forward_backward(
    space: Features, count: int, rng: torch.Generator, noise: float, labeled: bool = True, oversample: float = 2.0
) -> Tensor:
    """Greedy in tr(M F), the variance left over pool and labeled points together: F sums phi phi^T over both, M is
    (sum over picks and, where asked for, labeled points + noise I)^-1. First `oversample` times too many are taken,
    then those missed least are put back; 1 is the forward form."""
    known, all_P_P = (
        sum(
            (rows[part].double().T @ rows[part].double() for part in tiles(len(rows), 16 * rows.shape[1], rows.device)),
            torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device),
        )
        for rows in (space.labeled_L_P, space.pool_N_P)
    )
    all_P_P = all_P_P + known
    eye = torch.eye(len(all_P_P), dtype=torch.float64, device=space.device)
    M = torch.cholesky_inverse(robust_cholesky(noise * eye + (known if labeled else 0)))
    return rank_one_batch(space.pool_N_P, 0.5 * (M + M.T), all_P_P, count, oversample, rng)[0]


def frank_wolfe(space: Features, count: int, rng: torch.Generator, labeled: bool = False) -> Tensor:
    """Frank-Wolfe steps towards the sum of all features, each along the point that points there most (ACS-FW; Pinsler
    et al. 2019). No point is taken twice; labeled points, where asked for, go first and belong to the sum."""
    ranks_N = _ranks(space, rng)
    largest = max((float(rows.abs().amax()) for rows in (space.pool_N_P, space.labeled_L_P) if rows.numel()), default=0)
    unit = largest or 1.0
    lengths_N = space.sizes().sqrt() / unit
    scan_N_P = (space.pool_N_P / unit / lengths_N.clamp_min(1e-30)[:, None].to(space.pool_N_P.dtype)).float()
    target_P, radius = _sum_of(space.pool_N_P) / unit, lengths_N.sum()
    first = space.labeled_L_P.double()[: None if labeled else 0] / unit
    target_P, radius = target_P + first.sum(dim=0), radius + first.norm(dim=1).sum()
    so_far_P = torch.zeros_like(target_P)

    def step(row_P: Tensor) -> None:
        vertex_P = radius * row_P / row_P.norm().clamp_min(1e-30)
        along_P = vertex_P - so_far_P
        share = (along_P @ (target_P - so_far_P)) / (along_P @ along_P).clamp_min(1e-300)
        so_far_P.add_(along_P, alpha=float(share))

    for row_P in first:
        step(row_P)
    taken_N = torch.zeros_like(ranks_N, dtype=torch.bool)
    picks: list[int] = []
    for _ in range(count):
        missing_P = target_P - so_far_P
        missing_P = missing_P / missing_P.abs().amax().clamp_min(1e-300)
        pick, _ = _best((scan_N_P @ missing_P.float()).masked_fill(taken_N, -torch.inf), ranks_N)
        picks.append(pick)
        taken_N[pick] = True
        step(space.pool_N_P[pick].double() / unit)
    return torch.tensor(picks, dtype=torch.int64, device=space.device)


def _sum_of(rows_N_P: Tensor) -> Tensor:
    return rows_N_P.sum(dim=0, dtype=torch.float64)


def _columns(space: Space, picks: list[int]) -> Tensor:
    """(N, m) squared distances to these points, one column after the other in memory."""
    chosen = torch.tensor(picks, dtype=torch.int64, device=space.device)
    made: Tensor | None = None
    for rows in tiles(space.n, space.tile_bytes() + 32 * len(picks), space.device):
        part = space.squared_distances(rows, chosen)
        if made is None:
            made = part.new_empty(len(picks), space.n).T
        made[rows] = part
    assert made is not None
    return made


def _ranks(space: Space, rng: torch.Generator) -> Tensor:
    """(N,) places in a random order, which break ties."""
    return torch.randperm(space.n, generator=rng).to(space.device)


def _ordered(values_N: Tensor, ranks_N: Tensor) -> Tensor:
    """(N,) positions by falling value, equal ones by rising rank."""
    by_rank = ranks_N.argsort()
    return by_rank[torch.sort(values_N[by_rank], descending=True, stable=True).indices]


def _best(values_N: Tensor, ranks_N: Tensor) -> tuple[int, float]:
    """Position and value of the largest; among equal ones that of least rank."""
    best = values_N.max()
    return int(torch.where(values_N == best, ranks_N, len(ranks_N)).argmin()), float(best)


def _filled(picks: list[int], count: int, ranks_N: Tensor) -> Tensor:
    """(count,) the picks, then others in random order."""
    chosen = torch.tensor(picks, dtype=torch.int64, device=ranks_N.device)
    others = ranks_N.index_fill(0, chosen, len(ranks_N)).argsort()
    return torch.cat([chosen, others[: count - len(picks)]])
