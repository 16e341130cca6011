"""From a map of scores to picks: maxima, what lies too near to a better one away, a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.stats import gaussian_kde

from autoal.errors import InvalidInput

__all__ = ["Peaks", "Picks", "ScoreMap", "best_threshold", "find_peaks", "otsu", "score_at", "spaced", "threshold_of"]

Floats = NDArray[np.floating[Any]]
SMOOTHING = 0.7
APART = 0.8
WIDTHS = (1.0, 1.4, 2.0, 2.8, 4.0)
VALLEY = 0.8


@dataclass(frozen=True)
class ScoreMap:
    """`values` (h, w), higher is more particle-like, at `rows` (h,) and `columns` (w,) in pixels of the micrograph."""

    values: Floats
    rows: Floats
    columns: Floats
    shape: tuple[int, int]
    """Of the micrograph, in pixels."""


@dataclass(frozen=True)
class Peaks:
    """Every place that may be a particle: `centres` (n, 2) rows and columns, `scores` (n,), best first."""

    centres: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Picks(Peaks):
    """Peaks at or above `threshold`. `rule` says where it comes from: "valley", "otsu", "labels", "given", or "empty"
    where nothing in the micrograph is like the exemplars."""

    threshold: float
    rule: str


def find_peaks(scores: ScoreMap, diameter: float) -> Peaks:
    """Maxima of the smoothed map, finer than its grid by a parabola, at least 0.8 `diameter` apart, the better first.

    None nearer to the border of the micrograph than half a diameter: a particle there is cut.
    """
    smooth = _smooth(scores)
    top = (smooth == ndimage.maximum_filter(smooth, 3, mode="nearest")) & (smooth > ndimage.minimum_filter(smooth, 3))
    at = np.argwhere(top)
    finer = at + np.column_stack([_offset(smooth, at, axis) for axis in (0, 1)])
    rows = np.interp(finer[:, 0], np.arange(len(scores.rows)), scores.rows)
    columns = np.interp(finer[:, 1], np.arange(len(scores.columns)), scores.columns)
    centres, values = np.column_stack([rows, columns]), smooth[at[:, 0], at[:, 1]]
    kept = inside(centres, scores.shape, diameter / 2)
    centres, values = centres[kept], values[kept]
    order = np.argsort(-values, kind="stable")
    centres, values = centres[order], values[order]
    chosen = spaced(centres, APART * diameter)
    return Peaks(centres[chosen], values[chosen])


def score_at(scores: ScoreMap, centres: Floats, within: float) -> Floats:
    """(n,) the highest value of the smoothed map within so many pixels of each place (the nearest, where the grid has
    none)."""
    smooth = _smooth(scores)
    rows, columns = np.meshgrid(scores.rows, scores.columns, indexing="ij")
    tree = cKDTree(np.column_stack([rows.ravel(), columns.ravel()]))
    flat, out = smooth.ravel(), np.zeros(len(centres))
    for place, centre in enumerate(centres):
        around = tree.query_ball_point(centre, within) or [int(tree.query(centre)[1])]
        out[place] = flat[around].max()
    return out


def _smooth(scores: ScoreMap) -> Floats:
    return ndimage.gaussian_filter(np.asarray(scores.values, dtype=np.float64), SMOOTHING, mode="nearest")


def inside(centres: Floats, shape: tuple[int, int], border: float) -> NDArray[np.bool_]:
    """(n,) whether each lies at least `border` pixels within a picture of `shape`, whose edge is at -0.5."""
    low, high = border - 0.5, np.asarray(shape) - 0.5 - border
    return np.asarray(((centres >= low) & (centres <= high)).all(axis=1))


def spaced(centres: Floats, apart: float) -> NDArray[np.int64]:
    """Positions of those that are kept if each, in order, removes what follows within `apart`."""
    if not len(centres):
        return np.zeros(0, dtype=np.int64)
    near = cKDTree(centres).query_ball_point(centres, apart, return_sorted=False)
    gone = np.zeros(len(centres), dtype=bool)
    chosen = []
    for i, around in enumerate(near):
        if not gone[i]:
            chosen.append(i)
            gone[around] = True
    return np.asarray(chosen, dtype=np.int64)


def _offset(values: Floats, at: NDArray[np.int64], axis: int) -> Floats:
    """(n,) in -0.5 to 0.5: the top of the parabola through a maximum and both neighbours; 0 at the edge."""
    last = values.shape[axis] - 1
    here = at[:, axis]
    before, after = at.copy(), at.copy()
    before[:, axis], after[:, axis] = np.maximum(here - 1, 0), np.minimum(here + 1, last)
    a, b, c = (values[p[:, 0], p[:, 1]] for p in (before, at, after))
    bend = a - 2 * b + c
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.where(bend < 0, 0.5 * (a - c) / bend, 0.0)
    return np.where((here == 0) | (here == last), 0.0, np.clip(offset, -0.5, 0.5))


def threshold_of(scores: Floats) -> tuple[float, str]:
    """Where the density of the peaks' scores has a valley between two modes, "valley"; else Otsu's threshold, "otsu".

    The density is Gaussian with Silverman's width, widened until two modes are left; the valley counts below 0.8 of
    the lower mode. Of fewer than three different scores the lowest, so that all are kept.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(np.unique(scores)) < 3:
        return (float(scores.min()) if len(scores) else 0.0), "otsu"
    spread = float(np.ptp(scores))
    along = np.linspace(scores.min() - 0.1 * spread, scores.max() + 0.1 * spread, 512)
    for width in WIDTHS:
        density = gaussian_kde(scores, bw_method=lambda kde, width=width: width * kde.silverman_factor())(along)
        rises = np.diff(density) > 0
        modes = np.flatnonzero(rises[:-1] & ~rises[1:]) + 1
        if len(modes) == 2:
            lowest = modes[0] + int(np.argmin(density[modes[0] : modes[1] + 1]))
            if density[lowest] < VALLEY * density[modes].min():
                return float(along[lowest]), "valley"
        if len(modes) <= 2:
            break
    return otsu(scores), "otsu"


def otsu(scores: Floats) -> float:
    """The threshold of greatest variance between what lies below and above it (Otsu 1979), exact, no histogram."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    below = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / (len(ordered) - below)
    between = below * (len(ordered) - below) * (high - low) ** 2
    between[ordered[1:] == ordered[:-1]] = -1.0
    cut = int(np.argmax(between))
    return float((ordered[cut] + ordered[cut + 1]) / 2)


def best_threshold(positives: Floats, negatives: Floats) -> float:
    """The threshold with the best F1 on scores of labeled windows of both kinds; halfway to the next lower score."""
    scores = np.concatenate([positives, negatives])
    if not len(positives) or not len(negatives):
        raise InvalidInput(f"got {len(positives)} positives and {len(negatives)} negatives; wanted some of both")
    truth = np.concatenate([np.ones(len(positives)), np.zeros(len(negatives))])
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + len(positives))
    last = np.append(scores[order][1:] != scores[order][:-1], True)  # no cut between equal scores
    best = int(np.argmax(np.where(last, f1, -1.0)))
    here = float(scores[order][best])
    return here if best + 1 == len(scores) else (here + float(scores[order][best + 1])) / 2
