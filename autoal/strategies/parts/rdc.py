"""The randomised dependence coefficient of pairs of columns (Lopez-Paz, Hennig and Schoelkopf 2013, arXiv 1304.7717).

Ranks of a column go through k random sines; the coefficient of two columns is the largest canonical correlation of
their sines: 0 for independent columns and many rows, 1 where one is a function of the other, and blind to monotone
transforms. Axes: n rows, d columns, k sines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["dependence_threshold", "rdc"]

Floats = NDArray[np.float64]
NULL_COLUMNS = 20
"""At least as many shuffled columns, 190 pairs, from which the threshold is read."""
MANY_ROWS = 300
"""From here on the quantile lies below 0.25, whatever the columns."""


def rdc(
    x_n_d: Floats, rng: np.random.RandomState, sines: int = 10, variance: float = 1 / 6, cut: float = 1e-2
) -> Floats:
    """(d, d) symmetric, ones on the diagonal. Slopes and shifts of the sines are N(0, `variance`).

    Directions of a column's sines below `cut` of its largest are noise and dropped. A constant column depends on
    nothing.
    """
    n, d = x_n_d.shape
    ranks = np.stack([rankdata(column) for column in x_n_d.T], axis=1) / n
    slope, shift = np.sqrt(variance) * rng.normal(size=(2, d, sines))
    waves = np.sin(ranks[:, :, None] * slope + shift)
    waves -= waves.mean(axis=0)
    left, sizes, _ = np.linalg.svd(waves.transpose(1, 0, 2), full_matrices=False)  # (d, n, r), (d, r)
    kept = (sizes > cut * sizes[:, :1]) & (sizes[:, :1] > 1e-9)
    white = left * kept[:, None, :]
    width = white.shape[2]
    flat = white.transpose(1, 0, 2).reshape(n, d * width)
    blocks = (flat.T @ flat).reshape(d, width, d, width).transpose(0, 2, 1, 3)
    above, below = np.triu_indices(d, 1)
    out = np.eye(d)
    norms = np.linalg.norm(blocks[above, below], ord=2, axis=(1, 2)) if len(above) else np.empty(0)
    out[above, below] = out[below, above] = np.minimum(norms, 1.0)
    return out


def dependence_threshold(x_n_d: Floats, rng: np.random.RandomState, floor: float = 0.3) -> float:
    """What a coefficient must exceed to count as dependence: `floor`, or the 99 % quantile of columns shuffled
    independently, since with few rows independent columns look dependent (0.3 on average at 30 rows)."""
    n, d = x_n_d.shape
    if d < 2 or n >= MANY_ROWS:
        return floor
    copies = -(-NULL_COLUMNS // d)  # few columns are shuffled several times, so that there are pairs enough
    shuffled = np.stack([rng.permutation(column) for column in np.tile(x_n_d, copies).T], axis=1)
    null = rdc(shuffled, rng)[np.triu_indices(shuffled.shape[1], 1)]
    return max(floor, float(np.quantile(null, 0.99)))
