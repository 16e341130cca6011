"""Precomputed outputs that are wide: seconds of one `fit_query` and peak memory, each case in a process of its own.

    python -m tests.benchmarks.wide [--repeats 3] [--out wide.md]

150 rows of 10,000 embedding columns, 20,000 rows of 768, and probabilities of 3,000 classes, default candidates.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from autoal import AutoAL
from autoal.compute import peak_bytes

CASES: dict[str, tuple[int, int, int, int]] = {
    "150 rows x 10,000 columns": (150, 10_000, 30, 5),
    "20,000 rows x 768 columns": (20_000, 768, 200, 100),
    "1,000 rows, 3,000 classes": (1_000, 3_000, 60, 20),
}
"""Rows, columns, labels, batch."""


def one(name: str, seed: int) -> dict[str, Any]:
    """One call, after another on few rows, so that imports and first uses are not counted."""
    n, columns, labels, batch_size = CASES[name]
    draws = np.random.default_rng(seed)
    given: dict[str, Any]
    if "classes" in name:
        probs = np.maximum(draws.dirichlet(np.full(columns, 0.01), size=n), 1e-9)
        given, first = {"probs": probs / probs.sum(axis=1, keepdims=True)}, np.arange(labels)
    else:
        given = {"embeddings": draws.normal(size=(n, columns)).astype(np.float32)}
        first = (given["embeddings"][:labels, 0] > 0).astype(int)
    y = np.full(n, -1)
    y[:labels] = first
    small = np.random.default_rng(0).normal(size=(100, 4))
    known = np.where(np.arange(100) < 40, np.arange(100) % 2, -1)
    AutoAL(random_state=0).fit_query(None, known, batch_size=5, embeddings=small)
    wall, cpu = perf_counter(), process_time()
    AutoAL(random_state=seed).fit_query(None, y, batch_size=batch_size, **given)
    return {"wall": perf_counter() - wall, "cpu": process_time() - cpu, "peak": peak_bytes()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.wide", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="seeds 0, 1, ...; the median and the range are shown")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps(one(chosen.case, chosen.seed)))
        return 0
    lines = ["| case | seconds | CPU seconds | peak GB |", "|---|---|---|---|"]
    for name in CASES:
        runs = []
        for seed in range(chosen.repeats):
            command = [sys.executable, "-m", "tests.benchmarks.wide", "--case", name, "--seed", str(seed)]
            runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        shown = [
            f"{statistics.median(v):.1f} ({min(v):.1f}-{max(v):.1f})"
            for v in ([r[k] for r in runs] for k in ("wall", "cpu"))
        ]
        lines.append(f"| {name} | {shown[0]} | {shown[1]} | {max(r['peak'] for r in runs) / 1e9:.1f} |")
        print(lines[-1], file=sys.stderr)
    head = (
        f"# Wide precomputed outputs\n\nOne `fit_query` of `AutoAL()`, one thread, {chosen.repeats} seeds: median and "
    )
    text = head + "range, from `python -m tests.benchmarks.wide`.\n\n" + "\n".join(lines) + "\n"
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
