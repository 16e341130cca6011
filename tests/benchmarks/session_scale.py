"""A session over 200,000 rows: how long an `ask` takes beside one scoring pass of the model, and memory.

    python -m tests.benchmarks.session_scale [--rows 200000] [--models logistic_regression,...] [--out F]

Made-up data of 64 inputs and 5 classes in a `.npy` file, default candidates, batches of 100; five rounds, each model in
a process of its own. A scoring pass is the estimator's own `predict_proba` of all rows.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from autoal.compute import peak_bytes
from autoal.experiment.cell import single_thread
from autoal.session import Session

BATCH, ROUNDS = 100, 5
MODELS: dict[str, ClassifierMixin] = {
    "logistic_regression": LogisticRegression(max_iter=200),
    "mlp": MLPClassifier((128,), max_iter=50, random_state=0),
    "hist_gradient_boosting": HistGradientBoostingClassifier(random_state=0),
    "random_forest": RandomForestClassifier(100, random_state=0),
}


def measured(name: str, rows: int) -> list[str]:
    with single_thread(), tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        rng = np.random.default_rng(0)
        X = rng.normal(size=(rows, 64)).astype(np.float32)
        truth = (X @ rng.normal(size=(64, 5))).argmax(1)
        np.save(folder / "pool.npy", X)
        model = MODELS[name]
        session = Session.create(folder / "session", folder / "pool.npy", model=model, random_state=0)
        lines = []
        for number in range(ROUNDS):
            known = session.training_set()[0]
            scoring = float("nan")
            if len(known):
                model.fit(X[known], truth[known])
                began = perf_counter()
                model.predict_proba(X)
                scoring = perf_counter() - began
            began = perf_counter()
            batch = session.ask(BATCH)
            took = perf_counter() - began
            spent = batch.diagnostics.get("seconds", {})
            shown = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in spent.items() if seconds >= 0.05)
            if len(known):
                lines.append(
                    f"| {name} | {number * BATCH} | {scoring:.2f} s | {took:.2f} s | {took / scoring:.1f} | {shown} |"
                )
            session.tell(batch, truth[batch])
        lines.append(f"| {name} | peak memory {peak_bytes() / 2**20:,.0f} MiB | | | | |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.session_scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    lines: list[str] = []
    for name in chosen.models.split(","):
        with multiprocessing.get_context("spawn").Pool(1) as own:  # a peak of its own
            lines += own.apply(measured, (name, chosen.rows))
    text = "\n".join(
        [
            f"# A session over {chosen.rows:,} rows",
            "",
            "64 inputs, batches of 100, one thread: `python -m tests.benchmarks.session_scale`. Wanted is an `ask` "
            "within 1.5 times a scoring pass, and less than 2 GB. `outputs` holds the scoring pass itself.",
            "",
            "| model | labels | scoring pass | ask | ratio | where it goes |",
            "|---|---:|---:|---:|---:|---|",
            *lines,
            "",
        ]
    )
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
