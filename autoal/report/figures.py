"""Plots of a whole run: ranks, gains by scenario, weights of candidates, foreign points bought, seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import MaxNLocator

from autoal.report.curves import COLORS, GREY, draw_curves, new_figure, plain, save
from autoal.report.tables import metric_of

__all__ = [
    "SIGNS",
    "cost_bars",
    "difference_curves",
    "gain_limit",
    "gain_map",
    "rank_diagram",
    "rejected_curves",
    "scenario_curves",
    "weight_map",
]

SIGNS = LinearSegmentedColormap.from_list("signs", [COLORS[1], "#FFFFFF", COLORS[0]])
"""Orange for worse, white for the same, blue for better: told apart without red and green."""
AMOUNTS = LinearSegmentedColormap.from_list("amounts", ["#FFFFFF", COLORS[5], COLORS[0], "#00304D"])


def scenario_curves(block: pd.DataFrame, drawn: dict[str, dict[str, Any]], path: str | Path) -> Path:
    """The learning curves of one scenario, without a legend."""
    figure = new_figure(4.4, 3.2)
    draw_curves(figure.subplots(), block, drawn, metric_of(block))
    return save(figure, path)


def difference_curves(gains: Mapping[str, Any], path: str | Path) -> Path:
    """Gain over the reference by labels paid, with bands, as `autoal.report.live.differences_of` gives it."""
    figure = new_figure(6.4, 3.4)
    axis = figure.subplots()
    axis.axhline(0, color=GREY, linewidth=1)
    for i, line in enumerate(gains["series"]):
        low, mean, high = (np.array(line[key], dtype=float) for key in ("low", "mean", "high"))
        axis.plot(gains["x"], mean, color=line["color"], linewidth=line["width"], label=line["name"], zorder=5 - i)
        if i == 0:
            axis.fill_between(gains["x"], low, high, color=line["color"], alpha=0.18, linewidth=0, zorder=1)
    axis.set_xlabel("labels paid")
    axis.set_ylabel(gains["unit"])
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    plain(axis)
    return save(figure, path)


def rank_diagram(
    ranks: pd.Series, pairs: pd.DataFrame, path: str | Path, *, focus: str, reference: str, alpha: float
) -> Path:
    """Critical-difference diagram (Demsar 2006): average ranks, and bars over those that are not told apart.

    `ranks` (1 is best) may hold fewer selectors than `pairs`, the p-values. Drawn by scikit-posthocs.
    """
    from scikit_posthocs import critical_difference_diagram  # of an extra; whoever has `pairs` has it

    names = list(ranks.index)
    colors = dict.fromkeys(names, "#333333") | {reference: GREY, focus: COLORS[0]}
    figure = new_figure(5.2 if len(names) <= 12 else 6.6, 1.1 + 0.19 * len(names))
    critical_difference_diagram(
        ranks,
        pairs.loc[names, names],
        ax=figure.subplots(),
        alpha=alpha,
        color_palette={name: colors[name] for name in names},
        label_fmt_left="{label} ({rank:.1f}) ",
        label_fmt_right=" ({rank:.1f}) {label}",
        label_props={"fontsize": 9},
        text_h_margin=0.02 * (float(ranks.max() - ranks.min()) or 1.0),
        elbow_props={"linewidth": 1},
        crossbar_props={"color": "#000000", "linewidth": 2.2},
    )
    return save(figure, path)


def gain_map(gains: pd.DataFrame, signs: pd.DataFrame, path: str | Path) -> Path:
    """Heat map: a row per selector, a column per scenario, gain over the reference in points.

    `signs` (1, 0 or -1) marks wins and losses with triangles. Gains beyond the 95th percentile share a
    colour, so that one runaway does not bleach the rest.
    """
    rows, columns = gains.shape
    limit = gain_limit(gains)
    figure = new_figure(max(4.0, 2.4 + 0.75 * columns), 1.6 + 0.23 * rows)
    axis = figure.subplots()
    image = axis.imshow(gains.to_numpy(float), cmap=SIGNS, norm=Normalize(-limit, limit), aspect="auto")
    values, marks = gains.to_numpy(float), signs.to_numpy()
    for i in range(rows):
        for j in range(columns):
            if np.isfinite(value := float(values[i, j])):
                mark = {1: " ▲", -1: " ▼", 0: ""}[int(marks[i, j])]
                dark = abs(value) > 0.75 * limit
                axis.text(
                    j, i, f"{round(value, 1) + 0.0:+.1f}{mark}", ha="center", va="center", fontsize=7,
                    color="white" if dark else "black", fontweight="bold" if mark else "normal",
                )  # fmt: skip
    axis.set_xticks(range(columns), list(gains.columns), rotation=40, ha="right", fontsize=8)
    axis.set_yticks(range(rows), list(gains.index), fontsize=8)
    figure.colorbar(image, ax=axis, label="gain in points", shrink=0.6)
    return save(figure, path)


def gain_limit(gains: pd.DataFrame) -> float:
    """Gain in points that has the full colour: the 95th percentile of their sizes, at least a tenth of a point."""
    known = np.abs(gains.to_numpy(float))
    known = known[np.isfinite(known)]
    return max(float(np.quantile(known, 0.95)) if len(known) else 0.0, 0.1)


def weight_map(weights: pd.DataFrame, path: str | Path) -> Path:
    """Heat map of `weights`: a row per candidate, a column per round."""
    rows, columns = weights.shape
    figure = new_figure(max(4.2, 2.6 + 0.15 * columns), 1.2 + 0.22 * rows)
    axis = figure.subplots()
    image = axis.imshow(weights.to_numpy(float), cmap=AMOUNTS, vmin=0.0, aspect="auto")
    axis.set_yticks(range(rows), list(weights.index), fontsize=8)
    axis.set_xlabel("round")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    figure.colorbar(image, ax=axis, label="mean weight")
    return save(figure, path)


def rejected_curves(block: pd.DataFrame, drawn: dict[str, dict[str, Any]], path: str | Path) -> Path:
    """Share of the labels bought so far that went to points the oracle rejects, in one scenario."""
    figure = new_figure(4.4, 3.2)
    axis = figure.subplots()
    for selector, style in drawn.items():
        curve = block[(block["selector"] == selector) & (block["round"] > 0)]
        if len(curve):
            share = 100 * curve["rejected"] / curve["bought"]
            mean = share.groupby(curve["labels"]).mean()
            axis.plot(mean.index, mean.to_numpy(), markevery=max(1, len(mean) // 8), **style)
    axis.set_title(str(block["dataset"].iloc[0]), fontsize=10, loc="left")
    axis.set_xlabel("labels paid")
    axis.set_ylabel("rejected (% of those bought)")
    axis.set_ylim(bottom=0)
    plain(axis)
    return save(figure, path)


def cost_bars(seconds: pd.DataFrame, path: str | Path) -> Path:
    """Mean seconds of a round, stacked by stage: a row per selector, a column per stage."""
    figure = new_figure(5.2, 1.3 + 0.26 * len(seconds))
    axis = figure.subplots()
    left = np.zeros(len(seconds))
    for i, stage in enumerate(seconds.columns):
        width = seconds[stage].fillna(0.0).to_numpy()
        axis.barh(range(len(seconds)), width, left=left, color=COLORS[i % len(COLORS)], label=stage, height=0.7)
        left += width
    axis.set_yticks(range(len(seconds)), list(seconds.index), fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("seconds per round")
    figure.legend(loc="outside upper right", frameon=False, fontsize=8, ncols=4)
    plain(axis)
    return save(figure, path)
