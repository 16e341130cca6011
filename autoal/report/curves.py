"""Plots made from a journal alone, as PNG files that are whole or not there."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, MaxNLocator

from autoal.disk import write_atomic
from autoal.experiment.metrics import better

__all__ = ["COLORS", "GREY", "draw_curves", "learning_curves", "new_figure", "plain", "save", "styles"]

# Okabe and Ito's palette: told apart by people who do not see red or green. Styles and markers repeat what colour says.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#7F7F7F"
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BANDS_UP_TO = 6
"""With more curves than this, only the first and the reference get a band."""


def styles(selectors: Sequence[str], reference: str | None = None) -> dict[str, dict[str, Any]]:
    """How each selector is drawn, the same in every plot: the first thickest and on top, `reference` in grey."""
    return {
        selector: {
            "color": GREY if selector == reference else COLORS[i % len(COLORS)],
            "linestyle": STYLES[(i // len(COLORS)) % len(STYLES)],
            "marker": MARKERS[i % len(MARKERS)],
            "markersize": 3.5,
            "linewidth": 2.4 if i == 0 else 1.4,
            "zorder": 5 if i == 0 else 3,
        }
        for i, selector in enumerate(selectors)
    }


def draw_curves(axis: Any, block: pd.DataFrame, drawn: dict[str, dict[str, Any]], metric: str) -> dict[str, Any]:
    """The curves of one scenario, those of `drawn` (as `styles` gives it) alone. Gives the line of each selector.

    The mean over seeds against labels paid, with a band of one standard error.
    """
    percent = 100 if better(metric) > 0 else 1
    lines = {}
    for i, (selector, style) in enumerate(drawn.items()):
        curve = block[block["selector"] == selector]
        if curve.empty:
            continue
        summary = curve.groupby("labels")["value"].agg(["mean", "std", "count"])
        x, y = summary.index.to_numpy(float), percent * summary["mean"].to_numpy()
        lines[selector] = axis.plot(x, y, label=selector, markevery=max(1, len(x) // 8), **style)[0]
        if len(drawn) <= BANDS_UP_TO or i == 0 or style["color"] == GREY:
            error = percent * (summary["std"] / np.sqrt(summary["count"])).fillna(0.0).to_numpy()
            axis.fill_between(x, y - error, y + error, color=style["color"], alpha=0.18, linewidth=0, zorder=1)
    seeds = block["seed"].nunique()
    title = f"{block['dataset'].iloc[0]} ({seeds} seed{'s' if seeds != 1 else ''})"
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel("labels paid")
    axis.set_ylabel(metric.replace("_", " ") + (" (%)" if percent > 1 else ""))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    plain(axis)
    return lines


def learning_curves(
    journal: pd.DataFrame,
    path: str | Path,
    *,
    reference: str | None = None,
    metric: str = "accuracy",
    only: Sequence[str] | None = None,
) -> Path:
    """One panel per scenario: mean over seeds against labels paid, with a band of one standard error.

    `journal` as `read_journal` gives it; `metric` is for one that does not say what its values are. The first selector
    is drawn thickest and on top, `reference` in grey. `only` names the selectors that are drawn, first the first.
    """
    datasets = list(dict.fromkeys(journal["dataset"]))
    drawn = styles(list(only or dict.fromkeys(journal["selector"])), reference)
    columns = min(3, len(datasets))
    rows = math.ceil(len(datasets) / columns)
    figure = new_figure(4.6 * columns + 1.8, 3.5 * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    handles: dict[str, Any] = {}
    for axis, dataset in zip(axes, datasets, strict=False):
        block = journal[journal["dataset"] == dataset]
        own = str(block["metric"].iloc[0]) if "metric" in block.columns else metric
        handles = {**draw_curves(axis, block, drawn, own), **handles}
    for axis in axes[len(datasets) :]:
        axis.set_visible(False)
    shown = [selector for selector in drawn if selector in handles]
    figure.legend(
        [handles[selector] for selector in shown],
        shown,
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        title="mean, band: 1 s.e.",
        title_fontsize=8,
    )
    return save(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches."""
    # Not pyplot: no global state, no display, safe beside a user's own figures.
    figure = Figure(figsize=(width, height), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    return figure


def plain(axis: Any) -> None:
    """A light grid and no frame."""
    axis.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a PNG file, the same bytes for the same figure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scales = [scale for axis in figure.axes for scale in (axis.xaxis, axis.yaxis)]
    powers = {
        id(text)
        for scale in scales
        if isinstance(scale.get_major_formatter(), LogFormatter)  # powers of ten
        for text in scale.get_ticklabels(which="both")
    }
    for text in figure.findobj(Text):  # names of data sets and selectors are no formulas, whatever signs are in them
        if id(text) not in powers:
            text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomic(path, buffer.getvalue())
    return path
