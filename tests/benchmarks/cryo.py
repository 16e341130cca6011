"""Particle picking: cryoMAE beside a template and blobs, and windows of micrographs as a pool.

    AUTOAL_DATA=... python -m tests.benchmarks.cryo --run runs/cryo --out baselines/results/cryo.md

Each cell is a set and a seed; what is finished lies in `--run`, and the same command goes on from there.
`--cells real/` computes some of them.

A folder of one's own, every particle of which is known from files of coordinates or masks of discs, gives its row of
the first table, from the marks of one micrograph (`--reference`) on the others:

    python -m tests.benchmarks.cryo --folder images --marks masks --diameter 108 --cut 0.0235
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from autoal.cryo import Measures, find_peaks, measures, refit, threshold_of
from autoal.disk import append_line, read_jsonl
from autoal.errors import AutoALError, InvalidInput
from tests.benchmarks import cryo_page
from tests.cryo import runs
from tests.cryo.marked import Folder

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
    of: list[tuple[str, dict[str, Any]]] = [("cryoMAE", {}), ("MAE only", {"lam": 0.0})]
    for method, settings in of:
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


def recentred(name: str, seed: int) -> Records:
    """With the exemplars put right before training."""
    data = (
        runs.real(name, [0, *runs.REAL[name][2]])
        if name in runs.REAL
        else runs.synthetic(SYNTHETIC[name][0], seed, 3, **SYNTHETIC[name][1])
    )
    return [record(name, seed, "cryoMAE, marks put right", runs.picked(runs.picker(data, seed, recentre=True), data))]


def other_reference(number: int, seed: int) -> Records:
    """Marks of another micrograph of apoferritin, whose picks are tested on the same ones."""
    data = runs.real("apoferritin", [number, *runs.REAL["apoferritin"][2]])
    name = f"apoferritin, reference {number}"
    out = [record(name, seed, method, got) for method, got in runs.rivals(data, seed).items()]
    return [*out, record(name, seed, "cryoMAE", runs.picked(runs.picker(data, seed), data))]


def foreign(kind: str, seed: int) -> Records:
    """Windows of planted micrographs, 80 labels: ice and dirt taught as background, or rejected and never trained on;
    and the picker trained again with what was labeled. Average precision over windows of three other micrographs."""
    data = runs.synthetic(kind, seed, len(POOL), confounders=True)
    unseen = runs.synthetic(kind, seed, 3, confounders=True, start=50)
    model = runs.picker(data, seed)
    made = runs.pooled(data, model, seed, foreign=True, peaks=False)  # as the windows that it is tested on
    windows, truth = runs.candidates(unseen, seed)
    tested = model.embed(unseen.pictures, windows.centres)
    shares = {"windows": len(made.pool), **{f"share_{n}": float((made.truth == n).mean()) for n in (1, 2)}}
    base = {"set": f"{kind}, SNR .1, confounders", "seed": seed, **shares}
    out = []
    for mode in ("background", "reject"):
        for strategy in ("margin", "uncertainty_herding", "random"):
            curve = runs.asked(made, strategy, seed, foreign=mode)
            start, end = (
                runs.window_ap(runs.trained(made, labels, foreign=mode), tested, truth)
                for labels in (curve[0], curve[-1])
            )
            bought = {f"bought_{n}": int((curve[-1] == n).sum() - (curve[0] == n).sum()) for n in (1, 2)}
            found = {**base, "foreign": mode, "asked": strategy, "start_ap": start, "end_ap": end, **bought}
            if strategy == "margin":
                again, embeddings = refit(made.pool, model, data.pictures, curve[-1], foreign=mode)
                anew = runs.Pooled(made.pool, made.truth, made.first, embeddings)
                there = again.embed(unseen.pictures, windows.centres)
                found["refit_ap"] = runs.window_ap(runs.trained(anew, curve[-1], foreign=mode), there, truth)
            out.append(found)
    return out


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
        out[f"recentred/apoferritin/{seed}"] = partial(recentred, "apoferritin", seed)
        out[f"reference/1/{seed}"] = partial(other_reference, 1, seed)
    for seed in range(2):
        for kind in ("ring", "asym"):
            out[f"foreign/{kind}/{seed}"] = partial(foreign, kind, seed)
        for name in ("10028", "asym, SNR .1, confounders", "ring, SNR .1, confounders"):
            out[f"recentred/{name}/{seed}"] = partial(recentred, name, seed)
    for seed in range(2, 5):
        out[f"recentred/apoferritin/{seed}"] = partial(recentred, "apoferritin", seed)
        out[f"reference/1/{seed}"] = partial(other_reference, 1, seed)
    return out


def computed(journal: Path, cells: Mapping[str, Callable[[], Records]]) -> dict[str, Records]:
    """What the journal has, and after it what these cells give that it has not."""
    done = {line["cell"]: line["records"] for line in read_jsonl(journal)[0]}
    for name, compute in cells.items():
        if name not in done:
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done[name] = compute()
            append_line(journal, {"cell": name, "records": done[name]})
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    return done


def folder(given: Folder, journal: Path, seeds: int) -> str:
    """The row of a folder, and what it is a mean over."""
    data, names = given.read()
    key = hashlib.sha256(repr([data.diameter, data.sign]).encode())
    for picture, marks in zip(data.pictures, data.marks, strict=True):
        key.update(repr(picture.shape).encode() + picture.tobytes() + marks.tobytes())
    name = given.micrographs.resolve().name
    cells = {
        f"folder/{name}/{key.hexdigest()[:16]}/{seed}": partial(picking, name, data, seed) for seed in range(seeds)
    }
    done = computed(journal, cells)
    frame = pd.DataFrame([record for cell in cells for record in done[cell]])
    counts = [len(marks) for marks in data.marks]
    return (
        f"{min(runs.EXEMPLARS, counts[0])} exemplars of {names[0]} ({counts[0]} particles), {len(names) - 1} unseen "
        f"micrographs ({sum(counts[1:])} particles)\n\n{cryo_page.folder(frame)}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.cryo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", type=Path, default=Path("runs/cryo"), help="folder of finished cells")
    parser.add_argument("--cells", nargs="+", help="beginnings of the names of the cells to compute")
    parser.add_argument("--out", type=Path, help="Markdown file; a CSV is written beside it")
    own = parser.add_argument_group("a folder of one's own")
    own.add_argument("--folder", type=Path, help="micrographs; then nothing else is computed")
    own.add_argument("--marks", type=Path, help="file or folder of coordinates, or masks; by default beside them")
    own.add_argument("--diameter", type=float, help="of a particle, in pixels of the micrographs")
    own.add_argument("--reference", help="micrograph of the exemplars; by default the first by name")
    own.add_argument("--unseen", nargs="+", help="micrographs to test on; by default all others")
    own.add_argument("--cut", type=float, default=0.0, help="share of each side to cut off, where it is padding")
    own.add_argument("--flip-y", action="store_true", help="rows of coordinates are counted from below")
    own.add_argument("--bright", action="store_true", help="particles are bright, which the blobs have to know")
    own.add_argument("--seeds", type=int, default=2, help="draws of exemplars")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    options.run.mkdir(parents=True, exist_ok=True)
    journal = options.run / "cells.jsonl"
    if options.folder is not None:
        try:
            print(_folder(options, journal))
        except AutoALError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0
    wanted = {
        name: compute
        for name, compute in cells().items()
        if not options.cells or any(name.startswith(start) for start in options.cells)
    }
    done = computed(journal, wanted)
    if options.out is not None:
        mine = cells()
        cryo_page.write({name: records for name, records in done.items() if name in mine}, options.out)
        print(f"written: {options.out}")
    return 0


def _folder(options: argparse.Namespace, journal: Path) -> str:
    if options.diameter is None or options.seeds < 1:
        raise InvalidInput("--folder wants --diameter, that of a particle in pixels, and --seeds of 1 or more")
    marks = options.folder if options.marks is None else options.marks
    given = Folder(
        options.folder, marks, options.diameter, options.reference, options.unseen, options.cut, options.flip_y,
        options.bright,
    )  # fmt: skip
    return folder(given, journal, options.seeds)


if __name__ == "__main__":
    raise SystemExit(main())
