"""The tables of finished cells of `tests.benchmarks.open_set`.

    python -m tests.benchmarks.open_set_table runs/open-set/open-set [MORE] --out baselines/results/open-set.md

Several folders are put side by side, as where selectors were run apart; a pair of scenario and seed counts where every
selector has finished it. Beside the Markdown a `.csv` has a line for each cell. Wilcoxon's test is over the means of
scenarios (as `autoal compare` has it, with Holm's correction over the rivals), and, for foreign points in a single
scenario, over its seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon as signed_ranks

from autoal.disk import read_jsonl, write_atomic
from autoal.report.statistics import wilcoxon

KEYS = ["dataset", "selector", "seed"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.open_set_table", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    parser.add_argument("--focus", default="autoal")
    options = parser.parse_args(arguments)
    cells = complete(pd.DataFrame([row for run in options.runs for row in finished(run)]))
    if cells.empty:
        parser.error("there is no pair of scenario and seed that every selector has finished")
    write_atomic(options.out.with_suffix(".csv"), cells.round(4).to_csv(index=False))
    write_atomic(options.out, markdown(cells, options.focus))
    return 0


def finished(run: Path) -> list[dict[str, object]]:
    """A line for each finished cell: foreign points bought, mean of the curve and its end, both in percent."""
    found: list[dict[str, object]] = []
    for path in sorted((run / "cells").glob("*.jsonl")):
        if path.name.endswith(".timings.jsonl"):
            continue
        records, _ = read_jsonl(path)
        if records and records[-1].get("last"):
            values = 100 * np.array([record["value"] for record in records])
            area = float(np.trapezoid(values) / (len(values) - 1))
            last = records[-1]
            found.append({**{key: last[key] for key in KEYS}, "bought": last["labels"] - records[0]["labels"],
                          "foreign": last["rejected"], "area": area, "end": float(values[-1])})  # fmt: skip
    return found


def complete(cells: pd.DataFrame) -> pd.DataFrame:
    """Those of pairs of scenario and seed that every selector has."""
    if cells.empty:
        return cells
    cells = cells.drop_duplicates(KEYS)
    count = cells.groupby(["dataset", "seed"])["selector"].transform("nunique")
    return cells[count == cells["selector"].nunique()].sort_values(KEYS).reset_index(drop=True)


def markdown(cells: pd.DataFrame, focus: str) -> str:
    seeds = cells.groupby("dataset")["seed"].nunique()
    names = [focus, *(name for name in ORDER if name in set(cells["selector"]) and name != focus)]
    bought = int(cells["bought"].max())
    parts = [f"{len(seeds)} scenarios, {seeds.min()} to {seeds.max()} seeds each, {bought} labels beyond the first.\n"]
    titles = {"foreign": f"Foreign points bought of {bought}", "area": "Accuracy, mean of the curve, %",
              "end": f"Accuracy after {bought}, %"}  # fmt: skip
    for measure, title in titles.items():
        parts += [
            f"## {title}\n",
            "Mean, and standard deviation over seeds in brackets.\n",
            table(cells, measure, names),
        ]
    parts.append(f"## {focus} against each\n")
    parts.append(f"`{focus}` less the other, mean over scenarios; Wilcoxon over scenarios, Holm over the rivals.\n")
    parts.append(tests(cells, focus, names[1:]))
    parts.append("## poal against random, foreign points, scenario by scenario\n")
    parts.append("Wilcoxon over seeds, two-sided, not corrected; with n seeds p cannot be below 2 / 2^n.\n")
    parts.append(by_scenario(cells, "poal", "random"))
    return "\n".join(parts)


ORDER = ("autoal", "random", "entropy", "margin", "poal_published", "poal", "lfosa", "eoal", "mqnet")


def table(cells: pd.DataFrame, measure: str, names: list[str]) -> str:
    groups = cells.groupby(["dataset", "selector"])[measure]
    mean, spread = groups.mean().unstack()[names], groups.std(ddof=1).unstack()[names]
    lines = ["| scenario | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for scenario in mean.index:
        shown = [f"{mean.loc[scenario, n]:.1f} ({spread.loc[scenario, n]:.1f})" for n in names]
        lines.append(f"| {scenario} | " + " | ".join(shown) + " |")
    lines.append("| all | " + " | ".join(f"{mean[n].mean():.1f}" for n in names) + " |")
    if measure != "foreign":
        ranks = mean.rank(axis=1, ascending=False).mean()
        lines.append("| mean rank | " + " | ".join(f"{ranks[n]:.2f}" for n in names) + " |")
    return "\n".join(lines) + "\n"


def tests(cells: pd.DataFrame, focus: str, rivals: list[str]) -> str:
    lines = ["| | foreign | p | Holm | area | p | Holm | end | p | Holm |", "|---|" + "---:|" * 9]
    found = {}
    for measure in ("foreign", "area", "end"):
        means = cells.groupby(["dataset", "selector"])[measure].mean().unstack()
        found[measure] = (means, wilcoxon(means, focus))
    for rival in rivals:
        shown = []
        for means, test in found.values():
            gain = (means[focus] - means[rival]).mean()
            shown += [f"{gain:+.1f}", f"{test.loc[rival, 'p']:.2g}", f"{test.loc[rival, 'holm']:.2g}"]
        lines.append(f"| {rival} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def by_scenario(cells: pd.DataFrame, one: str, other: str) -> str:
    lines = [f"| scenario | {one} | {other} | seeds in which fewer | p |", "|---|---:|---:|---:|---:|"]
    for scenario, part in cells.groupby("dataset"):
        wide = part.pivot(index="seed", columns="selector", values="foreign")
        gap = wide[one] - wide[other]
        p = float(signed_ranks(gap).pvalue) if np.any(gap) else 1.0
        lines.append(f"| {scenario} | {wide[one].mean():.1f} | {wide[other].mean():.1f} | "
                     f"{int((gap < 0).sum())} of {len(gap)} | {p:.2g} |")  # fmt: skip
    means = cells.groupby(["dataset", "selector"])["foreign"].mean().unstack()
    p = float(signed_ranks(means[one] - means[other]).pvalue) if len(means) > 1 else 1.0
    fewer = int((means[one] < means[other]).sum())
    lines.append(f"| means of scenarios | {means[one].mean():.1f} | {means[other].mean():.1f} | "
                 f"{fewer} of {len(means)} | {p:.2g} |")  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
