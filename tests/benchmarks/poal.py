"""Foreign points bought and accuracy: POAL as it is here, as published, entropy and random.

    AUTOAL_DATA=... python -m tests.benchmarks.poal --out baselines/results/poal.md

In each run half of the classes (rounded up), drawn by the seed, are known; rows of the others fill the pool to the
share stated. The pool holds 1000 rows at most, the test set 1000 of known classes. Three labels of each known class to
start with, ten batches of ten; a foreign point costs a label, is rejected, and is not trained on. Logistic regression
(C = 10) on standardised columns, for texts on AutoAL's own encoding. Same splits, start and seeds for all four.

`poal` was chosen among some twenty variants on EX8ab, vehicle, letter, digits, usps, segment and others, none of
which is here. p: two-sided paired t-test over seeds, and over all pairs of set and seed for "all"; the pairs of a set
are not independent of each other, so those of "all" are too small rather than too large. None is corrected for the
number of sets.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track
from scipy.stats import ttest_rel
from sklearn.preprocessing import StandardScaler

from autoal.encoders.texts import TextEncoder
from autoal.rng import numpy_rng
from autoal.strategies import CANDIDATES
from tests.open_set_runs import open_set_run

SETS = ("classification/satimage", "classification/isolet_part", "classification/waveform", "text/trec6",
        "text/ag_news_part")  # fmt: skip
STRATEGIES = ("random", "entropy", "poal_published", "poal")
MOST, FIRST, ROUNDS, BATCH = 1000, 3, 10, 10
Rows = NDArray[np.generic]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.poal", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--datasets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.4, 0.6, 0.0], help="foreign share of the pool")
    parser.add_argument("--out", type=Path, help="Markdown file")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    started = process_time()
    cells = [(d, share, seed) for d in options.datasets for share in options.shares for seed in range(options.seeds)]
    made = [row for cell in track(cells, "runs") for row in one(*cell)]
    text = markdown(pd.DataFrame(made), " ".join(["python -m tests.benchmarks.poal", *given]), process_time() - started)
    print(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")
    return 0


def rows_of(dataset: str) -> tuple[Rows, NDArray[np.int64]]:
    """Numbers (n, D) or texts (n,), and classes (n,)."""
    stored = np.load(Path(os.environ["AUTOAL_DATA"]) / f"{dataset}.npz", allow_pickle=False)
    if "X" in stored:
        return stored["X"].astype(np.float64), stored["y"].astype(np.int64)
    raw, ends = stored["utf8"].tobytes(), stored["offsets"]
    texts = [raw[a:b].decode("utf-8") for a, b in pairwise(ends)]
    return np.array(texts, dtype=object), stored["y"].astype(np.int64)


def one(dataset: str, share: float, seed: int) -> list[dict[str, object]]:
    """One line for each strategy."""
    rows, classes = rows_of(dataset)
    draws = numpy_rng(seed, "open sets", dataset)
    kinds = draws.permutation(np.unique(classes))
    known = np.sort(kinds[: (len(kinds) + 1) // 2])
    inside = draws.permutation(np.flatnonzero(np.isin(classes, known)))
    outside = draws.permutation(np.flatnonzero(~np.isin(classes, known)))
    tested, inside = np.split(inside, [min(MOST, len(inside) * 3 // 10)])
    inside = inside[: min(len(inside), int(MOST * (1 - share)))]
    count = round(len(inside) * share / (1 - share))
    if count > len(outside):  # keep the share, with a smaller pool
        inside, count = inside[: int(len(outside) * (1 - share) / share)], len(outside)
    kept = np.concatenate([inside, outside[:count]])
    labels = np.searchsorted(known, classes[kept])
    labels[len(inside) :] = -1
    if rows.dtype == object:
        encoder = TextEncoder(list(rows[kept]))
        points, test = (encoder.transform(list(rows[part])).astype(np.float64) for part in (kept, tested))
    else:
        scaler = StandardScaler().fit(rows[kept])
        points, test = scaler.transform(rows[kept]), scaler.transform(rows[tested])
    start = np.concatenate([np.flatnonzero(labels == c)[:FIRST] for c in range(len(known))])
    answers = np.searchsorted(known, classes[tested])
    lines: list[dict[str, object]] = []
    for name in STRATEGIES:
        strategy = CANDIDATES[name]()
        bought, accuracy = open_set_run(strategy, seed, points, labels, test, answers, start, ROUNDS, BATCH)
        lines.append({"data set": dataset, "share": share, "seed": seed, "strategy": name, "pool": len(kept),
                      "dimension": points.shape[1], "known": len(known), "foreign": bought,
                      "accuracy": 100 * accuracy})  # fmt: skip
    return lines


def paired(part: pd.DataFrame, column: str, other: str) -> str:
    """p of `poal` against another, on pairs of set and seed."""
    table = part.pivot(index=["data set", "seed"], columns="strategy", values=column)
    gain = table["poal"] - table[other]
    if len(gain) < 2 or gain.std() == 0:
        return "-"
    return f"{gain.mean():+.1f} (p {ttest_rel(table['poal'], table[other]).pvalue:.2g})"


def markdown(lines: pd.DataFrame, command: str, seconds: float) -> str:
    about = "\n\n".join((__doc__ or "").split("\n\n")[2:])
    parts = [
        f"# POAL and what was rejected\n\n`AUTOAL_DATA=... {command}`, {seconds / 60:.1f} minutes of CPU\n\n{about}"
    ]
    for share in lines["share"].unique():
        block = lines[lines["share"] == share]
        parts.append(f"## {100 * share:.0f} % of the pool foreign\n")
        head = "| data set | pool, columns, known | " + " | ".join(STRATEGIES) + " | less random | less published |"
        groups = [*block.groupby("data set", sort=False)]
        for column, title in (("foreign", "Foreign points bought of 100"), ("accuracy", "Accuracy after, %")):
            if column == "foreign" and share == 0:
                continue
            table = [f"{title}; the last two columns are `poal` less another, with p.\n", head,
                     "|---|---|" + "---:|" * 6]  # fmt: skip
            for name, part in [*groups, ("all", block)]:
                sizes = part.drop_duplicates("data set").iloc[0]
                shape = f"{sizes['pool']}, {sizes['dimension']}, {sizes['known']}" if name != "all" else ""
                means = part.groupby("strategy")[column].mean()
                shown = [f"{means[s]:.1f}" for s in STRATEGIES]
                shown += [paired(part, column, other) for other in ("random", "poal_published")]
                table.append("| " + " | ".join([str(name), shape, *shown]) + " |")
            parts.append("\n".join(table) + "\n")
        parts.append(found(groups, share))
    return "\n".join(parts)


def found(groups: list[tuple[object, pd.DataFrame]], share: float) -> str:
    """In words: where `poal` does worse than random, or than the published form, by the means."""
    said = []
    for column, worse, sign in (("foreign", "buys more foreign points", 1), ("accuracy", "ends less accurate", -1)):
        if column == "foreign" and share == 0:
            continue
        for other in ("random", "poal_published"):
            lost = [
                str(name)
                for name, part in groups
                if sign * (part.groupby("strategy")[column].mean()["poal"]
                           - part.groupby("strategy")[column].mean()[other]) > 0
            ]  # fmt: skip
            said.append(
                f"- `poal` {worse} than `{other}` on {len(lost)} of {len(groups)}: {', '.join(lost) or 'none'}."
            )
    return "\n".join(said) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
