"""The split of "Re-Benchmarking Pool-Based Active Learning for Binary Classification" (Lu, Li and Lin 2023, arXiv
2306.08954), number by number, so that its tables can be computed again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.errors import ConfigError

__all__ = ["rebench_split", "standard_scores"]

Indices = NDArray[np.int64]
TRIES = 10_000


def rebench_split(y: Indices, train_share: float, initial: int, number: int) -> tuple[Indices, Indices]:
    """(training rows in their order, test rows) of valid seed `number`, counted from 0.

    A seed shuffles all rows, of which the first int(train_share n) are for training; a fresh generator of that seed
    shuffles those, and the first `initial` of them are labeled. It is valid where these hold every class of y (n,).
    The order matters: that benchmark trains on rows in the order of the second shuffle, and an SVM is solved to a
    tolerance only. Raises ConfigError where no seed is valid.
    """
    classes = len(np.unique(y))
    found = -1
    for seed in range(number + TRIES):
        rows = np.arange(len(y))
        np.random.default_rng(seed).shuffle(rows)
        cut = int(train_share * len(y))
        train, test = rows[:cut], rows[cut:]
        np.random.default_rng(seed).shuffle(train)
        found += len(np.unique(y[train[:initial]])) == classes
        if found == number:
            return train, test
    raise ConfigError(f"no seed gives {initial} first labels that hold all {classes} classes; raise `initial`")


def standard_scores(X: NDArray[Any], train: Indices) -> NDArray[np.float64]:
    """X (n, d) in deviations from the mean of its training rows, labeled or not, as StandardScaler has them."""
    from sklearn.preprocessing import StandardScaler

    wide = X.astype(np.float64)
    scaled: NDArray[np.float64] = StandardScaler().fit(wide[train]).transform(wide)
    return scaled
