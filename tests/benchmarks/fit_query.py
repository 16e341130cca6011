"""How long one `AutoAL(...).fit_query` takes, stage by stage and candidate by candidate, and what memory it needs.

    python -m tests.benchmarks.fit_query --sizes 10000 100000 --out baselines/results/fit_query.md
    python -m tests.benchmarks.fit_query --sizes 1000000x512x10000 --mapped --repeats 1

Each case runs in a process of its own, so that peak memory is its own. The process first asks once on a pool of 1000,
so that imports and the first use of each library are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

Case = dict[str, Any]
STAGES = ("train", "outputs", "candidates", "episodes", "search", "gate", "compose")
MODEL_STAGES = ("train", "outputs")
MODELS = ("logistic_regression", "mlp")
LABELS = 500
PACKAGES = ("autoal", "torch", "higher", "numpy", "scipy", "scikit-learn")
NO_CUDA = "ResNet-18 on CIFAR-10: not run, for torch sees no CUDA device here."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fit_query", description=__doc__)
    parser.add_argument(
        "--sizes", nargs="+", default=["10000", "100000"], help="N, N x D or N x D x batch, as 9000x64x50"
    )
    parser.add_argument("--mapped", action="store_true", help="the points are in a .npy file that is mapped")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=3, help="seeds 0, 1, ...; medians are shown")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resnet", action="store_true", help="also ResNet-18 on CIFAR-10, where there is CUDA")
    parser.add_argument("--out", type=Path, help="Markdown file")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    if options.case is not None:
        print(json.dumps(measure(options.case)))
        return 0
    shared = {key: getattr(options, key) for key in ("classes", "repeats", "device", "mapped")}
    cases = [{"model": model, **_size(size), **shared} for model in options.models for size in options.sizes]
    if options.resnet:
        cases.append({"model": "resnet18", "n": 50_000, "dim": 3072, "batch_size": 100, **shared, "classes": 10})
    results = []
    for case in cases:
        print(f"{case['model']}, {_said(case)} ...", file=sys.stderr, flush=True)
        results.append(_in_a_process(case))
    text = markdown(results, "python -m tests.benchmarks.fit_query " + " ".join(given))
    _show(results)
    print("\n" + text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)
    return 0


def _in_a_process(case: Case) -> Case:
    command = [sys.executable, "-m", "tests.benchmarks.fit_query", "--case", json.dumps(case)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: Case = json.loads(done.stdout.splitlines()[-1])
    return result


# --- one case -----------------------------------------------------------------------------------------------------


def _size(text: str) -> Case:
    given = [int(part) for part in text.split("x")]
    return dict(zip(("n", "dim", "batch_size"), [*given, *(None, 64, 100)[len(given) :]], strict=True))


def _said(case: Case) -> str:
    return f"{case['n']:,} x {case['dim']}, batch {case['batch_size']:,}"


def measure(case: Case) -> Case:
    """Seconds, and bytes above those that were resident before, of each repeat; a dict of facts where it cannot run."""
    import torch

    from autoal import AutoAL

    facts = {"case": case, "machine": machine(), "load": os.getloadavg()[0]}
    if case["model"] == "resnet18" and not torch.cuda.is_available():
        return {**facts, "skipped": NO_CUDA}
    X, y = _images(case) if case["model"] == "resnet18" else _clusters(case)
    small = slice(0, 1000)
    _selector(AutoAL, case, 0).fit_query(X[small], _known(y[small], 200, 0), batch_size=min(100, case["batch_size"]))
    runs = []
    for seed in range(case["repeats"]):
        known = _known(y, LABELS, seed)
        selector = _selector(AutoAL, case, seed)
        before, on_gpu = _resident(), _forget_peaks()
        cpu, began = process_time(), perf_counter()
        query = selector.fit_query(X, known, batch_size=case["batch_size"])
        wall, cpu = perf_counter() - began, process_time() - cpu
        board = selector.leaderboard()
        runs.append(
            {
                "seed": seed,
                "total": wall,
                "cpu": cpu,
                "stages": {stage: query.diagnostics["seconds"].get(stage, 0.0) for stage in STAGES},
                "candidates": dict(zip(board["candidate"], board["seconds"], strict=True)),
                "dropped": {k: v for k, v in zip(board["candidate"], board["dropped"], strict=True) if v},
                "bytes": _peak() - before,
                "gpu_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
            }
        )
    return {**facts, "runs": runs}


def _selector(AutoAL: Any, case: Case, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    model: Any = None  # what AutoAL takes where nothing is given: our MLP
    if case["model"] == "logistic_regression":
        model = LogisticRegression(max_iter=1000)
    elif case["model"] == "resnet18":
        from autoal.models import TorchModel
        from autoal.models.nets import ResNet18

        model = TorchModel(lambda: ResNet18(3, 10), device=case["device"])
    return AutoAL(model=model, device=case["device"], random_state=seed)


def _clusters(case: Case) -> tuple[Any, Any]:
    """Three overlapping Gaussian clusters a class, float32, in memory or in a file that is mapped."""
    import tempfile

    import numpy as np

    n, dim, rng = case["n"], case["dim"], np.random.default_rng(0)
    centers = rng.normal(size=(3 * case["classes"], dim)).astype(np.float32)
    cluster = np.asarray(rng.integers(len(centers), size=n))
    X: Any
    if case["mapped"]:
        path = Path(tempfile.mkdtemp()) / "X.npy"
        X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, dim))
    else:
        X = np.empty((n, dim), dtype=np.float32)
    for start in range(0, n, 10_000):
        part = slice(start, start + 10_000)
        X[part] = centers[cluster[part]] + 1.5 * rng.standard_normal((len(cluster[part]), dim), dtype=np.float32)
    if case["mapped"]:
        X.flush()
        X = np.load(path, mmap_mode="r")
        path.unlink()  # gone with this process
    return X, cluster % case["classes"]


def _images(case: Case) -> tuple[Any, Any]:
    from autoal.data import load_dataset

    data = load_dataset("torchvision/cifar10")
    return data.X[: case["n"]], data.y[: case["n"]]


def _known(y: Any, labels: int, seed: int) -> Any:
    """`labels` of them at random, -1 for the others."""
    import numpy as np

    known = np.full(len(y), -1)
    chosen = np.random.default_rng(seed).choice(len(y), labels, replace=False)
    known[chosen] = np.asarray(y)[chosen]
    return known


def _status(field: str) -> int | None:
    """A field of /proc/self/status in bytes. Unlike getrusage it knows nothing of the process that started this one."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":")), None)


def _resident() -> int:
    from autoal.compute import peak_bytes

    return _status("VmRSS") or peak_bytes()


def _peak() -> int:
    from autoal.compute import peak_bytes

    return _status("VmHWM") or peak_bytes()


def _forget_peaks() -> bool:
    """Peaks count from now on, where the system can do that; whether there is a GPU."""
    import torch

    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # the peak is then that of all repeats so far
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    return torch.cuda.is_available()


def machine() -> Case:
    """What a reader needs to judge the figures."""
    import torch

    from autoal.experiment.runner import versions

    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(PACKAGES),
    }


# --- tables -------------------------------------------------------------------------------------------------------


def _median(values: Sequence[float]) -> float:
    ranked = sorted(values)
    half = len(ranked) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2


def stage_rows(results: Sequence[Case]) -> tuple[list[str], list[list[str]]]:
    """One row per case: medians over the repeats, as text."""
    heads = [
        "model", "pool", *STAGES, "total", "CPU seconds", "selection", "selection / train",
        "total / (train + outputs)", "peak MiB", "load",
    ]  # fmt: skip
    rows = []
    for result in results:
        if "skipped" in result:
            continue
        runs, case = result["runs"], result["case"]
        selection = [sum(v for k, v in run["stages"].items() if k not in MODEL_STAGES) for run in runs]
        model = [sum(run["stages"][k] for k in MODEL_STAGES) for run in runs]
        times_train = [s / run["stages"]["train"] for s, run in zip(selection, runs, strict=True)]
        times_model = [run["total"] / m for m, run in zip(model, runs, strict=True)]
        peak = f"{max(run['bytes'] for run in runs) / 2**20:,.0f}"
        if runs[0]["gpu_bytes"] is not None:
            peak += f" + {max(run['gpu_bytes'] for run in runs) / 2**20:,.0f} GPU"
        rows.append(
            [
                case["model"],
                _said(case),
                *(f"{_median([run['stages'][stage] for run in runs]):.2f}" for stage in STAGES),
                f"{_median([run['total'] for run in runs]):.2f}",
                f"{_median([run['cpu'] for run in runs]):.2f}",
                f"{_median(selection):.2f}",
                f"{_median(times_train):.1f}",
                f"{_median(times_model):.1f}",
                peak,
                f"{result['load']:.1f}",
            ]
        )
    return heads, rows


def candidate_rows(results: Sequence[Case]) -> tuple[list[str], list[list[str]]]:
    """One row per candidate: median seconds of one proposal on the pool, by case."""
    ran = [result for result in results if "runs" in result]
    names = sorted({name for result in ran for run in result["runs"] for name in run["candidates"]})
    heads = ["candidate", *(f"{r['case']['model']}, {_said(r['case'])}" for r in ran)]
    rows = []
    for name in names:
        row = [name]
        for result in ran:
            times = [run["candidates"][name] for run in result["runs"] if run["candidates"].get(name)]
            row.append(f"{_median(times):.3f}" if times else "-")
        rows.append(row)
    return heads, rows


def markdown(results: Sequence[Case], command: str) -> str:
    """The tables, and all that is needed to make them again."""
    case, facts = results[0]["case"], results[0]["machine"]
    dropped = {
        f"{name} ({result['case']['model']}): {why}"
        for result in results
        for run in result.get("runs", ())
        for name, why in run["dropped"].items()
        if "its batch is" not in why
    }
    threads = f"{facts['threads']} torch thread{'s' if facts['threads'] != 1 else ''}"
    seeds = "Seed 0"
    if case["repeats"] > 1:
        seeds = f"Seeds 0 to {case['repeats'] - 1}: medians of seconds, the largest of the peaks"
    parts = [
        "# Time and memory of one `fit_query`\n",
        f"`{_with_threads(command)}`\n",
        f"{facts['system']}, {facts['cores']} cores, {threads}, {facts['gpu'] or 'no GPU'}; "
        + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        + ".\n",
        f"Float32 points in Gaussian clusters{', in a file that is mapped' if case['mapped'] else ''}, "
        f"{case['classes']} classes, {LABELS} random labels, default candidates. {seeds}. *selection* is all but train "
        "and outputs. *CPU seconds* are of the whole call: where they are well below the total, the machine was busy "
        "with other work, and the seconds of the stages are too long by about that factor. *peak* is resident memory "
        "during the call above that before it (data and libraries), pages of the file that were read included. *load* "
        "is the machine's load average as the case began.\n",
        _table(*stage_rows(results)),
    ]
    heads, rows = candidate_rows(results)
    if any(cell != "-" for row in rows for cell in row[1:]):
        parts += [
            "Seconds of one proposal on the pool, by candidate; - where it was not asked or cannot be.\n",
            _table(heads, rows),
        ]
    else:
        parts.append("No candidate was asked: they are once a search has found a gain in it.\n")
    if dropped:
        parts.append("Left out: " + "; ".join(sorted(dropped)) + ".\n")
    parts += [result["skipped"] + "\n" for result in results if "skipped" in result]
    return "\n".join(parts)


def _with_threads(command: str) -> str:
    threads = os.environ.get("OMP_NUM_THREADS")
    return f"OMP_NUM_THREADS={threads} {command}" if threads else command


def _table(heads: list[str], rows: list[list[str]]) -> str:
    text = {"model", "candidate"}
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join(" --- " if h in text else " ---: " for h in heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _show(results: Sequence[Case]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=170)
    for title, (heads, rows) in {
        "seconds of one fit_query": stage_rows(results),
        "seconds of one proposal": candidate_rows(results),
    }.items():
        table = Table(title=title, title_justify="left")
        for head in heads:
            table.add_column(head, justify="left" if head in ("model", "candidate") else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


if __name__ == "__main__":
    sys.exit(main())
