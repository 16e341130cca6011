"""Tables and a verdict in one sentence, made from a journal alone."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from scipy import stats

from autoal.errors import RunError
from autoal.experiment.lines import read_run
from autoal.experiment.metrics import aubc, better, labels_to_reach

__all__ = [
    "Interval",
    "cells_shown",
    "curve_table",
    "dataset_table",
    "interval",
    "metric_of",
    "outcomes_of",
    "overall_table",
    "paired_areas",
    "read_journal",
    "rich_table",
    "score_table",
    "to_markdown",
    "verdict",
]

POINTS = 100
"""AUBC and accuracy are shown in points of a hundred; so is log RMSE, of which a point is one percent of RMSE."""


def read_journal(folder: str | Path) -> pd.DataFrame:
    """One row per (dataset, selector, seed, round) of the run in `folder`, in the journal's order.

    Columns: those four, labels (paid so far), labeled, rejected, value, metric. Raises RunError where there is no
    journal.
    """
    rows = read_run(Path(folder))
    columns = ["dataset", "selector", "seed", "round", "labels", "labeled", "rejected", "value", "metric"]
    return pd.DataFrame([{"metric": "accuracy", **row} for row in rows])[columns]


def metric_of(journal: pd.DataFrame) -> str:
    """What its values are, `mixed` where scenarios differ; journals of early versions do not say: accuracy."""
    names = journal["metric"].unique() if "metric" in journal.columns and len(journal) else ["accuracy"]
    return str(names[0]) if len(names) == 1 else "mixed"


def _signs(journal: pd.DataFrame) -> pd.Series:
    """1 or -1 by scenario: the sign that makes more better."""
    return pd.Series({dataset: better(metric_of(block)) for dataset, block in journal.groupby("dataset")})


def curve_table(journal: pd.DataFrame) -> pd.DataFrame:
    """One row per learning curve: dataset, selector, seed, aubc (form `mean`), final, start."""
    keys = ["dataset", "selector", "seed"]
    number = journal.groupby(keys, sort=False).ngroup().to_numpy()
    order = np.lexsort((journal["round"].to_numpy(), number))
    values, labels = (journal[column].to_numpy(dtype=np.float64)[order] for column in ("value", "labels"))
    names = journal[keys].to_numpy()[order]
    # Cut once where the next curve begins: a frame per curve would take minutes over sixty selectors.
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    rows = []
    for a, b in itertools.pairwise([*starts, len(order)]):
        area = aubc(values[a:b], labels[a:b])
        rows.append((*names[a], POINTS * area, POINTS * values[b - 1], POINTS * values[a]))
    return pd.DataFrame(rows, columns=["dataset", "selector", "seed", "aubc", "final", "start"])


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves 0 out, 0 where it does not or nothing is known."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    @property
    def outcome(self) -> str:
        return {1: "win", 0: "tie", -1: "loss"}[self.sign]


def interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Bootstrap interval of the mean of paired differences; always the same for the same values.

    The percentile bootstrap is too narrow for few values (three that agree in sign would always be a win), so its
    distances from the mean are stretched by sqrt(n / (n - 1)) t(n - 1) / z, as Hesterberg 2015 (The American
    Statistician 69:371) expands its percentiles. With fewer than two values nothing is known: low and high are
    infinite.
    """
    return _interval(tuple(float(value) for value in values), level)


@functools.lru_cache(maxsize=8192)  # a report asks for the same ones again and again
def _interval(values: tuple[float, ...], level: float) -> Interval:
    d = np.asarray(values, dtype=np.float64)
    n = len(d)
    mean = float(d.mean()) if n else math.nan
    if n < 2:
        return Interval(mean, -math.inf, math.inf, n)
    if np.ptp(d) < 1e-12:
        return Interval(mean, mean, mean, n)
    found = stats.bootstrap(
        (d,), np.mean, confidence_level=level, method="percentile", rng=np.random.default_rng(0), n_resamples=9999
    ).confidence_interval
    upper = (1 + level) / 2
    stretch = math.sqrt(n / (n - 1)) * stats.t.ppf(upper, n - 1) / stats.norm.ppf(upper)
    return Interval(mean, mean - stretch * (mean - float(found.low)), mean + stretch * (float(found.high) - mean), n)


def score_table(journal: pd.DataFrame) -> pd.DataFrame:
    """AUBC of every curve in points, as it is: a row for each scenario and seed, a column for each selector."""
    curves = curve_table(journal)
    wide = curves.pivot(index=["dataset", "seed"], columns="selector", values="aubc")
    return wide.loc[_order(curves["dataset"]), _order(curves["selector"])].round(4).reset_index()


def paired_areas(journal: pd.DataFrame) -> pd.DataFrame:
    """AUBC in points, negative where less is better: rows (dataset, seed), one column per selector."""
    return _paired(curve_table(journal), journal)


def _paired(curves: pd.DataFrame, journal: pd.DataFrame) -> pd.DataFrame:
    wide = curves.pivot(index=["dataset", "seed"], columns="selector", values="aubc")
    return wide.mul(_signs(journal), axis=0, level="dataset")


def _order(values: pd.Series) -> list[str]:
    return list(dict.fromkeys(values))


def dataset_table(journal: pd.DataFrame, reference: str) -> pd.DataFrame:
    """One row per (dataset, selector).

    Columns: seeds, aubc, sd, final (points); difference, low, high: mean paired gain in AUBC over `reference`, above
    0 where this selector is better, and its 95 % interval; outcome: win, tie or loss; saving: share of labels not
    needed to reach the mean final value of the reference (NaN where it was not reached). Only seeds that both finished
    are compared.
    """
    curves = curve_table(journal)
    paired = _paired(curves, journal)
    rows = []
    for dataset in _order(curves["dataset"]):
        block = paired.loc[dataset]
        mean_curves = _mean_curves(journal[journal["dataset"] == dataset])
        for selector, own in curves[curves["dataset"] == dataset].groupby("selector", sort=False):
            gain = None
            if reference in block.columns:
                gain = interval((block[selector] - block[reference]).dropna())
            rows.append(
                {
                    "dataset": dataset,
                    "selector": selector,
                    "seeds": len(own),
                    "aubc": own["aubc"].mean(),
                    "sd": own["aubc"].std(ddof=1) if len(own) > 1 else math.nan,
                    "final": own["final"].mean(),
                    "difference": math.nan if gain is None else gain.mean,
                    "low": math.nan if gain is None else gain.low,
                    "high": math.nan if gain is None else gain.high,
                    "outcome": "" if gain is None or selector == reference else gain.outcome,
                    "saving": _saving(mean_curves, str(selector), reference),
                }
            )
    return pd.DataFrame(rows)


def _mean_curves(journal: pd.DataFrame) -> dict[str, tuple[Any, Any]]:
    """selector -> (labels, mean value) over the seeds, turned so that more is better."""
    curves, sign = {}, better(metric_of(journal))
    for selector, block in journal.groupby("selector"):
        mean = sign * block.groupby("labels")["value"].mean()
        curves[str(selector)] = (mean.index.to_numpy(), mean.to_numpy())
    return curves


def _saving(curves: dict[str, tuple[Any, Any]], selector: str, reference: str) -> float:
    if reference not in curves or selector == reference:
        return math.nan
    labels, values = curves[reference]
    if len(labels) < 2 or len(curves[selector][0]) < 2:
        return math.nan
    needed = labels_to_reach(curves[selector][1], curves[selector][0], values[-1])
    return 1 - needed / labels_to_reach(values, labels, values[-1])


def overall_table(journal: pd.DataFrame, reference: str) -> pd.DataFrame:
    """One row per selector over all scenarios, best AUBC first.

    Columns: aubc (mean of the scenarios' means; in a mix of metrics those of which less is better count as negative),
    rank (mean over scenarios, of the means over seeds; ties averaged), difference, low, high (per seed averaged over
    scenarios, then over seeds), wins, ties, losses against `reference` (scenarios). Only scenarios and seeds that every
    selector finished count, so that no average hides a failure; `cells` says how many.
    """
    curves = curve_table(journal)
    every = _paired(curves, journal)
    paired = every.dropna()
    if paired.empty:
        raise RunError("no scenario and seed was finished by every selector; see failures.jsonl")
    # A scenario is one observation, here as in the tests over scenarios: ranks are of its means, not of single seeds.
    ranks = paired.groupby(level="dataset").mean().rank(axis=1, ascending=False).mean()
    sign = better(metric_of(journal))
    rows = []
    for selector in _order(curves["selector"]):
        row: dict[str, Any] = {
            "selector": selector,
            "aubc": sign * paired[selector].groupby(level="dataset").mean().mean(),
            "rank": ranks[selector],
        }
        if reference in paired.columns:
            gain = _gain(paired, selector, reference)
            row.update(difference=gain.mean, low=gain.low, high=gain.high)
        won = outcomes_of(every, selector, reference)
        row.update(wins=won["win"], ties=won["tie"], losses=won["loss"])
        row["cells"] = len(paired)
        rows.append(row)
    return pd.DataFrame(rows).sort_values("aubc", ascending=sign < 0, kind="stable").reset_index(drop=True)


def outcomes_of(paired: pd.DataFrame, selector: str, reference: str) -> Counter[str]:
    """How many scenarios are a win, a tie or a loss against `reference`, over the seeds that both finished."""
    if reference not in paired.columns or selector == reference:
        return Counter()
    gains = (paired[selector] - paired[reference]).dropna()
    return Counter(interval(block).outcome for _, block in gains.groupby(level="dataset"))


def _gain(paired: pd.DataFrame, selector: str, reference: str) -> Interval:
    """Of the mean over scenarios, with seeds as the unit that repeats."""
    return interval((paired[selector] - paired[reference]).groupby(level="seed").mean())


def verdict(journal: pd.DataFrame, focus: str, reference: str) -> str:
    """One sentence: whether `focus` beats `reference`. A gain within the interval is called a tie."""
    paired = _paired(curve_table(journal), journal)
    unit = "points of AUBC" if better(metric_of(journal)) > 0 else f"points less {metric_of(journal)} (area)"
    missing = [name for name in (focus, reference) if name not in paired.columns]
    if missing:
        return f"No verdict: no cell of {' and '.join(missing)} was finished."
    paired = paired[[focus, reference]].dropna() if focus != reference else paired[[focus]].dropna()
    if focus == reference or paired.empty:
        return f"No verdict: {focus} was not run beside {reference} on any scenario and seed."
    gain = _gain(paired, focus, reference)
    outcomes = outcomes_of(paired, focus, reference)
    sets = paired.index.get_level_values("dataset").nunique()
    named = {"win": "won", "tie": "tied", "loss": "lost"}
    counts = ", ".join(f"{outcomes[outcome]} {word}" for outcome, word in named.items())
    where = f"{sets} scenarios ({counts})" if sets > 1 else str(paired.index[0][0])
    if gain.n < 2:
        return (
            f"No verdict on {focus} against {reference}: one seed says nothing ({gain.mean:+.2f} {unit}); "
            "run at least 5."
        )
    numbers = f"{gain.mean:+.2f} {unit}, 95 % interval {gain.low:+.2f} to {gain.high:+.2f}, {gain.n} seeds, {where}"
    if gain.sign > 0:
        return f"{focus} beats {reference}: {numbers}."
    if gain.sign < 0:
        return f"{focus} loses to {reference}: {numbers}."
    return f"{focus} and {reference} are tied: {numbers}."


_FORMATS = {
    "difference": "{:+.2f}",
    "low": "{:+.2f}",
    "high": "{:+.2f}",
    "needed": "{:.0f}",
    "peak_mib": "{:,.0f}",
    "spared": "{:.0f}",
    **dict.fromkeys(("saving", "better", "equal", "worse", "beats", "beaten"), "{:.0%}"),
    **dict.fromkeys(("stopped", "spared_share", "spared_mean", "bearable"), "{:.0%}"),
}
_TITLES = {
    "dataset": "scenario",
    "aubc": "AUBC",
    "difference": "gain",
    "low": "95 % interval",
    "saving": "labels saved",
    "holm": "Wilcoxon p (Holm)",
    "nemenyi": "Nemenyi p",
    "better": "P better",
    "equal": "P equal",
    "worse": "P worse",
    "beaten": "beaten by",
    "reached": "target reached",
    "cell": "whole cell",
    "peak_mib": "peak MiB",
    "fit_s": "training, s",
    "outputs_s": "outputs, s",
    "select_s": "selection, s",
    "needed": "seeds needed",
    "stopped": "stopped in",
    "spared": "labels saved",
    "spared_share": "of all",
    "spared_mean": "mean",
    "lost": "points lost",
    "lost_90": "90 %",
    "bearable": "scenarios below 0.5",
}
_PROBABILITIES = ("holm", "nemenyi")
_TEXT = ("dataset", "selector", "outcome", "state", "reached", "where", "rule")
_SHRINK = ("scenario", "selector", "rule")


def _shown(column: str, value: Any) -> str:
    if isinstance(value, float):
        if column in _PROBABILITIES and value < 0.001:
            return "< .001"
        if column in _PROBABILITIES and math.isfinite(value):
            return f"{value:.3f}"
        return _FORMATS.get(column, "{:.2f}").format(value) if math.isfinite(value) else "-"
    return str(value)


def cells_shown(frame: pd.DataFrame) -> tuple[list[tuple[str, bool]], list[list[str]]]:
    """What is shown of a table: (title, whether text) of each column, and rows of text; low and high as one column."""
    names = [str(column) for column in frame.columns if column != "high"]
    heads = [(_TITLES.get(name, name), name in _TEXT) for name in names]
    rows = []
    for record in frame.to_dict("records"):
        row = [_shown(name, record[name]) for name in names]
        if "low" in names:
            both = [_shown("low", record["low"]), _shown("high", record["high"])]
            row[names.index("low")] = "-" if "-" in both or record.get("difference") == 0.0 else " to ".join(both)
        rows.append(row)
    return heads, rows


def rich_table(frame: pd.DataFrame, title: str = "", width: int = 120) -> Table:
    """A table for a terminal of `width` columns; numbers to the right, and never cut.

    Heads wrap first, then names; where even that is too wide, columns from the right are left out.
    """
    heads, rows = cells_shown(frame)
    needed = [
        max([len(word) for word in head.split()] + [6 if head in _SHRINK else len(row[i]) for row in rows])
        for i, (head, _) in enumerate(heads)
    ]
    gap = 2 if sum(needed) + 2 * len(needed) <= width else 1
    shown = len(heads)
    while shown > 1 and sum(needed[:shown]) + gap * (shown - 1) > width:
        shown -= 1
    table = Table(
        title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False,
        padding=(0, gap - 1, 0, 0),
    )  # fmt: skip
    for i, (head, text) in enumerate(heads[:shown]):
        fixed = needed[i] >= max([len(head)] + [len(row[i]) for row in rows])
        table.add_column(head, justify="left" if text else "right", overflow="fold", min_width=needed[i], no_wrap=fixed)
    for row in rows:
        table.add_row(*row[:shown])
    return table


def to_markdown(frame: pd.DataFrame) -> str:
    """The same table as Markdown."""
    heads, rows = cells_shown(frame)
    lines = [
        "| " + " | ".join(head for head, _ in heads) + " |",
        "|" + "|".join(" --- " if text else " ---: " for _, text in heads) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"
