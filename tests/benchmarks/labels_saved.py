"""How many labels random choice needs to reach what a selector reaches with 100, 300 or 1,000.

    python -m tests.benchmarks.labels_saved RUN [RUN ...] [--selector autoal] [--at 100 300] [--out F]

Read from the journals of finished runs: curves are means over seeds, between two sizes as the straight line has it. A
scenario whose random curve does not get there within the run counts as "more than" its last size.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Curve = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def curves(run: Path) -> dict[tuple[str, str], Curve]:
    """(data set, selector) -> label counts and mean values, higher is better."""
    found: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "value" in record:
            found[record["dataset"], record["selector"]][record["labels"]].append(record["value"])
    return {
        key: (np.array(sorted(sizes)), np.array([np.mean(sizes[size]) for size in sorted(sizes)]))
        for key, sizes in found.items()
    }


def needed(curve: Curve, value: float) -> float:
    """Labels with which the curve first reaches `value`; infinity where it does not."""
    sizes, values = curve
    above = np.flatnonzero(values >= value)
    if not len(above):
        return float("inf")
    first = int(above[0])
    if first == 0:
        return float(sizes[0])
    low, high = values[first - 1], values[first]
    return float(sizes[first - 1] + (sizes[first] - sizes[first - 1]) * (value - low) / (high - low))


def table(run: Path, selector: str, at: list[int]) -> list[str]:
    """Rows of Markdown: one for each scenario, and the medians."""
    known = curves(run)
    rows, all_needed = [], defaultdict(list)
    for dataset in sorted({dataset for dataset, _ in known}):
        ours, random = known[dataset, selector], known[dataset, "random"]
        cells = []
        for size in at:
            if size > ours[0][-1]:
                cells.append("-")
                continue
            labels = needed(random, float(np.interp(size, *ours)))
            all_needed[size].append(labels)
            cells.append(f"{labels:.0f}" if np.isfinite(labels) else f"more than {random[0][-1]}")
        rows.append(f"| {dataset} | " + " | ".join(cells) + " |")
    last = max(int(curve[0][-1]) for curve in known.values())
    medians = []
    for size in at:
        middle = float(np.median(all_needed[size])) if all_needed[size] else float("nan")
        medians.append("-" if np.isnan(middle) else f"{middle:.0f}" if np.isfinite(middle) else f"more than {last}")
    rows.append("| **median** | " + " | ".join(medians) + " |")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.labels_saved", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--selector", default="autoal")
    parser.add_argument("--at", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    lines = [f"# Labels that random choice needs to reach what {chosen.selector} reaches", ""]
    for run in chosen.runs:
        model = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["config"]["model"]["name"]
        heads = " | ".join(f"as with {size}" for size in chosen.at)
        lines += [f"## {model}", "", f"| scenario | {heads} |", "|---|" + "---:|" * len(chosen.at)]
        lines += [*table(run, chosen.selector, chosen.at), ""]
    text = "\n".join(lines)
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
