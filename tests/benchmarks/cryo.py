"""Particle picking: cryoMAE beside a template and blobs, and windows of micrographs as a pool.

    AUTOAL_DATA=... python -m tests.benchmarks.cryo --run runs/cryo --out baselines/results/cryo.md

Each cell is a set and a seed; what is finished lies in `--run`, and the same command goes on from there.
`--cells real/` computes some of them.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from autoal.cryo import Measures, find_peaks, measures, threshold_of
from autoal.disk import append_line, read_jsonl
from tests.benchmarks import cryo_page
from tests.cryo import runs

Records = list[dict[str, Any]]
STRATEGIES = ("autoal", "margin", "uncertainty_herding", "random")
SYNTHETIC: dict[str, tuple[str, dict[str, Any]]] = {
    "blob, SNR .1": ("blob", {}),
    "blob, SNR .1, confounders": ("blob", {"confounders": True}),
    "asym, SNR .1": ("asym", {}),
    "asym, SNR .1, confounders": ("asym", {"confounders": True}),
    "ring, SNR .1, confounders": ("ring", {"confounders": True}),
    "asym, SNR .03": ("asym", {"snr": 0.03}),
}
POOL = (0, 1, 2, 3)


def record(name: str, seed: int, method: str, got: Measures, **more: Any) -> dict[str, Any]:
    return {"set": name, "seed": seed, "method": method, **asdict(got), **more}


def picking(name: str, data: runs.Set, seed: int) -> Records:
    """Both rivals, the masked autoencoder alone, and cryoMAE."""
    out = [record(name, seed, method, got) for method, got in runs.rivals(data, seed).items()]
    for method, settings in (("cryoMAE", {}), ("MAE only", {"lam": 0.0})):
        began = time.process_time()
        model = runs.picker(data, seed, **settings)
        fitted = time.process_time()
        got = runs.picked(model, data)
        each = (time.process_time() - fitted) / (len(data.pictures) - 1)
        out.append(record(name, seed, method, got, fit_s=fitted - began, micrograph_s=each))
    return out


def synthetic(name: str, seed: int) -> Records:
    kind, settings = SYNTHETIC[name]
    return picking(name, runs.synthetic(kind, seed, 3, **settings), seed)


def real(name: str, seed: int) -> Records:
    """Picking from the exemplars alone; then windows of four micrographs asked for, 80 labels, the picker being the
    head on the features. The first of the four is the reference of both."""
    unseen = runs.real(name, [0, *runs.REAL[name][2]])
    out = [record(name, seed, method, got) for method, got in runs.rivals(unseen, seed).items()]
    began = time.process_time()
    model = runs.picker(unseen, seed)
    fitted = time.process_time()
    grids = [model.features(one) for one in unseen.pictures[1:]]
    each = (time.process_time() - fitted) / len(grids)
    maps = [here for _, here in grids]
    shapes = [here.shape for here in maps]
    got = runs.cut(model, maps, unseen)
    out.append(record(name, seed, "cryoMAE", got, fit_s=fitted - began, micrograph_s=each))
    data = runs.real(name, POOL)
    made = runs.pooled(data, model, seed)
    base = {"set": name, "seed": seed, "windows": len(made.pool), "particles": int((made.truth == 1).sum())}
    for strategy in STRATEGIES:
        began = time.process_time()
        curve = runs.asked(made, strategy, seed)
        seconds = (time.process_time() - began) / (len(curve) - 1)
        for labels in curve[::2]:
            head = runs.trained(made, labels)
            found = []
            for features, here in grids:
                values = head.decision_function(features.reshape(-1, features.shape[-1])).reshape(features.shape[:2])
                found.append(find_peaks(runs.ScoreMap(values, here.rows, here.columns, here.shape), unseen.diameter))
            bounds = [threshold_of(one.scores)[0] for one in found]
            got = measures(found, bounds, unseen.marks[1:], shapes, unseen.diameter)
            even = measures(found, [0.0] * len(found), unseen.marks[1:], shapes, unseen.diameter)
            bought = {"labels": int((labels >= 0).sum() - len(made.first)), "query_s": seconds, "f1_even": even.f1}
            hits = int((labels == 1).sum() - (made.truth[made.first] == 1).sum())
            out.append({**base, "strategy": strategy, "hits": hits, **bought, **asdict(got)})
    return out


def alone(name: str, seed: int) -> Records:
    """The masked autoencoder without the similarity loss."""
    data = runs.real(name, [0, *runs.REAL[name][2]])
    return [record(name, seed, "MAE only", runs.picked(runs.picker(data, seed, lam=0.0), data))]


def fewer(count: int, seed: int) -> Records:
    """Other numbers of exemplars."""
    data = runs.real("apoferritin", [0, *runs.REAL["apoferritin"][2]])
    model = runs.picker(data, seed, count=count)
    return [record("apoferritin", seed, f"cryoMAE, {count} exemplars", runs.picked(model, data))]


def negatives(count: int, kind: str, seed: int) -> Records:
    """With what a person would strike out of the picks of the reference."""
    data = runs.synthetic(kind, seed, 3, confounders=True)
    known = runs.false_peaks(runs.picker(data, seed), data, count)
    got = runs.picked(runs.picker(data, seed, known), data)
    return [record(f"{kind}, SNR .1, confounders", seed, f"cryoMAE, {count} labeled negatives", got)]


def cells() -> dict[str, Callable[[], Records]]:
    """By name, the most wanted first."""
    out: dict[str, Callable[[], Records]] = {}
    for seed in range(5):
        for name in runs.REAL:
            out[f"real/{name}/{seed}"] = partial(real, name, seed)
        if seed == 0:
            for name in SYNTHETIC:
                if "confounders" in name:
                    out[f"synthetic/{name}/0"] = partial(synthetic, name, 0)
    for seed in range(2):
        for name in runs.REAL:
            out[f"alone/{name}/{seed}"] = partial(alone, name, seed)
        for name in SYNTHETIC:
            out.setdefault(f"synthetic/{name}/{seed}", partial(synthetic, name, seed))
        for count in (10, 20):
            out[f"negatives/ring/{count}/{seed}"] = partial(negatives, count, "ring", seed)
        for count in (5, 40):
            out[f"exemplars/{count}/{seed}"] = partial(fewer, count, seed)
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.cryo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", type=Path, default=Path("runs/cryo"), help="folder of finished cells")
    parser.add_argument("--cells", nargs="+", help="beginnings of the names of the cells to compute")
    parser.add_argument("--out", type=Path, help="Markdown file; a CSV is written beside it")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    options.run.mkdir(parents=True, exist_ok=True)
    journal = options.run / "cells.jsonl"
    done = {line["cell"] for line in read_jsonl(journal)[0]}
    for name, compute in cells().items():
        if name in done or (options.cells and not any(name.startswith(start) for start in options.cells)):
            continue
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            records = compute()
        append_line(journal, {"cell": name, "records": records})
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    if options.out is not None:
        cry = {line["cell"]: line["records"] for line in read_jsonl(journal)[0]}
        cryo_page.write(cry, options.out)
        print(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
