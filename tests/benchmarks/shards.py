"""A query over millions of rows in shards: seconds by stage, memory of every process, the same picks by each engine.

    python -m tests.benchmarks.shards [--rows 10000000] [--columns 64] [--batch 200] [--folder F] [--out F]

Made-up rows of 8 classes in `.npy` files of a million rows, 500 labels, logistic regression, shards of 250,000. Each
way in a process of its own; memory is the sum of the peaks of it and its children, the mapped files among it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

WAYS = ("local", "local 2", "ray")
LABELED, CLASSES = 500, 8


def made(folder: Path, rows: int, columns: int) -> list[Path]:
    """Files of a million rows, written once."""
    centres = 0.7 * np.random.default_rng(0).normal(size=(CLASSES, columns)).astype(np.float32)
    paths = []
    for number, start in enumerate(range(0, rows, 1_000_000)):
        paths.append(folder / f"part-{number:03d}-{columns}.npy")
        if not paths[-1].exists():
            count = min(1_000_000, rows - start)
            rng = np.random.default_rng(number + 1)
            part = rng.standard_normal((count, columns), dtype=np.float32)
            part += centres[truth(start, start + count)]
            np.save(paths[-1], part)
    return paths


def truth(start: int, stop: int) -> np.ndarray:
    return (np.arange(start, stop) * 2654435761 % 2**32) % CLASSES


def one(folder: Path, rows: int, columns: int, batch: int, way: str) -> None:
    """One query; prints what it took as JSON."""
    from sklearn.linear_model import LogisticRegression

    from autoal import AutoAL, Shards

    engine, workers = way.split()[0], int([*way.split(), "1"][1])
    if engine == "ray":
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
    began = perf_counter()
    labeled = np.random.default_rng(7).choice(rows, LABELED, replace=False)
    pool = Shards(made(folder, rows, columns), engine=engine, workers=workers)  # type: ignore[arg-type]
    y = truth(0, rows)[labeled]
    query = AutoAL(model=LogisticRegression(max_iter=200), random_state=0).fit_query(
        pool, y, labeled=labeled, batch_size=batch
    )
    seconds = {name: round(value, 1) for name, value in query.diagnostics["seconds"].items()}
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # the largest of them
    if engine == "ray":
        ray.shutdown()
    print(
        json.dumps(
            {
                "way": way, "seconds": round(perf_counter() - began, 1), "stages": seconds, "own": round(own, 2),
                "child": round(children, 2), "workers": workers,
                "picks": hashlib.sha256(query.indices.tobytes()).hexdigest()[:12],
            }
        )
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.shards", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the files go, and stay; a temporary one by default")
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.way:
        one(chosen.folder, chosen.rows, chosen.columns, chosen.batch, chosen.way)
        return 0
    with tempfile.TemporaryDirectory() as own:
        folder = chosen.folder or Path(own)
        folder.mkdir(exist_ok=True)
        made(folder, chosen.rows, chosen.columns)
        found = []
        for way in chosen.ways:
            command = [
                sys.executable, "-m", "tests.benchmarks.shards", "--folder", str(folder), "--rows", str(chosen.rows),
                "--columns", str(chosen.columns), "--batch", str(chosen.batch), "--way", way,
            ]  # fmt: skip
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(answer.stdout.strip().splitlines()[-1]))
            print(found[-1], flush=True)
    lines = [
        f"| {f['way']} | {f['seconds']} s | "
        + ", ".join(f"{stage} {seconds}" for stage, seconds in f["stages"].items() if seconds >= 0.1)
        + f" | {f['own']} GiB | {f['child']} GiB | `{f['picks']}` |"
        for f in found
    ]
    text = "\n".join(
        [
            f"# A query over {chosen.rows:,} rows of {chosen.columns} columns",
            "",
            f"In `.npy` files of a million rows, shards of 250,000; {LABELED} labels, logistic regression, batch of "
            f"{chosen.batch:,}: `python -m tests.benchmarks.shards`. `local 2` are two child processes; Ray has two "
            "CPUs of this machine. Memory is the peak of the process and of its largest child, mapped files included.",
            "",
            "| engine | all | where it goes | own peak | child's peak | picks |",
            "|---|---:|---|---:|---:|---|",
            *lines,
            "",
        ]
    )
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    return 0 if len({f["picks"] for f in found}) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
