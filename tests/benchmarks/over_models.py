"""Finished runs of one suite with different models, together: areas, ranks, and Wilcoxon's test over all scenarios.

    python -m tests.benchmarks.over_models baselines/results/hundreds-*.csv [--focus autoal]

Each file is the `scores.csv` of a run: a line for each scenario and seed, a column for each selector. Scenarios are
means over seeds; p-values are not corrected for the number of rivals.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata, wilcoxon


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.over_models", description=__doc__)
    parser.add_argument("scores", type=Path, nargs="+")
    parser.add_argument("--focus", default="autoal")
    parser.add_argument("--below", type=float, default=1.0, help="points below the best of a scenario that are counted")
    chosen = parser.parse_args()
    runs = {path.stem: pd.read_csv(path).groupby("dataset").mean().drop(columns="seed") for path in chosen.scores}
    shared = [name for name in next(iter(runs.values())).columns if all(name in run.columns for run in runs.values())]
    for name, run in runs.items():
        values = run[shared].to_numpy()
        ranks = pd.Series(np.mean([rankdata(-row) for row in values], axis=0), shared)
        behind = values.max(axis=1) - run[chosen.focus].to_numpy()
        print(f"{name}: {len(run)} scenarios; {chosen.focus} is more than {chosen.below:g} below the best in "
              f"{int((behind > chosen.below).sum())}")  # fmt: skip
        for selector in ranks.sort_values().index:
            print(f"    {selector:22} area {run[selector].mean():.2f}  rank {ranks[selector]:.2f}")
    together = pd.concat([run[shared] for run in runs.values()])
    print(f"over all {len(together)} scenarios, {chosen.focus} less:")
    for selector in shared:
        if selector != chosen.focus:
            gain = together[chosen.focus] - together[selector]
            p = wilcoxon(gain).pvalue
            print(f"    {selector:22} {gain.mean():+.2f}  ahead in {int((gain > 0).sum())}  p {p:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
