"""Sum-product networks with Gaussian leaves: LearnSPN (Gens and Domingos 2013) and densities in log space.

A node is a density of some columns. `Factor` multiplies Gaussians of single columns, `Product` multiplies nodes of
different columns (independence found by the randomised dependence coefficient), `Sum` mixes nodes of the same columns
(clusters of rows). Axes: n rows, d columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from autoal.rng import numpy_rng
from autoal.strategies.parts.rdc import dependence_threshold, rdc

__all__ = ["Factor", "Node", "Product", "Sum", "learn_spn", "log_density"]

Floats = NDArray[np.float64]
MIN_ROWS, MIN_LEAF, MAX_DEPTH = 20, 8, 8
"""A node with fewer rows is a Factor; so is one whose smaller cluster would have fewer; splits below each other."""
CONSTANT = 1e-6


@dataclass(frozen=True)
class Factor:
    """Independent Gaussians of the columns."""

    columns: Sequence[int]
    mean: Floats
    deviation: Floats


@dataclass(frozen=True)
class Product:
    children: Sequence[Node]


@dataclass(frozen=True)
class Sum:
    log_weights: Floats
    children: Sequence[Node]


Node = Factor | Product | Sum


def learn_spn(x_n_d: Floats, floor_d: Floats) -> Node:
    """A density of the rows; `floor_d` are the least deviations of a leaf. Columns are tried first, then two clusters.

    The random sines and the clusters' starts are the same in every call, so the answer depends on the rows alone.
    """
    return _learn(x_n_d, np.arange(x_n_d.shape[1]), floor_d, 0, True, np.random.RandomState(_SEED))


_SEED = int(numpy_rng(0, "spn").integers(2**31))


def _learn(
    x: Floats, columns: NDArray[np.intp], floor: Floats, depth: int, by_columns: bool, rng: np.random.RandomState
) -> Node:
    if len(x) < MIN_ROWS or len(columns) == 1 or depth >= MAX_DEPTH:
        return _factor(x, columns, floor)
    if by_columns:
        parts = _independent(x[:, columns], floor[columns], rng)
        if len(parts) > 1:
            nodes = [_learn(x, columns[part], floor, depth + 1, False, rng) for part in parts]
            return Product(nodes)
    from sklearn.cluster import KMeans

    clusters = KMeans(2, n_init=3, random_state=rng.randint(2**31)).fit(x[:, columns]).labels_
    sizes = np.bincount(clusters, minlength=2)
    if sizes.min() < MIN_LEAF:
        return _factor(x, columns, floor)
    rows = [x[clusters == c] for c in (0, 1)]
    return Sum(np.log(sizes / len(x)), [_learn(part, columns, floor, depth + 1, True, rng) for part in rows])


def _factor(x: Floats, columns: NDArray[np.intp], floor: Floats) -> Factor:
    own = x[:, columns]
    return Factor(columns.tolist(), own.mean(axis=0), np.maximum(own.std(axis=0), floor[columns]))


def _independent(x: Floats, floor: Floats, rng: np.random.RandomState) -> list[NDArray[np.intp]]:
    """Positions of the columns in groups that do not depend on one another; columns without spread stand alone."""
    spread = x.std(axis=0)
    moving = np.flatnonzero(spread > CONSTANT * max(float(floor.max()), float(spread.max())))
    alone = [np.array([column]) for column in np.setdiff1d(np.arange(x.shape[1]), moving)]
    if len(moving) < 2:
        return alone + ([moving] if len(moving) else [])
    own = x[:, moving]
    linked = rdc(own, rng) > dependence_threshold(own, rng)
    count, group = connected_components(linked, directed=False)
    return alone + [moving[group == g] for g in range(count)]


def log_density(node: Node, z_n_d: Tensor) -> Tensor:
    """(n,) float64, in nats, of rows z (n, d), float64."""
    if isinstance(node, Factor):
        mean, deviation = (torch.from_numpy(values).to(z_n_d.device) for values in (node.mean, node.deviation))
        scaled = (z_n_d[:, list(node.columns)] - mean) / deviation
        return -0.5 * scaled.square().sum(dim=1) - deviation.log().sum() - 0.5 * len(mean) * math.log(2 * math.pi)
    parts = torch.stack([log_density(child, z_n_d) for child in node.children], dim=1)
    if isinstance(node, Product):
        return parts.sum(dim=1)
    return (parts + torch.from_numpy(node.log_weights).to(z_n_d.device)).logsumexp(dim=1)
