"""Greedy weighted generalised coverage (Bae, Noh and Sutherland 2024, arXiv 2407.12212; weighted, arXiv 2412.20644).

Axes: N points, E evaluation points, J candidates, L points that cover already, D features, b picks.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from autoal.compute import chunks, full_precision_matmul
from autoal.errors import InvalidInput
from autoal.rng import generator
from autoal.strategies.base import check_batch_size, random_ties
from autoal.strategies.parts.distances import farthest_first, nearest_centre, squared_norms, tiles, unit_rows

__all__ = ["MAX_EVALUATION", "Gains", "greedy_coverage", "lazy_greedy", "row_keys", "smallest_labeled_distance"]

MAX_EVALUATION = 10_000
"""Points over which coverage is summed; a sample of them where there are more."""

SMALL = 2**19
"""Similarities that are kept whole: below this many the plain loop costs less than finding out what to leave out."""

BLOCK = 4096
"""Candidates that are sorted again at each pick; the others only where these fall below them."""

FIRST_COST = 5e10
COLUMNS = 16_384
"""Evaluation points summed in the working precision before the sum goes on in float64."""


@torch.no_grad()
@full_precision_matmul()
def greedy_coverage(
    points_N_D: Tensor,
    weights_N: Tensor,
    covered_by_L_D: Tensor | None,
    batch_size: int,
    *,
    bandwidth: float,
    candidates: Tensor | None = None,
    evaluation: Tensor | None = None,
    normalise: bool = True,
    prices_N: Tensor | None = None,
    ball: bool = False,
    liked_N: Tensor | None = None,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Picks (b,) in order, the gain of each (b,), and the gain of every candidate before the first pick (J,).

    Greedily maximises sum_u weights_u max(0, k(u, j) - m_u) over j, where k = exp(-(|u - j| / bandwidth)^2) on
    rows of length 1 (as they are, without `normalise`) and m_u is the largest k to a pick or a row of
    `covered_by_L_D`. `candidates` are the positions that may be picked, `evaluation` those that u runs over: by
    default all, and 10 000 drawn from those of positive weight where there are more (fewer where rows are wide). With
    `prices_N` the gain per price counts; the gains returned are before the division. With `ball` the kernel is 1 nearer
    than the bandwidth and 0 elsewhere. Equal gains go by falling `liked_N`, where it is given.

    Old gains bound new ones, so only the top is worked out again at each pick: the list is that of the plain loop.
    Ties go by `rng`. Of equal rows one is picked while any other has a gain; once none has, farthest-first.
    Cost J E D for the first gains, then a few hundred times E D per pick. Raises PoolExhausted where b > J.
    """
    device, n = points_N_D.device, len(points_N_D)
    candidates = torch.arange(n, device=device) if candidates is None else candidates.to(device)
    check_batch_size(batch_size, len(candidates))
    weights_N = _non_negative(weights_N, n, "weights").to(device)
    if not bandwidth > 0:
        raise InvalidInput(f"got bandwidth={bandwidth}; wanted a positive number")
    if evaluation is None:
        evaluation = (weights_N > 0).nonzero().flatten()
        most = _evaluated(len(candidates), points_N_D.shape[1], batch_size)
        if len(evaluation) > most:
            evaluation = evaluation[torch.randperm(len(evaluation), generator=rng)[:most].to(device)]
    evaluation = evaluation.to(device)
    prices_J = None
    if prices_N is not None:
        prices_J = _non_negative(prices_N, n, "prices").to(device)[candidates]
        if bool((prices_J == 0).any()):
            raise InvalidInput("a candidate has price 0; prices must be positive")

    points, covered, single = _prepared(points_N_D, covered_by_L_D, bandwidth, normalise)
    keys = row_keys(torch.cat([points, covered]), fine=not single)
    keys_J, covered_keys = keys[candidates], keys[n:]
    coverage = (_BallCoverage if ball else _Coverage)(points[evaluation], weights_N[evaluation], covered, bandwidth)
    rows_J = points if len(candidates) == n and bool((candidates == torch.arange(n, device=device)).all()) else None
    rows_J = points[candidates] if rows_J is None else rows_J

    first_J = coverage.gains(rows_J)
    first_J.masked_fill_(torch.isin(keys_J, covered_keys), 0)  # a copy of a covering row adds only rounding
    value_J = first_J.clone() if prices_J is None else first_J / prices_J
    greedy = _plain_greedy if len(rows_J) * len(coverage.right) <= SMALL else lazy_greedy
    liked_J = torch.zeros_like(value_J) if liked_N is None else liked_N.to(device)[candidates]
    picks, values = greedy(coverage, rows_J, value_J, keys_J, prices_J, batch_size, random_ties(liked_J, rng))
    gains = torch.tensor(values, dtype=torch.float64, device=device)
    chosen = torch.tensor(picks, dtype=torch.int64, device=device)
    if prices_J is not None:
        gains = gains * prices_J[chosen]
    if len(picks) < batch_size:
        nearest_J = nearest_centre(rows_J, torch.cat([covered, rows_J[chosen]]))[0]
        nearest_J[chosen] = -1
        filled = farthest_first(rows_J, nearest_J, batch_size - len(picks), rng)
        chosen = torch.cat([chosen, filled])
        gains = torch.cat([gains, gains.new_zeros(len(filled))])
    return candidates[chosen], gains, first_J


def _evaluated(count: int, width: int, batch_size: int) -> int:
    """How many points the sums run over: 10 000; of many wide rows so many that the first gains cost FIRST_COST
    multiplications, but 2 000 and twenty a pick at least."""
    affordable = int(FIRST_COST / max(1, count * width))
    return min(MAX_EVALUATION, max(2_000, 20 * batch_size, affordable))


class Gains(Protocol):
    """A monotone submodular function, as much of it as the lazy greedy needs."""

    def gains(self, rows_n_D: Tensor) -> Tensor:
        """(n,) float64 what each row would add."""

    def add(self, row_D: Tensor) -> None:
        """Takes the row in."""


class _Coverage:
    """How well each evaluation point is covered so far, and what a candidate would add."""

    def __init__(self, points_E_D: Tensor, weights_E: Tensor, covered_L_D: Tensor, bandwidth: float) -> None:
        self.scale = bandwidth**-2
        size_E = squared_norms(points_E_D)
        # [2 s x, -s |x|^2, 1] . [u, 1, -s |u|^2] = -s |x - u|^2: the exponent comes out of one product.
        self.right = torch.cat([points_E_D, torch.ones_like(size_E)[:, None], -self.scale * size_E[:, None]], dim=1)
        self.weights_E = weights_E.to(points_E_D.dtype)
        # exp is many times slower where it underflows. Below this exponent a similarity is the floor, which every
        # point is covered by from the start, so that it adds exactly 0.
        self.lowest = -85.0 if points_E_D.dtype == torch.float32 else -700.0
        nearest_E = nearest_centre(points_E_D, covered_L_D)[0]
        self.covered_E = self._similarity(-self.scale * nearest_E)

    def _similarity(self, exponents: Tensor) -> Tensor:
        return exponents.clamp_(min=self.lowest).exp_()

    def left(self, rows_n_D: Tensor) -> Tensor:
        size_n = squared_norms(rows_n_D)[:, None]
        return torch.cat([2 * self.scale * rows_n_D, -self.scale * size_n, torch.ones_like(size_n)], dim=1)

    def similarities(self, rows_n_D: Tensor) -> Tensor:
        """(n, E) similarity of each row to each evaluation point."""
        return self._similarity(self.left(rows_n_D) @ self.right.T)

    def gains(self, rows_n_D: Tensor) -> Tensor:
        """(n,) float64: weighted coverage that each row would add."""
        total_n = torch.zeros(len(rows_n_D), dtype=torch.float64, device=rows_n_D.device)
        item = rows_n_D.element_size()
        columns = list(chunks(len(self.right), item, COLUMNS * item))
        for rows in tiles(len(rows_n_D), min(len(self.right), COLUMNS) * item, rows_n_D.device):
            left = self.left(rows_n_D[rows])
            for part in columns:
                kernel = self._similarity(left @ self.right[part].T)
                total_n[rows] += kernel.sub_(self.covered_E[part]).clamp_(min=0) @ self.weights_E[part]
        return total_n

    def add(self, row_D: Tensor) -> None:
        kernel_E = self._similarity(self.right @ self.left(row_D[None])[0])
        self.covered_E = torch.maximum(self.covered_E, kernel_E)


class _BallCoverage(_Coverage):
    """The same with a kernel of 0 and 1. Rounding of a squared distance, about 1e-6, may decide at the rim."""

    def _similarity(self, exponents: Tensor) -> Tensor:
        return (exponents > -1).to(exponents.dtype)


def _plain_greedy(
    coverage: _Coverage,
    rows_J_D: Tensor,
    value_J: Tensor,
    keys_J: Tensor,
    prices_J: Tensor | None,
    batch_size: int,
    shuffle_J: Tensor,
) -> tuple[list[int], list[float]]:
    """What `lazy_greedy` gives, with every gain worked out anew at each pick."""
    kernel_J_E = coverage.similarities(rows_J_D)
    bound_J = value_J.clone()
    picks: list[int] = []
    values: list[float] = []
    for _ in range(batch_size):
        if picks:
            gain_J = ((kernel_J_E - coverage.covered_E).clamp_(min=0) @ coverage.weights_E).double()
            bound_J = torch.minimum(bound_J, gain_J if prices_J is None else gain_J / prices_J)
        shuffled_J = bound_J[shuffle_J]
        value = float(shuffled_J.amax())
        if value <= 0:
            break
        best = int(shuffle_J[(shuffled_J == value).nonzero()[0, 0]])
        picks.append(best)
        values.append(value)
        coverage.covered_E = torch.maximum(coverage.covered_E, kernel_J_E[best])
        bound_J[keys_J == keys_J[best]] = 0
        bound_J[best] = -torch.inf
    return picks, values


def lazy_greedy(
    coverage: Gains,
    rows_J_D: Tensor,
    value_J: Tensor,
    keys_J: Tensor,
    prices_J: Tensor | None,
    batch_size: int,
    shuffle_J: Tensor,
) -> tuple[list[int], list[float]]:
    """Picks and their values, in order; fewer than `batch_size` where nothing else has a positive value.

    Candidates are ordered by (value, place in `shuffle_J`). `value_J` holds bounds; `round_J` says at which pick
    each was last exact.
    """
    n, device = len(value_J), value_J.device
    rank_J = torch.empty_like(shuffle_J)
    rank_J[shuffle_J] = torch.arange(n, device=device)
    round_J = torch.zeros(n, dtype=torch.int64, device=device)
    picks: list[int] = []
    values: list[float] = []
    inside, bound = _block(value_J, shuffle_J, rank_J)
    width = 16
    while len(picks) < batch_size:
        evaluated = 0
        while True:
            inner = value_J[inside]
            order = torch.sort(inner, descending=True, stable=True).indices
            exact = round_J[inside[order]] == len(picks)
            if bool(exact[0]):
                break
            some = inside[order[~exact][:width]]
            gains = coverage.gains(rows_J_D[some])
            if prices_J is not None:
                gains = gains / prices_J[some]
            value_J[some] = torch.minimum(value_J[some], gains)  # rounding must not raise a bound
            round_J[some] = len(picks)
            evaluated += len(some)
            width = min(2 * width, 1024)
        width = min(max(16, evaluated // 2), 1024)
        best = int(inside[order[0]])
        value = float(value_J[best])
        if bound is not None:
            outside = float(value_J[bound])
            if value < outside or (value == outside and int(rank_J[best]) > int(rank_J[bound])):
                inside, bound = _block(value_J, shuffle_J, rank_J)
                continue
        if value <= 0:
            break
        picks.append(best)
        values.append(value)
        coverage.add(rows_J_D[best])
        copies = keys_J == keys_J[best]
        value_J[copies] = 0
        value_J[best] = -torch.inf
    return picks, values


def _block(value_J: Tensor, shuffle_J: Tensor, rank_J: Tensor) -> tuple[Tensor, int | None]:
    """The BLOCK best candidates, by rank, and the best one left out."""
    order_J = shuffle_J[torch.sort(value_J[shuffle_J], descending=True, stable=True).indices]
    inside = order_J[:BLOCK]
    inside = inside[rank_J[inside].argsort()]
    return inside, int(order_J[BLOCK]) if len(order_J) > BLOCK else None


def _prepared(
    points_N_D: Tensor, covered_L_D: Tensor | None, bandwidth: float, normalise: bool
) -> tuple[Tensor, Tensor, bool]:
    """Both sets centred, in float32 where its rounding moves no exponent by more than about 1e-4."""
    covered = points_N_D.new_zeros(0, points_N_D.shape[1]) if covered_L_D is None else covered_L_D.to(points_N_D.device)
    points, covered = (unit_rows(points_N_D), unit_rows(covered)) if normalise else (points_N_D, covered)
    mean_D = points.mean(dim=0, dtype=torch.float64)
    points = points.to(torch.promote_types(points.dtype, torch.float32))
    points, covered = points - mean_D.to(points.dtype), covered.to(points.dtype) - mean_D.to(points.dtype)
    largest = float(squared_norms(points).amax())
    single = largest <= 300 * bandwidth**2
    dtype = torch.float32 if single else torch.float64
    return points.to(dtype), covered.to(dtype), single


def row_keys(rows_N_D: Tensor, fine: bool) -> Tensor:
    """(N,) int64, the same for rows that are the same but for rounding."""
    width = rows_N_D.shape[1]
    mix_D = torch.randint(-(2**62), 2**62, (width,), generator=generator(0, "row keys")).to(rows_N_D.device)
    grid = 2.0 ** (40 if fine else 21) / max(float(rows_N_D.abs().amax()), 1e-300)
    keys = torch.empty(len(rows_N_D), dtype=torch.int64, device=rows_N_D.device)
    for rows in tiles(len(rows_N_D), 24 * width, rows_N_D.device):
        keys[rows] = ((rows_N_D[rows].double() * grid).round().long() * mix_D).sum(dim=1)  # wraps around, on purpose
    return keys


def _non_negative(values_N: Tensor, n: int, what: str) -> Tensor:
    if values_N.shape != (n,):
        raise InvalidInput(f"got {what} of shape {tuple(values_N.shape)}; wanted ({n},), one for each point")
    bad = ~(values_N >= 0) | values_N.isinf()
    if bool(bad.any()):
        raise InvalidInput(f"{what} must be finite and at least 0; positions {bad.nonzero().flatten()[:5].tolist()}")
    return values_N.double()


@torch.no_grad()
@full_precision_matmul()
def smallest_labeled_distance(labeled_L_D: Tensor, *, normalise: bool = True, most: int = 5_000) -> float:
    """Smallest positive distance between two labeled rows (of length 1, with `normalise`), at least 1e-3; 1.0 where
    there is none. Above `most` rows, among that many evenly spaced ones. Cost L^2 D, in tiles."""
    length = len(labeled_L_D)
    if length > most:
        labeled_L_D = labeled_L_D[torch.linspace(0, length - 1, most, device=labeled_L_D.device).long()]
    rows = unit_rows(labeled_L_D.double()) if normalise else labeled_L_D.double()
    if len(rows) < 2:
        return 1.0
    rows = rows - rows.mean(dim=0)
    size = squared_norms(rows)
    smallest = torch.inf
    for part in tiles(len(rows), 8 * len(rows), rows.device):
        squared = torch.addmm(size, rows[part], rows.T, alpha=-2).add_(size[part, None])
        positive = squared > 1e-13 * (size[part, None] + size)
        smallest = min(smallest, float(squared.masked_fill_(~positive, torch.inf).amin()))
    return max(smallest**0.5, 1e-3) if smallest < torch.inf else 1.0
