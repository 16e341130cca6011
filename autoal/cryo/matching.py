"""Picks against marks: one to one, then precision, recall, F1 and average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.cryo.peaks import Peaks, inside

__all__ = ["Measures", "hits_of", "measures"]

Floats = NDArray[np.floating[Any]]
WITHIN = 0.5


@dataclass(frozen=True)
class Measures:
    """Over all micrographs together. `f1`, `precision` and `recall` at the threshold of each, `best_f1` at the best
    common one, `ap` over all thresholds."""

    ap: float
    f1: float
    precision: float
    recall: float
    best_f1: float
    picks: int
    marks: int


def hits_of(peaks: Peaks, marks: Floats, within: float) -> NDArray[np.bool_]:
    """(n,) whether each peak, best first, finds a mark (m, 2) at most `within` pixels away that none before it took:
    the nearest."""
    marks = np.reshape(np.asarray(marks, dtype=np.float64), (-1, 2))
    free = np.ones(len(marks), dtype=bool)
    hits = np.zeros(len(peaks), dtype=bool)
    for i in np.argsort(-np.asarray(peaks.scores), kind="stable"):
        far = np.where(free, np.linalg.norm(marks - peaks.centres[i], axis=1), np.inf)
        if len(far) and far.min() <= within:
            free[far.argmin()] = False
            hits[i] = True
    return hits


def measures(
    peaks: Sequence[Peaks],
    thresholds: Sequence[float],
    marks: Sequence[Floats],
    shapes: Sequence[tuple[int, int]],
    diameter: float,
    within: float = WITHIN,
) -> Measures:
    """Of several micrographs of `shapes`: their peaks, the threshold of each, and their true marks (m, 2).

    A pick is right within `within` diameters of a mark. Marks and peaks nearer to the border than half a diameter are
    left out.
    """
    hits, picked = [np.zeros(0, dtype=bool)], [np.zeros(0, dtype=bool)]
    scores: list[Floats] = [np.zeros(0)]
    total = 0
    for found, threshold, true, shape in zip(peaks, thresholds, marks, shapes, strict=True):
        true = np.reshape(np.asarray(true, dtype=np.float64), (-1, 2))
        true = true[inside(true, shape, diameter / 2)]
        kept = inside(found.centres, shape, diameter / 2)
        left = Peaks(found.centres[kept], found.scores[kept])
        hits.append(hits_of(left, true, within * diameter))
        scores.append(left.scores)
        picked.append(left.scores >= threshold)
        total += len(true)
    hit, score, pick = (np.concatenate(part) for part in (hits, scores, picked))
    found_n = int((hit & pick).sum())
    order = np.argsort(-score, kind="stable")
    cumulated = np.cumsum(hit[order])
    place = np.arange(1, len(order) + 1)
    f1 = 2 * cumulated / (place + total)
    return Measures(
        ap=float((cumulated / place)[hit[order]].sum() / max(total, 1)),
        f1=2 * found_n / max(int(pick.sum()) + total, 1),
        precision=found_n / max(int(pick.sum()), 1),
        recall=found_n / max(total, 1),
        best_f1=float(f1.max()) if len(f1) else 0.0,
        picks=int(pick.sum()),
        marks=total,
    )
