"""Rows as people have them, by the model that suits them: does choosing pay, and what does a column of file names cost?

    AUTOAL_DATA=... python -m tests.benchmarks.raw_rows --seeds 10 [--out raw_rows.md]

Questions of trec6 as raw texts, AutoAL against random labels with `model=None` on both sides; and the wine table, with
and without a column of file names, 24 seeds. Paired: the seed fixes split and first labels for both sides.
"""

from __future__ import annotations

import argparse
import itertools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.datasets import load_wine

from autoal import AutoAL
from autoal.data import as_rows
from autoal.models.defaults import default_estimator
from autoal.rng import numpy_rng

Values = np.ndarray[Any, Any]


def curve(
    X: Any, y: Values, X_test: Any, y_test: Values, selector: AutoAL, first: Values, rounds: int, b: int
) -> Values:
    """(rounds + 1,) accuracy on the test rows, in points, of the model that suits the rows."""
    labeled, values = first.copy(), []
    take = (lambda rows: X.iloc[rows]) if isinstance(X, pd.DataFrame) else (lambda rows: [X[i] for i in rows])
    everything = as_rows(X)
    for number in range(rounds + 1):
        model = default_estimator(everything, len(np.unique(y)), len(labeled))
        values.append(100 * float((model.fit(take(labeled), y[labeled]).predict(X_test) == y_test).mean()))
        if number < rounds:
            order = np.sort(labeled)
            picked = selector.fit_query(X, y[order], labeled=order, classes=np.unique(y), batch_size=b)
            labeled = np.concatenate([labeled, picked.indices])
    return np.asarray(values)


def first_labels(y: Values, count: int, rng: np.random.Generator) -> Values:
    """One row of each class, then any."""
    order = rng.permutation(len(y))
    ones = [order[y[order] == c][0] for c in np.unique(y)]
    return np.asarray(ones + [i for i in order if i not in set(ones)][: count - len(ones)])


def questions() -> tuple[list[str], Values]:
    """Texts and classes of trec6."""
    stored = np.load(Path(os.environ["AUTOAL_DATA"]) / "text" / "trec6.npz", allow_pickle=False)
    data, ends = stored["utf8"].tobytes(), stored["offsets"]
    texts = [data[start:stop].decode() for start, stop in itertools.pairwise(ends)]
    return texts, stored["classes"].astype(str)[stored["y"]]


def area(values: Values) -> float:
    """Mean over the curve, by trapezoid."""
    return float(np.trapezoid(values) / (len(values) - 1))


def told(name: str, gains: Values, what: str) -> str:
    """One line of the page: mean of the paired differences, its error, interval and test."""
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    low, high = stats.t.interval(0.95, len(gains) - 1, gains.mean(), error) if error > 0 else (gains.mean(),) * 2
    p = stats.wilcoxon(gains).pvalue if np.any(gains) else 1.0
    return (
        f"| {name} | {what} | {gains.mean():+.2f} | {error:.2f} | {low:+.2f} to {high:+.2f} | "
        f"{int((gains > 0).sum())} of {len(gains)} | {p:.3f} |"
    )


def text_gains(seeds: int) -> tuple[Values, Values]:
    """(seeds,) areas of AutoAL and of random labels."""
    texts, y = questions()
    found = []
    for seed in range(seeds):
        rng = numpy_rng(seed, "trec6")
        order = rng.permutation(len(texts))
        pool, test = order[:600], order[600:1600]
        X, y_pool = [texts[i] for i in pool], y[pool]
        first = first_labels(y_pool, 20, rng)
        makers: list[Callable[[], AutoAL]] = [
            lambda seed=seed: AutoAL("default", random_state=seed),
            lambda seed=seed: AutoAL(["random"], mode="uniform", random_state=seed),
        ]
        found.append(
            [area(curve(X, y_pool, [texts[i] for i in test], y[test], make(), first, 8, 10)) for make in makers]
        )
        print(f"trec6, seed {seed}: AutoAL {found[-1][0]:.2f}, random {found[-1][1]:.2f}", flush=True)
    both = np.asarray(found)
    return both[:, 0], both[:, 1]


def wine_gains(seeds: int) -> tuple[Values, Values]:
    """(seeds,) areas of AutoAL with and without a column of file names."""
    wine = load_wine(as_frame=True)
    clean, y = wine.data, wine.target_names[wine.target.to_numpy()]
    found = []
    for seed in range(seeds):
        rng = numpy_rng(seed, "wine")
        order = rng.permutation(len(clean))
        pool, test = order[:120], order[120:]
        named = clean.assign(file=[f"scan_{i:05d}.png" for i in rng.permutation(len(clean))])
        first = first_labels(y[pool], 6, rng)
        areas = []
        for frame in (named, clean):
            X, X_test = frame.iloc[pool].reset_index(drop=True), frame.iloc[test]
            areas.append(area(curve(X, y[pool], X_test, y[test], AutoAL("default", random_state=seed), first, 6, 4)))
        found.append(areas)
    both = np.asarray(found)
    return both[:, 0], both[:, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    ours, random = text_gains(given.seeds)
    named, clean = wine_gains(24)
    lines = [
        "# Rows as people have them",
        "",
        f"Raw texts of trec6: pool 600, 20 first labels, 8 rounds of 10, {given.seeds} paired seeds, no model given.",
        "Wine table: pool 120, 6 first labels, 6 rounds of 4, 24 paired seeds. Area under the",
        "curve of test accuracy, in points.",
        "",
        "| data | difference | mean | standard error | 95 % interval | above 0 | Wilcoxon p |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        told("trec6, raw texts", ours - random, f"AutoAL ({ours.mean():.2f}) less random ({random.mean():.2f})"),
        told(
            "wine", named - clean, f"with a column of file names ({named.mean():.2f}) less without ({clean.mean():.2f})"
        ),
    ]
    page = "\n".join(lines) + "\n"
    print(page)
    if given.out is not None:
        given.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
