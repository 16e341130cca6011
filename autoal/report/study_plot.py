"""One picture of a study: its trials in order, what its parameters matter, and gain against seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from autoal.report.curves import COLORS, GREY, new_figure, plain, save

__all__ = ["study_plot"]

PARAMETERS = 12
"""The most parameters whose importance is drawn."""


def study_plot(
    trials: pd.DataFrame,
    importances: Mapping[str, float],
    path: str | Path,
    *,
    objective: str,
    chosen: int | None = None,
    front: pd.DataFrame | None = None,
) -> Path:
    """Panels side by side: gain of each trial and the best so far, importances, and the front where there is one.

    `trials` and `front` have columns trial, state, gain and seconds; pruned trials count with what they had. `chosen`
    is the number of the trial that became best.toml.
    """
    panels = 2 + (front is not None)
    figure = new_figure(5.2 * panels, 3.9)
    axes = figure.subplots(1, panels)
    _history(axes[0], trials, objective, chosen)
    _bars(axes[1], importances)
    if front is not None:
        _front(axes[2], trials, front, objective, chosen)
    return save(figure, path)


def _history(axis: Any, trials: pd.DataFrame, objective: str, chosen: int | None) -> None:
    trials = trials.sort_values("trial")
    cut = (trials["state"] == "pruned").to_numpy()
    x, y = trials["trial"].to_numpy(float), trials["gain"].to_numpy(float)
    axis.axhline(0.0, color=GREY, linewidth=1, linestyle=":", label="no gain")
    axis.scatter(x[~cut], y[~cut], s=22, color=COLORS[0], label="trial", zorder=3)
    if cut.any():
        axis.scatter(x[cut], y[cut], s=22, facecolors="none", edgecolors=COLORS[4], label="pruned", zorder=3)
    if (~cut).any():
        best = np.maximum.accumulate(y[~cut])
        axis.step(x[~cut], best, where="post", color=COLORS[1], linewidth=1.8, label="best so far")
    _mark(axis, trials, "trial", chosen)
    axis.set_xlabel("trial")
    axis.set_ylabel(objective)
    axis.set_title("trials", fontsize=10, loc="left")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False, fontsize=8)
    plain(axis)


def _bars(axis: Any, importances: Mapping[str, float]) -> None:
    axis.set_title("importance for the gain", fontsize=10, loc="left")
    shown = sorted(importances.items(), key=lambda item: item[1])[-PARAMETERS:]
    if not shown:
        axis.text(0.5, 0.5, "too few trials to tell", ha="center", va="center", transform=axis.transAxes)
        axis.set_axis_off()
        return
    axis.barh([name for name, _ in shown], [share for _, share in shown], color=COLORS[0], height=0.6)
    axis.tick_params(axis="y", labelsize=8)
    axis.set_xlabel("share of the variance explained")
    plain(axis)


def _front(axis: Any, trials: pd.DataFrame, front: pd.DataFrame, objective: str, chosen: int | None) -> None:
    axis.scatter(trials["seconds"], trials["gain"], s=18, color="#B0B0B0", label="trial", zorder=2)
    ordered = front.sort_values("seconds")
    axis.step(
        ordered["seconds"], ordered["gain"], where="post", marker="o", markersize=5, color=COLORS[1],
        label="Pareto front", zorder=3,
    )  # fmt: skip
    _mark(axis, trials, "seconds", chosen)
    axis.set_xscale("log")
    axis.set_xlabel("seconds a round adds")
    axis.set_ylabel(objective)
    axis.set_title("gain against seconds", fontsize=10, loc="left")
    axis.legend(frameon=False, fontsize=8)
    plain(axis)


def _mark(axis: Any, trials: pd.DataFrame, column: str, chosen: int | None) -> None:
    own = trials[trials["trial"] == chosen]
    axis.scatter(
        own[column],
        own["gain"],
        s=110,
        facecolors="none",
        edgecolors=COLORS[2],
        linewidth=1.8,
        label="chosen",
        zorder=4,
    )
