"""Two objectives, both maximised: layers of items, fronts of subsets, and how much a front still moves.

Axes: N items, F members of a front.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import numpy as np

__all__ = ["Archive", "FrontWatch", "mmd", "nondominated", "pareto_layers"]

ARCHIVE_SIZE = 512
"""Where one objective is the other's negative every subset is on the front; beyond this the front is thinned."""
SNAPSHOT_SIZE = 64
"""Members of the front that take part in one comparison of fronts."""


def pareto_layers(first_N: np.ndarray, second_N: np.ndarray) -> np.ndarray:
    """Layer of each item, (N,) int64: 1 is the front, 2 the front of the rest, and so on. O(N log N).

    Items with the same pair share a layer. An item's layer is the length of the longest chain of items that
    dominate each other down to it, so one sweep by falling (first, second) with a bisection does all layers.
    """
    order = np.lexsort((-second_N, -first_N))
    layers_N = np.empty(len(order), dtype=np.int64)
    tops: list[float] = []  # minus the largest `second` of each layer so far, ascending
    before = (np.nan, np.nan)
    layer = 0
    for item, first, second in zip(order.tolist(), first_N[order].tolist(), second_N[order].tolist(), strict=True):
        if (first, second) != before:
            layer = bisect_right(tops, -second)
            tops[layer : layer + 1] = [-second]
            before = (first, second)
        layers_N[item] = layer + 1
    return layers_N


def nondominated(points_N_2: np.ndarray) -> np.ndarray:
    """Positions of the non-dominated points by falling first objective; of equal points the last one only."""
    age = -np.arange(len(points_N_2))
    order = np.lexsort((age, -points_N_2[:, 1], -points_N_2[:, 0]))
    second = points_N_2[order, 1]
    best = np.maximum.accumulate(second)
    return order[np.concatenate([[True], second[1:] > best[:-1]])]


class Archive:
    """Mutually non-dominated subsets seen so far, by falling first objective.

    After any number of `add` it holds what the one-by-one rule would: a subset goes in unless a member dominates
    it, and throws out every member it equals or dominates.
    """

    def __init__(self, batch_size: int) -> None:
        self.points_F_2 = np.empty((0, 2), dtype=np.int64)
        self.members_F_b = np.empty((0, batch_size), dtype=np.int32)
        self.version = 0
        """Grows with each change."""

    def add(self, points_n_2: np.ndarray, members_n_b: np.ndarray) -> None:
        """Offers subsets in the order in which they were drawn."""
        keep = nondominated(points_n_2)
        points = np.concatenate([self.points_F_2, points_n_2[keep]])
        front = nondominated(points)
        if np.array_equal(points[front], self.points_F_2):
            return
        front = front[evenly(len(front), ARCHIVE_SIZE)]
        self.members_F_b = np.concatenate([self.members_F_b, members_n_b[keep]])[front]
        self.points_F_2 = points[front]
        self.version += 1


def evenly(n: int, most: int) -> np.ndarray:
    """At most `most` positions of `range(n)`, evenly spread, both ends among them."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)


def mmd(first_F_2: np.ndarray, second_G_2: np.ndarray) -> float:
    """Squared maximum mean discrepancy (biased) of two fronts under five RBF kernels; 0 where all points coincide.

    The narrowest bandwidth is a quarter of the mean squared distance over all pairs, each next one twice as wide.
    """
    points = np.concatenate([first_F_2, second_G_2]).astype(np.float64)
    squared = (points[:, None, 0] - points[None, :, 0]) ** 2 + (points[:, None, 1] - points[None, :, 1]) ** 2
    n, split = len(points), len(first_F_2)
    bandwidth = squared.sum() / (n * n - n) / 4
    if bandwidth == 0:
        return 0.0
    power = np.exp(-squared / (16 * bandwidth))  # the widest; its square is the next one
    kernel = power.copy()
    for _ in range(4):
        power *= power
        kernel += power
    return float(kernel[:split, :split].mean() + kernel[split:, split:].mean() - 2 * kernel[:split, split:].mean())


class FrontWatch:
    """Says when a front has come to rest: over `window` snapshots in a row neither the mean nor the spread of the
    MMD between the newest snapshot and the ones before it has moved by more than `tolerance`."""

    def __init__(self, window: int, tolerance: float) -> None:
        self.window, self.tolerance = window, tolerance
        self.snapshots: list[tuple[int, np.ndarray]] = []
        self.moments: list[tuple[float, float]] = []
        self.known: dict[tuple[int, int], float] = {}  # fronts change rarely, comparisons are kept

    def at_rest(self, version: int, points_F_2: np.ndarray) -> bool:
        """Takes the next snapshot; equal `version` means equal points. Points should be of order 1."""
        newest = points_F_2[evenly(len(points_F_2), SNAPSHOT_SIZE)]
        if self.snapshots:
            moved = np.array([self._compare(version, newest, *old) for old in self.snapshots])
            self.moments = [*self.moments, (float(moved.mean()), float(moved.std()))][-self.window :]
        self.snapshots = [*self.snapshots, (version, newest)][-self.window :]
        if len(self.moments) < self.window:
            return False
        return bool((np.ptp(np.array(self.moments), axis=0) <= self.tolerance).all())

    def _compare(self, version: int, newest: np.ndarray, old_version: int, old: np.ndarray) -> float:
        if version == old_version:
            return 0.0
        pair = (version, old_version)
        if pair not in self.known:
            self.known[pair] = mmd(newest, old)
        return self.known[pair]


def extreme_subsets(first_n: np.ndarray, second_n: np.ndarray, batch_size: int) -> np.ndarray:
    """Every extreme point of the front of subsets of fixed size under sums, (F, b): the b largest of
    `w first + (1 - w) second` for each w where the answer changes, found by cutting the front in two again and again.
    """

    def best(weight: float, other: float) -> np.ndarray:
        # Of equal weighted sums the one with the larger plain sum, so that w = 0 and w = 1 are on the front.
        order = np.lexsort((-(first_n + second_n), -(weight * first_n + other * second_n)))
        return np.sort(order[:batch_size])

    def value(subset: np.ndarray) -> np.ndarray:
        return np.array([first_n[subset].sum(), second_n[subset].sum()])

    ends = [best(1.0, 0.0), best(0.0, 1.0)]
    found = {tuple(end.tolist()): end for end in ends}
    todo = [(ends[0], ends[1])]
    while todo:
        left, right = todo.pop()
        gap = value(left) - value(right)
        if gap[0] <= 0 or gap[1] >= 0:
            continue
        middle = best(-gap[1], gap[0])  # the weights for which left and right are equally good
        gain = np.dot(value(middle) - value(left), [-gap[1], gap[0]])
        if gain > 1e-12 * batch_size * np.abs(gap).max():
            found[tuple(middle.tolist())] = middle
            todo += pairwise([left, middle, right])
    return np.stack(list(found.values()))
