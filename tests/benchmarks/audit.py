"""Whether the audit tells the truth, and what it costs: AutoAL with and without it on data sets whose labels are known.

    AUTOAL_DATA=... python -m tests.benchmarks.audit --seeds 10

The truth of a gain: logistic regression trained on the first labels and the k points chosen first, against k points
drawn at random from the pool, 50 times; both on test points that nothing else sees. The truth of the value is the
accuracy on all that was left of the pool in the rounds whose predictions it is the mean of.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from sklearn.linear_model import LogisticRegression

from autoal import AutoAL
from autoal.data import load_dataset

DATASETS = ("digits", "segment", "vehicle", "satimage", "phoneme", "trec6")
FOLDERS = {name: f"classification/{name}" for name in DATASETS} | {"digits": "digits", "trec6": "text/trec6"}
POOL, TEST = 600, 1_000
ROUNDS = 16
"""Batches; each of twice as many points as there are classes, and of ten at least."""
DRAWS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.audit", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--out", type=Path, help="Markdown file")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    cells = [(name, seed) for name in options.datasets for seed in range(options.seeds)]
    rows = [played(name, seed, options.share) for name, seed in track(cells, "audit")]
    text = markdown(pd.DataFrame(rows), options.share, "python -m tests.benchmarks.audit " + " ".join(given))
    print(text)
    if options.out is not None:
        options.out.write_text(text)
    return 0


def played(name: str, seed: int, share: float) -> dict[str, Any]:
    """One session with an audit, and one without from the same labels."""
    data = load_dataset(FOLDERS[name])
    X, labels = np.asarray(data.X, dtype=np.float64).reshape(len(data.y), -1), np.asarray(data.y)
    order = np.random.default_rng(seed).permutation(len(labels))
    pool, test = order[:POOL], order[POOL : POOL + TEST]
    spread = np.maximum(X[pool].std(0), 1e-9)
    X = (X - X[pool].mean(0)) / spread
    codes = np.unique(labels, return_inverse=True)[1][pool]
    first = np.concatenate([np.flatnonzero(codes == c)[:2] for c in range(codes.max() + 1)])
    batch_size = max(10, 2 * (codes.max() + 1))

    def accuracy(rows: np.ndarray, on: np.ndarray = test) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(max_iter=500).fit(X[pool][rows], labels[pool][rows])
        return float(model.score(X[on], labels[on]))

    curves, rest = {}, []
    for audit in (share, 0.0):
        model = LogisticRegression(max_iter=500)
        selector = AutoAL("fast", model=model, random_state=seed, search={"audit": audit})
        y = np.full(POOL, -1)
        y[first] = codes[first]
        curve = [accuracy(np.flatnonzero(y >= 0))]
        for _ in range(ROUNDS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                query = selector.fit_query(X[pool], y, batch_size=batch_size)
            if audit:
                rest.append(accuracy(np.flatnonzero(y >= 0), pool[y < 0]))
            y[query] = codes[query]
            curve.append(accuracy(np.flatnonzero(y >= 0)))
        curves[audit] = curve
        if audit:
            said, history = query.diagnostics["audit"], selector.history_
    asked = [entry["asked"] for entry in history[:-1]]
    chosen = np.array([row for batch in asked for row in batch["chosen"]])[: said["compared"]]
    rng = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(POOL), first)
    random = [rng.choice(others, len(chosen), replace=False) for _ in range(DRAWS)]
    by_round = [there for there, batch in zip(rest, asked, strict=False) for _ in batch["random"]][-50:]
    return {
        "data set": name,
        "compared": said["compared"],
        "gain": said["gain"],
        "error": said["gain_error"],
        "true gain": accuracy(np.concatenate([first, chosen]))
        - float(np.mean([accuracy(np.concatenate([first, drawn])) for drawn in random])),
        "value": said["value"],
        "true value": float(np.mean(by_round)),
        "value error": said["value_error"],
        "better": said["verdict"] == "better",
        "worse": said["verdict"] == "worse",
        "alarm": said["alarm"],
        "price": float(np.trapezoid(curves[0.0]) - np.trapezoid(curves[share])) / ROUNDS,
    }


def markdown(rows: pd.DataFrame, share: float, command: str) -> str:
    """One line a data set and one over all; accuracies in points."""
    rows = rows.assign(
        covered=(rows["gain"] - rows["true gain"]).abs() <= 1.64 * rows["error"],
        value_covered=(rows["value"] - rows["true value"]).abs() <= 1.64 * rows["value error"],
    )
    points = ("gain", "error", "true gain", "value", "true value", "price")
    titles = ["data set", "sessions", "k", "gain", "its error", "true gain", "within 90 %", "better", "worse", "alarm"]
    titles += ["value", "true value", "within 90 %", "price"]
    lines = [" | ".join(titles), " | ".join(["---"] + ["---:"] * (len(titles) - 1))]
    for name, part in [*rows.groupby("data set", sort=False), ("all", rows)]:
        mean = 100 * part[list(points)].mean()
        cells = [name, str(len(part)), f"{part['compared'].median():.0f}", f"{mean['gain']:+.1f}"]
        cells += [f"{mean['error']:.1f}", f"{mean['true gain']:+.1f}", f"{part['covered'].mean():.0%}"]
        cells += [str(part[verdict].sum()) for verdict in ("better", "worse", "alarm")]
        cells += [f"{mean['value']:.1f}", f"{mean['true value']:.1f}", f"{part['value_covered'].mean():.0%}"]
        lines.append(" | ".join([*cells, f"{mean['price']:+.2f}"]))
    head = f"# Audit\n\n`AUTOAL_DATA=... {command}`: a share of {share:g} of each batch drawn at random.\n\n"
    return head + "".join(f"| {line} |\n" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
