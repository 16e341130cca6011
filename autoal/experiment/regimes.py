"""What makes a data set harder: long tails, foreign classes, near-copies, wrong labels, inputs that tell nothing; and
what makes classes of targets.

Rows are row numbers of the data set, ascending; y holds a class in 0..C-1, or below 0 for rows nobody asks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.errors import ConfigError

__all__ = ["beside_noise", "in_bins", "long_tail", "near_copies", "unreliable_labels", "with_share"]

Indices = NDArray[np.int64]


def long_tail(rows: Indices, y: Indices, num_classes: int, ratio: float, rng: np.random.Generator) -> Indices:
    """`rows` with classes of sizes falling geometrically from the largest to 1 / ratio of it.

    Classes get their places by `rng`; each is cut to its size and none below 3 rows, so a class that was small stays
    as it is. Rows of y < 0 stay (Cui et al. 2019, arXiv 1901.05555, section 5).
    """
    members = [rng.permutation(rows[y[rows] == c]) for c in range(num_classes)]
    places = rng.permutation(num_classes)
    largest = max(len(own) for own in members)
    steps = max(1, num_classes - 1)
    sizes = [max(3, round(largest * ratio ** (-place / steps))) for place in places]
    kept = [own[:size] for own, size in zip(members, sizes, strict=True)]
    return np.sort(np.concatenate([*kept, rows[y[rows] < 0]]))


def with_share(rows: Indices, foreign: NDArray[np.bool_], share: float, rng: np.random.Generator) -> Indices:
    """The largest part of `rows` of which `share` is foreign ((n,) by row): one of the two sides is thinned."""
    own, other = rows[~foreign], rows[foreign]
    wanted = round(share / (1 - share) * len(own))
    if wanted <= len(other):
        other = rng.choice(other, wanted, replace=False)
    else:
        own = rng.choice(own, round((1 - share) / share * len(other)), replace=False)
    return np.sort(np.concatenate([own, other]))


def unreliable_labels(
    inputs_n_D: NDArray[Any], y: Indices, may: NDArray[np.bool_], num_classes: int, share: float, rate: float,
    rng: np.random.Generator,
) -> Indices:  # fmt: skip
    """(n,) labels, wrong with chance `rate` in a region: the share of points nearest to a drawn one, all among `may`.

    A wrong label is one of the other classes, each alike. Labels below 0 stay.
    """
    at = np.flatnonzero(may)
    center = inputs_n_D[at[rng.integers(len(at))]]
    distances = ((inputs_n_D[at].astype(np.float64) - center) ** 2).sum(axis=1)
    region = at[np.argsort(distances, kind="stable")[: max(1, round(share * len(at)))]]
    shifts = rng.integers(1, num_classes, size=len(region))
    hit = (rng.random(len(region)) < rate) & (y[region] >= 0)
    noisy = y.copy()
    noisy[region[hit]] = (y[region[hit]] + shifts[hit]) % num_classes
    return noisy


def beside_noise(X: Any, share: float, rng: np.random.Generator, label: str) -> NDArray[np.float32]:
    """(n, D + round(share D)) the D inputs of each row of X (n, ...) and columns of Gaussian noise, with the mean
    deviation of the inputs.

    Raises ConfigError where X is no array of numbers.
    """
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "fiu":
        raise ConfigError(
            f"data set {label}: inputs of noise are put beside arrays of numbers, and this is {type(X).__name__}; "
            "leave out `irrelevant`"
        )
    own = X.reshape(len(X), -1).astype(np.float32)
    columns = max(1, round(share * own.shape[1]))
    deviation = float(np.sqrt(np.nanmean(np.nanvar(own, axis=0))))
    noise = (deviation * rng.standard_normal((len(own), columns))).astype(np.float32)
    return np.concatenate([own, noise], axis=1)


def in_bins(y: NDArray[Any], bins: int, label: str) -> Indices:
    """(n,) class in 0..bins-1 of each target of y (n,), cut at the quantiles; -1 where there is no target.

    Equal targets stay in one class, so sizes are equal only where few are. Raises ConfigError where a class is empty.
    """
    known = np.isfinite(y)
    edges = np.quantile(y[known], np.arange(1, bins) / bins)
    classes = np.where(known, np.searchsorted(edges, y, side="left"), -1)
    empty = np.flatnonzero(np.bincount(classes[known], minlength=bins) == 0)
    if len(empty):
        raise ConfigError(
            f"data set {label}: got bins={bins}, and class {empty[0]} would be empty, so many targets are equal; "
            "wanted fewer bins"
        )
    return classes


def near_copies(X: Any, rows: Indices, count: int, noise: float, rng: np.random.Generator, label: str) -> Any:
    """(n count, ...) `rows` of X (n', ...) over and over, moved by Gaussian noise of `noise` deviations of each input.

    Raises ConfigError where X is no array of numbers.
    """
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "fiu":
        raise ConfigError(
            f"data set {label}: near-duplicates are made of arrays of numbers, and this is {type(X).__name__}; "
            "leave out `copies`"
        )
    source = X[rows].astype(np.float64)
    # One deviation for a picture, one for each column of a table.
    deviation = source.std() if X.ndim > 2 else source.std(axis=0)
    moved = [source + noise * deviation * rng.standard_normal(source.shape) for _ in range(count)]
    made = np.concatenate(moved) if moved else source[:0]
    if X.dtype.kind in "iu":
        limits = np.iinfo(X.dtype)
        made = made.round().clip(limits.min, limits.max)
    return made.astype(X.dtype)
