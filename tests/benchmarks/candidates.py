"""Seconds and peak memory of one proposal of every candidate, beside what a user would take instead.

    python -m tests.benchmarks.candidates --sizes 50000x64 50000x512 --batches 100 1000 --peers \
        --records records.jsonl --out baselines/results/candidates.md

Each case runs in a process of its own, after a small proposal that warms up the libraries. Model outputs are made
beforehand: they are computed once a round and shared by all candidates. What has been measured is kept in `--records`,
so a run that was stopped goes on where it was. `--peers` adds scikit-activeml's version of a method on the same points,
right after ours; where ours is less than ten times as fast, a table says how far it is from what the machine allows:
each process measures the bandwidth of its memory and its rate of multiplications before it begins.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.benchmarks.fit_query import _forget_peaks, _peak, _resident, machine

Case = dict[str, Any]
CLASSES, LABELS, SAMPLES, MEMBERS, SKETCH = 10, 500, 20, 5, 512
PEERS = {
    "entropy": "UncertaintySampling",
    "margin": "UncertaintySampling",
    "least_confidence": "UncertaintySampling",
    "random": "RandomSampling",
    "kcenter": "CoreSet",
    "typiclust": "TypiClust",
    "probcover": "ProbCover",
    "maxherding": "MaxHerding",
    "badge": "Badge",
    "bald": "GreedyBALD",
    "batchbald": "BatchBALD",
    "falcun": "Falcun",
    "dropquery": "DropQuery",
}
"""Candidate -> the class of skactiveml.pool that does the same."""
MOST_BYTES = 14 * 2**30
PASSES = ("entropy", "margin", "least_confidence")
WANTED = 10.0
"""Times as fast as the peer, or else as fast as the machine allows."""


def least(case: Case) -> tuple[float, float] | None:
    """Bytes that have to be read from memory, and multiplications and additions that have to be done, whatever the
    code: None where that is not known."""
    n, d, b = case["n"], case["d"], case["b"]
    if case["name"] in PASSES:
        return 4.0 * n * CLASSES, 0.0
    if case["name"] == "kcenter":  # each pick is measured against all points, and so are the labeled ones at first
        return 4.0 * n * d * b, 2.0 * n * d * LABELS
    if case["name"] == "typiclust":  # k-means with a cluster for each pick and each label, in steps of a sample
        clusters = b + LABELS
        steps = 100 * max(5_000, 4 * clusters) if n * clusters > 5_000_000 else 0
        return 4.0 * n * d, 2.0 * (steps + n) * clusters * d
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.candidates", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["50000x64", "50000x512"], help="N x D, as 50000x64")
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--names", nargs="+", help="candidates; all where none is named")
    parser.add_argument("--task", choices=["classification", "regression"], default="classification")
    parser.add_argument("--peers", action="store_true", help="also scikit-activeml")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a case is given up")
    parser.add_argument("--records", type=Path, required=True, help="JSON lines of what has been measured")
    parser.add_argument("--out", type=Path, help="Markdown file")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--case" in given:
        measure(json.loads(given[given.index("--case") + 1]))
        return 0
    options = parser.parse_args(given)
    from autoal.strategies import CANDIDATES, resolve_candidates

    resolve_candidates(options.names or "all")  # refuses a name that does not exist, before anything runs
    names = options.names or [name for name, made in CANDIDATES.items() if options.task in made.tasks]
    done = {_key(line["case"]): line for line in _read(options.records)}
    wanted: list[Case] = []
    for size in options.sizes:
        n, d = (int(part) for part in size.split("x"))
        for name in names:
            case = {"name": name, "n": n, "d": d, "task": options.task, "device": options.device}
            for peer in (False, True)[: 1 + (options.peers and name in PEERS)]:
                cases = [{**case, "peer": peer, "b": b} for b in options.batches]
                wanted += cases
                missing = [one for one in cases if _key(one) not in done]
                for result in _in_a_process(missing, options.limit) if missing else []:
                    done[_key(result["case"])] = result
                    with options.records.open("a") as stream:
                        stream.write(json.dumps(result) + "\n")
                    _say(result)
    text = markdown([done[_key(case)] for case in wanted])
    print(text)
    if options.out is not None:
        options.out.write_text(text)
    return 0


def _say(result: Case) -> None:
    case = result["case"]
    said = result.get("error") or f"{result['seconds']:.2f} s, {result['bytes'] / 2**20:,.0f} MiB"
    who = PEERS[case["name"]] if case["peer"] else case["name"]
    print(f"{who}, {case['n']:,} x {case['d']}, b = {case['b']}: {said}", file=sys.stderr, flush=True)


def _key(case: Case) -> str:
    return json.dumps(case, sort_keys=True)


def _read(path: Path) -> list[Case]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _in_a_process(cases: Sequence[Case], limit: float) -> list[Case]:
    """One result for each batch size; all of them are measured in one process, on the same points."""
    command = [sys.executable, "-m", "tests.benchmarks.candidates", "--case", json.dumps(cases)]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=limit * len(cases) + 60)
        out, why = ran.stdout, ""
        if ran.returncode:
            lines = ran.stderr.decode(errors="replace").strip().splitlines()
            last = lines[-1] if lines else f"exit code {ran.returncode}"
            why = "out of memory" if "emory" in last or ran.returncode < 0 else last[:120]
    except subprocess.TimeoutExpired as error:
        out, why = error.stdout or b"", f"over {limit:.0f} s"
    results: list[Case] = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    return results + [{"case": case, "error": why} for case in cases[len(results) :]]


# --- one case -----------------------------------------------------------------------------------------------------


def measure(cases: Sequence[Case]) -> None:
    """Prints for each batch size the seconds of one proposal, and the peak of resident (or device) memory above what
    was there before it."""
    import torch

    limits = _limits()
    ask = _peer(cases[0]) if cases[0]["peer"] else _ours(cases[0])
    for case in cases:
        before, on_gpu = _resident(), _forget_peaks()
        held = torch.cuda.memory_allocated() if on_gpu else 0
        began = perf_counter()
        ask(case["b"])
        if on_gpu:
            torch.cuda.synchronize()
        seconds = perf_counter() - began
        peak = torch.cuda.max_memory_allocated() - held if case["device"] != "cpu" and on_gpu else _peak() - before
        facts = {"seconds": seconds, "bytes": max(0, peak), "load": os.getloadavg()[0], "machine": machine(), **limits}
        print(json.dumps({"case": case, **facts}), flush=True)


def _limits() -> dict[str, float]:
    """Bytes a second that one pass over more than the caches hold reads, and multiplications and additions a second of
    a product of matrices; the best of five."""
    import torch

    numbers, square = torch.ones(50_000_000), torch.ones(1024, 1024)
    reading, multiplying = [], []
    for _ in range(5):
        began = perf_counter()
        numbers.sum()
        reading.append(perf_counter() - began)
        began = perf_counter()
        square @ square
        multiplying.append(perf_counter() - began)
    return {"bandwidth": 4.0 * len(numbers) / min(reading), "rate": 2.0 * 1024**3 / min(multiplying)}


def _ours(case: Case) -> Callable[[int], Any]:
    from autoal.outputs import PoolView
    from autoal.rng import generator
    from autoal.strategies import CANDIDATES

    strategy = CANDIDATES[case["name"]]()
    needs = strategy.needs_for(case["task"]) or frozenset({"embeddings"})

    def view(n: int) -> PoolView:
        pool = _outputs(n, case["d"], needs, "pool")
        labeled = _outputs(LABELS, case["d"], needs, "labeled")
        if case["task"] == "regression":
            targets = generator(0, "targets")
            import torch

            made = PoolView(pool, labeled, torch.randn(LABELS, generator=targets, dtype=torch.float64), 0)
        else:
            made = PoolView(pool, labeled, _labels(LABELS), CLASSES)
        if case["device"] == "cpu":
            return made
        return PoolView(
            made.pool.to(case["device"]), made.labeled.to(case["device"]), made.labels.to(case["device"]),
            made.num_classes,
        )  # fmt: skip

    strategy.propose(view(1000), 100, generator(0, "warm"))
    whole = view(case["n"])
    return lambda b: strategy.propose(whole, b, generator(0, "bench"))


def _labels(n: int) -> Any:
    import torch

    return torch.arange(n) % CLASSES


def _outputs(n: int, d: int, needs: frozenset[str], side: str) -> Any:
    """Outputs of a linear model on three overlapping Gaussian clusters a class; the first rows do not depend on n."""
    import torch

    from autoal.outputs import ModelOutputs
    from autoal.rng import generator

    world, draws = generator(0, "world", d), generator(0, side, d)
    centers = torch.randn(3 * CLASSES, d, generator=world)
    x = centers[torch.arange(n) % len(centers)] + 1.5 * torch.randn(n, d, generator=draws)
    weights = torch.randn(SAMPLES, d, CLASSES, generator=world) / d**0.5
    mean = weights.mean(0) * 3
    spread = weights / 3 + mean

    def samples(count: int, factor: float) -> Any:
        out = torch.empty(n, count, CLASSES)
        for k in range(count):
            out[:, k] = (x @ spread[k] * factor).log_softmax(1)
        return out

    def sketch(width: int) -> Any:
        maps = torch.randn(d, width, generator=world) / width**0.5
        return torch.tanh(x[:, :1]) * (x @ maps)

    fields: dict[str, Callable[[], Any]] = {
        "log_probs": lambda: (x @ mean).log_softmax(1),
        "logits": lambda: x @ mean,
        "embeddings": lambda: x,
        "inputs": lambda: x,
        "mc_log_probs": lambda: samples(SAMPLES, 1.0),
        "ensemble_log_probs": lambda: samples(MEMBERS, 1.0),
        "greedy_log_probs": lambda: samples(MEMBERS, 1.5),
        "means": lambda: x @ mean[:, 0],
        "mc_means": lambda: torch.stack([x @ spread[k][:, 0] for k in range(SAMPLES)], dim=1),
        "deviations": lambda: torch.cat([samples(SAMPLES, 1.001), samples(10, 0.999)], dim=1).exp() * 1e-3,
        "gradients": lambda: sketch(SKETCH),
        "gradient_norms": lambda: torch.stack([x.norm(dim=1), x.abs().sum(1)], dim=1),
    }
    return ModelOutputs(**{name: fields[name]() for name in needs})


def _peer(case: Case) -> Callable[[int], Any]:
    import resource

    import numpy as np
    from skactiveml import pool as peers
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.utils import MISSING_LABEL
    from sklearn.ensemble import BaggingClassifier
    from sklearn.linear_model import LogisticRegression

    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))

    def query(n: int) -> Callable[[int], Any]:
        needs = frozenset({"embeddings"})
        sides = ((LABELS, "labeled"), (n, "pool"))
        both = [_outputs(rows, case["d"], needs, side).embeddings.numpy() for rows, side in sides]
        X = np.concatenate(both)
        y = np.full(len(X), MISSING_LABEL)
        y[:LABELS] = np.arange(LABELS) % CLASSES
        kind = PEERS[case["name"]]
        options: Case = {"random_state": 0}
        asked: Case = {"X": X, "y": y}
        model: Any = LogisticRegression(max_iter=200)
        if kind in ("GreedyBALD", "BatchBALD"):
            model = BaggingClassifier(LogisticRegression(max_iter=200), n_estimators=SAMPLES, random_state=0)
        fitted = SklearnClassifier(model, classes=list(range(CLASSES))).fit(X[:LABELS], y[:LABELS])
        if kind == "UncertaintySampling":
            own = {"margin": "margin_sampling", "least_confidence": "least_confident"}
            options["method"] = own.get(case["name"], case["name"])
        if kind == "BatchBALD":
            options["n_MC_samples"] = 10_000  # as many drawn labelings as ours; it draws 20 if nothing is said
        if kind in ("UncertaintySampling", "Badge", "Falcun", "DropQuery"):
            asked.update(clf=fitted, fit_clf=False)
        if kind in ("GreedyBALD", "BatchBALD"):
            asked.update(ensemble=fitted, fit_ensemble=False)
        strategy = getattr(peers, kind)(**options)
        return lambda b: strategy.query(batch_size=b, **asked)

    query(200)(5)
    return query(case["n"])


# --- tables -------------------------------------------------------------------------------------------------------


def markdown(results: Sequence[Case]) -> str:
    """One table: a candidate a row, a size a column pair."""
    from autoal.strategies import CANDIDATES

    ran = [result for result in results if "seconds" in result]
    facts = ran[0]["machine"]
    columns = sorted({(r["case"]["n"], r["case"]["d"], r["case"]["b"]) for r in results})
    found = {(r["case"]["name"], r["case"]["peer"], r["case"]["n"], r["case"]["d"], r["case"]["b"]): r for r in results}
    names = list(dict.fromkeys(r["case"]["name"] for r in results))
    heads = ["candidate", *(f"{n:,} x {d}, b = {b:,}" for n, d, b in columns)]
    rows = []
    for name in sorted(names, key=lambda name: (CANDIDATES[name].family, name)):
        cells = [found.get((name, False, *column)) for column in columns]
        rows.append([f"`{name}`", *(_cell(cell) for cell in cells)])
        peers = [found.get((name, True, *column)) for column in columns]
        if any(peers):
            shown = [_against(peer, own) for peer, own in zip(peers, cells, strict=True)]
            rows.append([f"— {PEERS[name]} of scikit-activeml", *shown])
    worst = max((r["bytes"] for r in ran if not r["case"]["peer"]), default=0)
    load = [r["load"] for r in ran]
    lines = [
        f"{facts['system']}, {facts['cores']} cores, {facts['threads']} torch thread(s), {facts['gpu'] or 'no GPU'}; "
        + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        + f". Load average while it ran: {min(load):.1f} to {max(load):.1f}.\n",
        f"Task: {results[0]['case']['task']}, on {results[0]['case']['device']}. Float32 points in overlapping "
        f"Gaussian clusters, {CLASSES} classes, {LABELS} labeled, {SAMPLES} posterior samples, {MEMBERS} ensemble "
        f"members, gradients sketched to {SKETCH}. Seconds of one proposal and MiB of memory above that of its input; "
        f"one run each. The largest peak is {worst / 2**20:,.0f} MiB. A number in brackets says how many times slower "
        "the other library is.\n",
        "| " + " | ".join(heads) + " |",
        "|" + "|".join(" --- " if i == 0 else " ---: " for i in range(len(heads))) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    near = [
        (own, peer)
        for (name, is_peer, *column), peer in found.items()
        if is_peer and "seconds" in peer and (own := found.get((name, False, *column))) and "seconds" in own
        and peer["seconds"] < WANTED * own["seconds"]
    ]  # fmt: skip
    if near:
        lines += ["", *_near(near)]
    return "\n".join(lines) + "\n"


def _near(pairs: Sequence[tuple[Case, Case]]) -> list[str]:
    """Where ours is less than `WANTED` times as fast: how long the machine would need at the least."""
    rows = []
    for own, peer in pairs:
        case, needed = own["case"], least(own["case"])
        said = "not known"
        if needed is not None:
            seconds = needed[0] / own["bandwidth"] + needed[1] / own["rate"]
            said = f"{seconds:.3f} s ({own['bandwidth'] / 1e9:.1f} GB/s, {own['rate'] / 1e9:.0f} Gflop/s)"
        rows.append(
            f"| `{case['name']}` | {case['n']:,} x {case['d']}, b = {case['b']:,} | {own['seconds']:.3f} s | "
            f"{peer['seconds'] / own['seconds']:.1f}x | {said} |"
        )
    return [
        f"Less than {WANTED:.0f} times as fast, and what the machine needs at least for the bytes that must be read "
        "and the products that have to be formed, at the rates measured in the same process:\n",
        "| candidate | pool | seconds | scikit-activeml | the machine's least |",
        "| --- | --- | ---: | ---: | ---: |",
        *rows,
    ]


def _cell(result: Case | None) -> str:
    if result is None:
        return ""
    return result["error"] if "error" in result else f"{result['seconds']:.2f} s, {result['bytes'] / 2**20:,.0f} MiB"


def _against(peer: Case | None, own: Case | None) -> str:
    if peer is None or "error" in peer or own is None or "error" in own:
        return _cell(peer)
    return f"{_cell(peer)} ({peer['seconds'] / own['seconds']:.1f}x)"


if __name__ == "__main__":
    sys.exit(main())
