"""Robust k-center: the smallest balls that cover all of the pool but a few outliers, by integer programming."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array, eye_array, hstack, vstack
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered
from autoal.strategies.diversity.kcenter import k_center
from autoal.strategies.parts.coverage import row_keys
from autoal.strategies.parts.distances import (
    centred,
    farthest_first,
    nearest_centre,
    squared_distances,
    tiles,
)
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["KCenterRobust", "cover"]

METHODS = ("auto", "milp", "greedy")
NEIGHBORS = 10
SAMPLE = 5000
"""Points of a larger pool among which neighbors are looked for."""


class KCenterRobust(Strategy):
    """Asks for the b centers whose balls, with those of the labeled points, cover the pool but for `outliers` of it
    with the smallest radius.

    The radius is found by bisection between the distances there are, each step an integer program (HiGHS, at most
    `nodes` branches, so that the answer does not depend on the clock; a program that is not decided counts as
    infeasible). A larger pool is first reduced to a net of `points` farthest-first points, which count by the points
    nearest to them. What the program leaves of the batch is filled farthest-first, outliers last.

    method: `"milp"`; `"greedy"`, without a program: k-center greedy that never picks the `outliers` with the largest
    distance to their neighbors; `"auto"`: the program where the net has at least four points for each pick.
    """

    name = "kcenter_robust"
    family = "diversity"
    source = "Sener and Savarese 2018, arXiv 1708.00489, section 5"
    cost = "N M D + integer programs of M^2, M = min(N, 1 000)"
    needs = frozenset({"embeddings"})
    tasks = BOTH_TASKS

    def __init__(self, outliers: float = 1e-4, method: str = "auto", points: int = 1000, nodes: int = 100) -> None:
        self.outliers = outliers
        self.method = method
        self.points = points
        self.nodes = nodes

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.method not in METHODS:
            raise UnknownName("method", self.method, METHODS)
        if not 0 <= self.outliers < 1 or self.points < 1 or self.nodes < 1:
            raise InvalidInput(
                f"got outliers={self.outliers}, points={self.points}, nodes={self.nodes}; wanted a share in [0, 1), "
                "and at least 1 of the others"
            )
        pool, labeled = centred(*pool_and_labeled(view))
        allowed = int(self.outliers * len(pool))
        greedy = k_center(pool, labeled, batch_size, rng)
        if batch_size == len(pool):
            return greedy
        net = min(len(pool), self.points)
        if self.method == "greedy" or (self.method == "auto" and net < 4 * batch_size):
            return _without_outliers(pool, labeled, batch_size, allowed, greedy, rng)
        if len(labeled):
            nearest = nearest_centre(pool, labeled)[0]
        else:
            nearest = pool.new_full((len(pool),), torch.inf)
        chosen = torch.arange(len(pool), device=pool.device)
        weights = np.ones(len(pool))
        if net < len(pool):
            chosen = farthest_first(pool, nearest_centre(pool, pool.mean(dim=0, keepdim=True))[0], net, rng)
            weights = np.bincount(nearest_centre(pool, pool[chosen])[1].cpu().numpy(), minlength=net).astype(float)
        # One order whatever the order of the pool, so that the program's answer does not depend on that.
        keys = row_keys(pool[chosen], False)
        order = torch.argsort(keys, stable=True)
        chosen, weights = chosen[order], weights[order.cpu().numpy()]
        squared = squared_distances(pool[chosen], pool[chosen]).double().cpu().numpy()
        inside = torch.isin(chosen, greedy.indices).cpu().numpy()
        centers = cover(
            squared, nearest[chosen].double().cpu().numpy(), weights, batch_size, allowed, self.nodes, inside
        )
        return _completed(pool, labeled, chosen[torch.from_numpy(centers).to(chosen.device)], batch_size, greedy, rng)


def cover(
    squared_M_M: NDArray[np.float64],
    labeled_M: NDArray[np.float64],
    weights_M: NDArray[np.float64],
    count: int,
    outliers: float,
    nodes: int = 100,
    start_M: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """At most `count` positions whose balls cover all points but `outliers` (a sum of weights), of the least radius
    found. `labeled_M` are squared distances to the nearest labeled point; `start_M` are centers known to do."""
    best = np.flatnonzero(start_M) if start_M is not None else np.arange(min(count, len(labeled_M)))
    reach = np.minimum(labeled_M, squared_M_M[:, best].min(axis=1, initial=np.inf))
    high = _robust_radius(reach, weights_M, outliers)
    radii = np.unique(np.concatenate([squared_M_M.ravel(), labeled_M[np.isfinite(labeled_M)]]))
    radii = radii[radii < high]
    low_at, high_at = 0, len(radii)
    while low_at < high_at:
        middle = (low_at + high_at) // 2
        found = _feasible(squared_M_M, labeled_M, weights_M, count, outliers, float(radii[middle]), nodes)
        if found is None:
            low_at = middle + 1
        else:
            best, high_at = found, middle
    return best


def _robust_radius(reach_M: NDArray[np.float64], weights_M: NDArray[np.float64], outliers: float) -> float:
    """Least squared radius that leaves out no more than `outliers`."""
    order = np.argsort(-reach_M, kind="stable")
    left_out = np.cumsum(weights_M[order])
    return float(reach_M[order[int((left_out <= outliers).sum())]]) if left_out[-1] > outliers else 0.0


def _feasible(
    squared: NDArray[np.float64],
    labeled: NDArray[np.float64],
    weights: NDArray[np.float64],
    count: int,
    outliers: float,
    radius: float,
    nodes: int,
) -> NDArray[np.int64] | None:
    """Centers u and points left out z of least weight: `sum_j in ball(i) u_j + z_i >= 1` for each point i that no
    labeled point covers, `sum u <= count`; None where that leaves out more than `outliers`."""
    bare = np.flatnonzero(labeled > radius)
    if len(bare) == 0:
        return np.empty(0, dtype=np.int64)
    m = len(labeled)
    rows, columns = np.nonzero(squared[bare] <= radius)
    balls = csr_array(coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(bare), m)))
    covered = hstack([balls, eye_array(len(bare))])
    budget = csr_array(np.concatenate([np.ones(m), np.zeros(len(bare))])[None])
    limit = csr_array(np.concatenate([np.zeros(m), weights[bare]])[None])
    solved = milp(
        np.concatenate([np.zeros(m), weights[bare]]),
        constraints=LinearConstraint(
            vstack([covered, budget, limit]),
            lb=np.concatenate([np.ones(len(bare)), [0, 0]]),
            ub=np.concatenate([np.full(len(bare), np.inf), [count, outliers + 1e-6]]),
        ),
        integrality=np.ones(m + len(bare)),
        bounds=Bounds(0, 1),
        options={"node_limit": nodes},
    )
    if solved.x is None:
        return None
    return np.flatnonzero(solved.x[:m] > 0.5)


def _completed(
    pool: Tensor, labeled: Tensor, centers: Tensor, batch_size: int, greedy: Proposal, rng: torch.Generator
) -> Proposal:
    """The centers in farthest-first order, then farthest-first among the others."""
    if len(centers) == 0:
        return greedy
    known = labeled if len(labeled) else pool[centers].mean(dim=0, keepdim=True)
    order = farthest_first(pool[centers], nearest_centre(pool[centers], known)[0], len(centers), rng)
    picks = centers[order]
    nearest = nearest_centre(pool, torch.cat([labeled, pool[picks]]))[0].index_fill(0, picks, -1)
    if len(picks) < batch_size:
        picks = torch.cat([picks, farthest_first(pool, nearest, batch_size - len(picks), rng)])
    return ordered(picks, nearest)


def _without_outliers(
    pool: Tensor, labeled: Tensor, batch_size: int, allowed: int, greedy: Proposal, rng: torch.Generator
) -> Proposal:
    """k-center greedy on the pool less the `allowed` points farthest from their neighbors, of a sample where it is
    large."""
    allowed = min(allowed, len(pool) - batch_size)
    if allowed == 0:
        return greedy
    sample = torch.randperm(len(pool), generator=rng)[:SAMPLE].to(pool.device) if len(pool) > SAMPLE else slice(None)
    others = pool[sample]
    near = min(NEIGHBORS, len(others))
    sparse = pool.new_empty(len(pool))
    for rows in tiles(len(pool), 12 * len(others), pool.device):
        sparse[rows] = squared_distances(pool[rows], others).topk(near, dim=1, largest=False).values[:, -1]
    kept = torch.sort(sparse, stable=True).indices[: len(pool) - allowed].sort().values
    inner = k_center(pool[kept], labeled, batch_size, rng)
    rest = torch.full((len(pool),), -torch.inf, dtype=torch.float64, device=pool.device)
    rest[kept] = inner.scores
    return ordered(kept[inner.indices], rest)
