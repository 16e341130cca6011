"""A whole round of AutoAL over a plain round of entropy sampling: training, outputs, selection, at hundreds of labels.

    python -m tests.benchmarks.overhead [--pools 3000 10000] [--models mlp ...] [--seeds 3] [--out F]

Ten rounds, 50 to 500 labels, batches of 50, default candidates, made-up data of 20 inputs and 6 classes, one thread. A
plain round trains the model, predicts the pool and takes the highest entropies. Seconds are CPU seconds of all rounds,
those in which SearchNet is trained among them; both sides in turn, in one process, after a warm-up.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from sklearn.datasets import make_classification

from autoal import AutoAL
from autoal.data import as_rows
from autoal.experiment.cell import single_thread
from autoal.experiment.config import ModelSpec
from autoal.experiment.task_models import make_model

FIRST, BATCH, ROUNDS = 50, 50, 10
WANTED = {"mlp": 1.3, "random_forest": 2.0, "hist_gradient_boosting": 1.3}
Numbers = np.ndarray[Any, Any]


def data(pool: int, seed: int) -> tuple[Numbers, Numbers]:
    X, y = make_classification(
        pool + FIRST + ROUNDS * BATCH, 20, n_informative=12, n_classes=6, n_clusters_per_class=2, random_state=seed
    )
    return X.astype(np.float32), y


def model(name: str) -> Any:
    return make_model(ModelSpec.model_validate(name), (20,), 6, torch.device("cpu"))


def plain(name: str, X: Numbers, truth: Numbers, seed: int, rounds: int = ROUNDS) -> float:
    """CPU seconds of rounds of entropy sampling."""
    rows, own = as_rows(X), model(name)
    labeled = np.arange(FIRST)
    began = process_time()
    for number in range(rounds):
        known = torch.from_numpy(labeled)
        own.fit(rows, known, torch.from_numpy(truth[labeled]), 6, seed=seed + number)
        pool = np.setdiff1d(np.arange(len(X)), labeled)
        log_probs = own.predict_log_probs(rows, torch.from_numpy(pool))
        entropy = -(log_probs.exp() * log_probs).sum(1)
        labeled = np.sort(np.concatenate([labeled, pool[entropy.topk(BATCH).indices.numpy()]]))
    return process_time() - began


def autoal(name: str, X: Numbers, truth: Numbers, seed: int, rounds: int = ROUNDS) -> tuple[float, dict[str, float]]:
    """CPU seconds of rounds of AutoAL, and wall seconds of their stages."""
    selector = AutoAL(model=model(name), random_state=seed)
    y = np.full(len(X), -1)
    y[:FIRST] = truth[:FIRST]
    stages: dict[str, float] = {}
    began = process_time()
    for _ in range(rounds):
        batch = selector.fit_query(X, y, batch_size=BATCH)
        y[batch.indices] = truth[batch.indices]
        for stage, seconds in batch.diagnostics["seconds"].items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    return process_time() - began, stages


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.overhead", description=__doc__)
    parser.add_argument("--pools", type=int, nargs="+", default=[3000, 10_000])
    parser.add_argument("--models", nargs="+", default=list(WANTED), choices=list(WANTED))
    parser.add_argument("--seeds", type=int, default=3, help="the median of the ratios is shown, and their range")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    lines = [
        "# A round of AutoAL over a plain round of entropy sampling",
        "",
        f"CPU seconds of {ROUNDS} rounds (training, outputs, selection), 50 to 500 labels, batches of 50, default "
        f"candidates, {chosen.seeds} seeds, one thread: `python -m tests.benchmarks.overhead`.",
        "",
        "| model | pool | entropy | AutoAL | ratio (range) | wanted | where AutoAL's time goes |",
        "|---|---:|---:|---:|---|---:|---|",
    ]
    with single_thread():
        for name in chosen.models:
            autoal(name, *data(300, 0), 0, 2)
            for pool in chosen.pools:
                ratios, sides, spent = [], [], {}
                for seed in range(chosen.seeds):
                    X, truth = data(pool, seed)
                    entropy = plain(name, X, truth, seed)
                    ours, spent = autoal(name, X, truth, seed)
                    ratios.append(ours / entropy)
                    sides.append((entropy, ours))
                shown = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in spent.items() if seconds >= 0.05)
                means = [statistics.mean(side) for side in zip(*sides, strict=True)]
                lines.append(
                    f"| {name} | {pool:,} | {means[0]:.1f} s | {means[1]:.1f} s | {statistics.median(ratios):.2f} "
                    f"({min(ratios):.2f}-{max(ratios):.2f}) | {WANTED[name]} | {shown} |"
                )
                print(lines[-1], file=sys.stderr)
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
