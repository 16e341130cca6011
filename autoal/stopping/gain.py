"""What the next labels may add: an inverse power law through what is known of the curve, with its interval.

The value with n labels is taken as a - b n^-c (b at least 0), the form that learning curves of classifiers were found
to follow well over few labels (Figueroa et al. 2012, BMC Med. Inform. Decis. Mak. 12:8; Viering and Loog 2023, IEEE
TPAMI 45(6), a survey). A least-squares fit through a few noisy points does not say how little it knows, so there is
none here: the exponent c and the gain g are averaged over a grid by how well each fits (Bayes, with the priors below),
and the interval is that of g.

Axes: M measurements, C exponents, G gains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from autoal.errors import InvalidInput

__all__ = ["FEWEST", "Gain", "fit_gain"]

FEWEST = 3
"""Measurements below which nothing is fitted: level, size and exponent of the curve are three unknowns."""
EXPONENTS = np.geomspace(0.2, 2.0, 15)
"""Equally likely beforehand. Of published curves nearly all lie between a fifth and two."""
GRID = np.linspace(0.0, 1.0, 401) ** 2
"""Of gains as shares of the largest possible one, dense where they are small."""
NOISE_WEIGHT = 4.0
"""Measurements' worth of trust in the noise that counting alone makes (scaled inverse chi-squared prior)."""


@dataclass(frozen=True)
class Gain:
    """What the next `ahead` labels may add, in the unit of the values."""

    ahead: int
    expected: float
    """The mean over all curves, each by how well it fits."""
    low: float
    high: float
    """Quantiles that leave (1 - level) / 2 on either side."""
    level: float


def fit_gain(
    labels: ArrayLike,
    values: ArrayLike,
    counts: ArrayLike,
    ahead: int,
    *,
    now: float | None = None,
    level: float = 0.8,
    best: float = 1.0,
    shared: float = 0.0,
) -> Gain:
    """The gain from `ahead` labels more than `now` (the last of `labels`, unless given).

    `values` (M,), more is better and never more than `best`, were measured on `counts` (M,) labels each, with models
    trained on `labels` (M,) labels. Their errors have variances in proportion to 1 / counts, of the size of a
    binomial's for an accuracy (`best` 1) and unknown for anything else. `shared` is the part of the variance
    that a measurement has in common with a later one, which contains its points: 0 where each is of points of its own.

    Prior, beside that of the exponent: the curve ends anywhere between its level now and `best`, evenly.

    Raises InvalidInput for fewer than three measurements at different numbers of labels, or nonsense in them.
    """
    n, y, k = (np.asarray(column, dtype=np.float64) for column in (labels, values, counts))
    if n.ndim != 1 or n.shape != y.shape or n.shape != k.shape or len(np.unique(n)) < FEWEST:
        raise InvalidInput(
            f"got labels, values and counts of shapes {n.shape}, {y.shape}, {k.shape}; wanted three of one length, "
            f"with {FEWEST} or more different numbers of labels"
        )
    if not (np.isfinite(y).all() and (n > 0).all() and (k > 0).all()) or ahead < 1 or not 0 < level < 1:
        raise InvalidInput(
            f"got ahead={ahead}, level={level}; wanted a positive number and a share, and finite values at positive "
            "numbers of labels"
        )
    at = float(n[-1] if now is None else now)
    rooted = np.linalg.inv(np.linalg.cholesky(_covariance(k, shared)))
    one, white = rooted @ np.ones_like(y), rooted @ y
    level_now = float(one @ white / (one @ one)) if len(y) < FEWEST + 1 else _level(n, y, rooted, at)
    room = max(best - level_now, 0.5 / float(k.max()) if best == 1.0 else 1e-12)
    scale = _binomial(y, k) if best == 1.0 else None
    # h falls from its value at the smallest n to 0 at `at` and -1 at `at + ahead`: y = level - g h.
    bases = EXPONENTS[:, None]
    h = (n**-bases - at**-bases) / (at**-bases - (at + ahead) ** -bases)  # (C, M)
    most = room * (1.0 - (1.0 + ahead / at) ** -EXPONENTS)  # (C,)
    g = most[:, None] * GRID  # (C, G)
    # The level is integrated out: residuals are taken orthogonal to `one`.
    unit = one / np.linalg.norm(one)
    flat_h = h @ rooted.T
    flat_h = flat_h - np.outer(flat_h @ unit, unit)
    flat_y = white - unit * (unit @ white)
    squares = flat_y @ flat_y + 2 * g * (flat_h @ flat_y)[:, None] + g**2 * (flat_h**2).sum(1)[:, None]
    freedom = len(y) - 1
    known = NOISE_WEIGHT if scale is not None else 0.0
    prior = known * (scale or 0.0) + 1e-12
    log_fit = -0.5 * (freedom + known) * np.log(prior + np.maximum(squares, 0.0))
    mass = np.exp(log_fit - log_fit.max()) * np.gradient(GRID)[None, :]
    flat_g, flat_mass = g.ravel(), mass.ravel() / mass.sum()
    order = np.argsort(flat_g, kind="stable")
    ordered, below = flat_g[order], np.cumsum(flat_mass[order])
    ends = [min(int(np.searchsorted(below, q)), len(order) - 1) for q in ((1 - level) / 2, (1 + level) / 2)]
    low, high = (float(ordered[end]) for end in ends)
    return Gain(int(ahead), float(flat_g @ flat_mass), low, high, level)


def _covariance(counts: np.ndarray, shared: float) -> np.ndarray:
    """(M, M) of means over nested sets: the mean of n points has n / m of the mean of m of them in it."""
    together = 1.0 / np.maximum(counts[:, None], counts[None, :])
    return shared * together + (1.0 - shared) * np.diag(1.0 / counts) + 1e-9 * np.eye(len(counts)) / counts.max()


def _binomial(values: np.ndarray, counts: np.ndarray) -> float:
    """Variance of one outcome; never that of certainty, of which no sample is one."""
    mean = (values @ counts + 0.5) / (counts.sum() + 1.0)
    return float(mean * (1.0 - mean))


def _level(n: np.ndarray, y: np.ndarray, rooted: np.ndarray, at: float) -> float:
    """The value at `at` by a straight line in log labels through the later half: for the prior alone."""
    later = n >= np.median(n)
    x = np.log(n[later] / at)
    if len(np.unique(x)) < 2:
        return float(y[later].mean())
    slope, start = np.polyfit(x, y[later], 1)
    return float(start if slope >= 0 else y[later].mean())
