"""Measures of one learning curve beside another's. Of every curve here more is better; turn errors round first."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from autoal.experiment.metrics import aubc, better, labels_to_reach
from autoal.report.tables import metric_of

__all__ = [
    "data_utilisation",
    "deficiency",
    "end_quality",
    "measures_table",
    "normalised_aubc",
    "start_quality",
]

NOTHING = 1e-6
"""Denominators below this say nothing: the reference has no room left."""


def normalised_aubc(area: float, reference: float, ceiling: float) -> float:
    """AUBC on the scale on which the reference has 0 and the ceiling 1; NaN where the two are the same.

    The ceiling is the area of an oracle, or the value a model reaches on all labels. Our definition: that of Zhan and
    Chan 2020 (arXiv 2010.08161) could not be read.
    """
    room = ceiling - reference
    return math.nan if abs(room) < NOTHING else (area - reference) / room


def deficiency(values: ArrayLike, reference: ArrayLike, best: float | None = None) -> float:
    """Sum of what a curve lies below `best`, over that of the reference: below 1 is better than the reference.

    `best` is by default the larger of the two final values. NaN where the reference has no room left. Baram, El-Yaniv
    and Luz 2004, JMLR 5:255.
    """
    a, r = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    top = max(a[-1], r[-1]) if best is None else best
    room = float((top - r).sum())
    return math.nan if room < NOTHING else float((top - a).sum()) / room


def data_utilisation(values: ArrayLike, reference: ArrayLike, labels: ArrayLike) -> float:
    """Labels a curve needs to reach its target, over those the reference needs: below 1 is better than the reference.

    The target is the mean of the reference over its last tenth of rounds, at least one. NaN where it is not reached.
    Reitmaier and Sick 2013, Information Sciences 230:106.
    """
    r = np.asarray(reference, dtype=np.float64)
    target = float(r[-max(1, round(len(r) / 10)) :].mean())
    return labels_to_reach(values, labels, target) / labels_to_reach(r, labels, target)


def start_quality(values: ArrayLike, labels: ArrayLike) -> float:
    """Time-average of a curve over the first tenth of its labels."""
    x = np.asarray(labels, dtype=np.float64)
    return _average(values, x, x[0], x[0] + (x[-1] - x[0]) / 10)


def end_quality(values: ArrayLike, labels: ArrayLike) -> float:
    """Time-average of a curve over the last tenth of its labels."""
    x = np.asarray(labels, dtype=np.float64)
    return _average(values, x, x[-1] - (x[-1] - x[0]) / 10, x[-1])


def _average(values: ArrayLike, x: np.ndarray, low: float, high: float) -> float:
    """Of the piecewise linear curve between two of its places."""
    inner = x[(x > low) & (x < high)]
    places = np.concatenate([[low], inner, [high]])
    return aubc(np.interp(places, x, np.asarray(values, dtype=np.float64)), places)


def measures_table(journal: pd.DataFrame, reference: str) -> pd.DataFrame:
    """One row per selector, mean over scenarios, of each scenario's curve averaged over seeds.

    Columns: selector, start, end (points; of errors less is better, and the mean is taken of their negative),
    deficiency, utilisation (mean over the scenarios where it reached its target), reached (how many those are, as
    text). Meant for the cells that every selector finished.
    """
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for _, block in journal.groupby("dataset", sort=False):
        sign = better(metric_of(block))
        curves = sign * block.pivot_table(index="labels", columns="selector", values="value", aggfunc="mean")
        labels = curves.index.to_numpy(dtype=np.float64)
        if reference not in curves.columns or len(labels) < 2:
            continue
        base = curves[reference].to_numpy()
        for selector in curves.columns:
            own = curves[selector].to_numpy()
            found = (
                100 * start_quality(own, labels),
                100 * end_quality(own, labels),
                deficiency(own, base),
                data_utilisation(own, base, labels),
            )
            rows.setdefault(str(selector), []).append(found)
    table = []
    for selector in [name for name in dict.fromkeys(journal["selector"]) if name in rows]:
        each = np.array(rows[selector])
        start, end, lacking, used = (_mean(column) for column in each.T)
        reached = f"{int(np.isfinite(each[:, 3]).sum())} of {len(each)}"
        table.append((selector, start, end, lacking, used, reached))
    return pd.DataFrame(table, columns=["selector", "start", "end", "deficiency", "utilisation", "reached"])


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
