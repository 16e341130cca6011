"""Curves to point at, to switch off and to zoom: their numbers for the page, and the library that draws them.

The library is uPlot (https://github.com/leeoniya/uPlot, MIT), whole in `uplot/`, so that a page needs no network. Where
scripts are off, and on paper, the PNG of the same curves is shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoal.experiment.metrics import better
from autoal.report.curves import GREY
from autoal.report.tables import interval, metric_of

__all__ = ["curves_of", "differences_of", "embedded", "library", "style"]

FOLDER = Path(__file__).with_name("uplot")
Style = Mapping[str, Mapping[str, Any]]


def library() -> str:
    """Its script, and ours that starts it."""
    return (FOLDER / "uPlot.iife.min.js").read_text("utf-8") + Path(__file__).with_name("live.js").read_text("utf-8")


def style() -> str:
    """Its style sheet."""
    return (FOLDER / "uPlot.min.css").read_text("utf-8")


def embedded(charts: list[dict[str, Any]]) -> str:
    """Charts as JSON that may stand inside a page: no name of a selector ends the element that holds it."""
    text = json.dumps(charts, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def curves_of(block: pd.DataFrame, drawn: Style) -> dict[str, Any]:
    """The learning curves of one scenario: means over seeds, bands of one standard error; `drawn` is of `styles`."""
    metric = metric_of(block)
    factor = 100 if better(metric) > 0 else 1
    labels = sorted(block["labels"].unique().tolist())
    series: list[dict[str, Any]] = []
    for name, look in drawn.items():
        curve = block[block["selector"] == name]
        if curve.empty:
            continue
        summary = curve.groupby("labels")["value"].agg(["mean", "std", "count"]).reindex(labels)
        mean = factor * summary["mean"].to_numpy()
        error = factor * (summary["std"] / np.sqrt(summary["count"])).fillna(0.0).to_numpy()
        band = not series or look["color"] == GREY  # more than two would hide one another
        series.append(_series(name, look, mean, mean - error, mean + error, band))
    unit = f"{metric.replace('_', ' ')}{' (%)' if factor > 1 else ''}"
    return {"x": labels, "unit": unit, "series": series, "zero": False}


def differences_of(block: pd.DataFrame, drawn: Style, reference: str) -> dict[str, Any] | None:
    """What each is above `reference` at each number of labels, paired by seed, with 95 % intervals; above 0 is better.

    None where the reference was not run, or nothing beside it.
    """
    metric = metric_of(block)
    sign = better(metric)
    factor = sign * (100 if sign > 0 else 1)
    wide = block.pivot_table(index=["seed", "labels"], columns="selector", values="value")
    if reference not in wide.columns:
        return None
    labels = sorted(block["labels"].unique().tolist())
    series: list[dict[str, Any]] = []
    for name, look in drawn.items():
        if name == reference or name not in wide.columns:
            continue
        gains = (factor * (wide[name] - wide[reference])).dropna()
        found = [interval(gains.xs(at, level="labels")) if at in gains.index.get_level_values("labels") else None
                 for at in labels]  # fmt: skip
        rows = [(math.nan,) * 3 if each is None else (each.mean, each.low, each.high) for each in found]
        mean, low, high = np.array(rows, dtype=float).T
        series.append(_series(name, look, mean, low, high, not series))
    if not series:
        return None
    unit = "points" if factor > 1 else f"less {metric.replace('_', ' ')}"
    return {"x": labels, "unit": f"above {reference} ({unit})", "series": series, "zero": True}


def _series(name: str, look: Mapping[str, Any], mean: Any, low: Any, high: Any, band: bool) -> dict[str, Any]:
    return {
        "name": name,
        "color": look["color"],
        "width": look["linewidth"],
        "band": band,
        **{key: [round(float(v), 4) if math.isfinite(v) else None for v in values]
           for key, values in (("mean", mean), ("low", low), ("high", high))},
    }  # fmt: skip
