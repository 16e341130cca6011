"""What one batch of labels is worth, by the rule that chose it: can a simulation inside the labels tell, how much is
there to win, and does a rule in label-free terms find it?

    python -m tests.benchmarks.one_step measure --model random_forest --out one_step.jsonl
    python -m tests.benchmarks.one_step tables one_step.jsonl [--out one_step.md]

A *state* is a data set, a model, a seed and a number of labels that the anchor has bought. In each state every
*setting* (exponent, whose probabilities and bandwidth of the anchor; its highest values; candidates alone) chooses a
batch of a tenth of the labels. The *true gain* is what the model, trained with the batch, gains on two halves of the
test rows, in log-loss and in accuracy, mean over three training seeds. The *simulated gain* is the same inside the
labels: the user's model on a support chooses from a pseudo-pool and is judged on what is left, mean over splits.

What has been measured is kept in `--out`, so that a run that was stopped goes on where it was. Development sets only.
The records in `baselines/results` are of commit c35da8a: there a batch could also be composed by posterior variance.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from autoal.anchor.bandwidth import bandwidth
from autoal.anchor.committee import bagged_heads, committee_of, with_committee
from autoal.anchor.compose import compose_pool
from autoal.anchor.heads import with_bias
from autoal.anchor.judges import judges_of
from autoal.anchor.space import Shape, Space
from autoal.experiment.cell import single_thread
from autoal.experiment.config import parse_config
from autoal.experiment.task import Task, make_task
from autoal.experiment.task_models import make_model
from autoal.models.base import ModelAdapter
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import derive_seed, generator
from autoal.search.context import round_context
from autoal.settings import SearchConfig
from autoal.strategies import CANDIDATES
from autoal.strategies.base import random_ties

Record = dict[str, Any]
DEVELOPMENT = ("digits", "classification/segment", "classification/satimage", "classification/phoneme", "text/trec6")
BUDGETS = (50, 200, 500, 2000)
NEEDS = frozenset({"log_probs", "embeddings"})
EXPONENTS = (0.0, 1.0, 2.0, 4.0, 8.0)
ALONE = ("entropy", "badge", "typiclust", "uncertainty_herding", "kcenter", "random")
SPLITS = 4
TRAININGS = 3
CONTEXT = ("labels per class", "classes", "share labeled", "batch", "evenness", "dimensions", "margin", "neighbors",
           "clumping")  # fmt: skip


def settings() -> dict[str, dict[str, Any]]:
    """Every setting of the anchor: exponent, source of the probabilities, factor on the bandwidth, highest values."""
    made: dict[str, dict[str, Any]] = {}
    for exponent, source in itertools.product(EXPONENTS, ("own", "heads")):
        made[f"coverage {exponent:g} {source}"] = {"exponent": exponent, "source": source}
    for exponent, factor in itertools.product((1.0, 4.0), (0.5, 2.0)):
        made[f"coverage {exponent:g} own x{factor:g}"] = {"exponent": exponent, "factor": factor}
    made["highest own"] = {"highest": True}
    return made


class Described(NamedTuple):
    """The pool by one source of probabilities."""

    uncertainty: Tensor
    shape: Shape
    bandwidth: float


def _described(view: PoolView, space: Space, members: int, seed: int) -> Described:
    """By the model alone, or by its mean with `members` heads, whatever kind the model is of."""
    config = SearchConfig(value_heads=members)
    rows, labels = with_bias(space.labeled).unsqueeze(0), view.labels.unsqueeze(0)
    heads = bagged_heads(rows, labels, members, num_classes=view.num_classes, l2=1.0, rng=generator(seed, "folds"))

    def probabilities(outputs: ModelOutputs, mapped: Tensor) -> Tensor:
        of_heads = committee_of(heads, with_bias(mapped).unsqueeze(0), members, view.num_classes)
        return with_committee(outputs.require("log_probs").float(), None if of_heads is None else of_heads[0]).mean(0)

    pool, labeled = probabilities(view.pool, space.pool), probabilities(view.labeled, space.labeled)
    top = pool.topk(2, dim=1).values
    trust = judges_of(view, space, config, seed).trust
    assert trust is not None
    shape = Shape.of(view, (pool, labeled, trust))
    return Described(1 - (top[:, 0] - top[:, 1]), shape, bandwidth(shape.labeled))


def batches(
    view: PoolView, batch_size: int, seed: int, which: dict[str, dict[str, Any]] | None = None
) -> dict[str, Tensor]:
    """name -> (b,) positions in the pool, for every setting and candidate."""
    space = Space.of(view, 64, generator(seed, "space"))
    described = {source: _described(view, space, heads, seed) for source, heads in (("own", 0), ("heads", 5))}
    made = {}
    for name, how in settings().items() if which is None else which.items():
        seen = described[how.get("source", "own")]
        if how.get("highest"):
            made[name] = random_ties(seen.uncertainty, generator(seed, "highest"))[:batch_size]
            continue
        made[name] = compose_pool(
            how.get("exponent", 1.0) * seen.uncertainty.clamp_min(1e-3).log(), seen.shape, batch_size,
            bandwidth=seen.bandwidth * how.get("factor", 1.0),
            candidates=None, prices=None, seed=seed,
        )  # fmt: skip
    if which is None:
        for name in ALONE:
            made[name] = CANDIDATES[name]().propose(view, batch_size, generator(seed, "candidate", name)).indices.cpu()
    return made


class Bench:
    """A task and a fresh model for it, trained and asked as often as needed."""

    def __init__(self, task: Task, name: str) -> None:
        self.task, self.device = task, torch.device("cpu")
        spec = parse_config({"name": "x", "datasets": ["digits"], "selectors": ["random"], "model": name}).model
        self.make = lambda: make_model(spec, tuple(task.rows.row_shape), task.num_classes, self.device)

    def trained(self, rows: Tensor, seed: int) -> ModelAdapter:
        model = self.make()
        ordered = rows.sort().values
        model.fit(self.task.rows, ordered, self.task.labels[ordered], self.task.num_classes, seed=seed)
        return model

    def view(self, model: ModelAdapter, labeled: Tensor, pool: Tensor, seed: int) -> PoolView:
        sides = [model.outputs(self.task.rows, rows, NEEDS, seed=seed, device=self.device) for rows in (pool, labeled)]
        return PoolView(sides[0], sides[1], self.task.labels[labeled], self.task.num_classes, costs=None)

    def scores(self, model: ModelAdapter, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-probability of the true class, and whether it is predicted, of rows of the pool or of the test rows."""
        of, labels = self.task.rows, self.task.labels
        if rows is None:
            of, labels = self.task.holdout_rows, self.task.holdout_labels
            rows = torch.arange(len(labels))
        log_probs = model.predict_log_probs(of, rows).double()
        known = labels[rows]
        return log_probs.gather(1, known[:, None]).flatten().clamp_min(-6.0), (log_probs.argmax(1) == known).double()


def measured(bench: Bench, labeled: Tensor, seed: int) -> Record:
    """The record of one state."""
    task = bench.task
    mask = torch.ones(len(task.ids), dtype=torch.bool)
    mask[labeled] = False
    pool = mask.nonzero().flatten()
    b = max(2, len(labeled) // 10)
    model = bench.trained(labeled, derive_seed(seed, "model"))
    view = bench.view(model, labeled, pool, derive_seed(seed, "outputs"))
    context = round_context(view, Space.of(view, 64, generator(seed, "space")), b)
    half = torch.randperm(len(task.holdout_labels), generator=generator(seed, "halves")) % 2 == 0

    def gains(rows: Tensor) -> list[float]:
        found = []
        for number in range(TRAININGS):
            likely, right = bench.scores(bench.trained(rows, derive_seed(seed, "after", number)), None)
            found.append([float(x[side].mean()) for side in (half, ~half) for x in (likely, right)])
        return [sum(column) / len(column) for column in zip(*found, strict=True)]

    chosen = batches(view, b, seed)
    before = gains(labeled)
    true = {name: gains(torch.cat([labeled, pool[at]])) for name, at in chosen.items()}
    return {
        "losses": _losses(bench, model, view, seed),
        "context": dict(zip(CONTEXT, context.tolist(), strict=True)),
        "before": before,
        "true": true,
        "simulated": _simulated(bench, labeled, seed),
    }


def _losses(bench: Bench, model: ModelAdapter, view: PoolView, seed: int) -> dict[str, float]:
    """Log-loss on the test rows of the model, of the heads, and of their mean as the anchor takes it."""
    task = bench.task
    space = Space.of(view, 64, generator(seed, "space"))
    rows = with_bias(space.labeled).unsqueeze(0)
    heads = bagged_heads(
        rows, view.labels.unsqueeze(0), 5, num_classes=task.num_classes, l2=1.0, rng=generator(seed, "folds")
    )
    held = torch.arange(len(task.holdout_labels))
    outputs = model.outputs(task.holdout_rows, held, NEEDS, seed=seed, device=bench.device)
    committee = committee_of(heads, with_bias(space.project(outputs)).unsqueeze(0), 5, task.num_classes)
    assert committee is not None
    own = outputs.require("log_probs").exp().double()
    of_heads = committee[0].mean(0).double()
    mixed = {"own": own, "heads": of_heads, "both": (5 * of_heads + own) / 6}
    at = task.holdout_labels[:, None]
    return {name: -float(p.gather(1, at).log().clamp_min(-6.0).mean()) for name, p in mixed.items()}


def _simulated(bench: Bench, labeled: Tensor, seed: int) -> dict[str, list[float]]:
    """name -> [gain in log-loss, in accuracy] inside the labels, mean over splits."""
    sums: dict[str, list[float]] = {}
    for split in range(SPLITS):
        order = labeled[torch.randperm(len(labeled), generator=generator(seed, "split", split))]
        support, judges = order[: len(order) * 4 // 10], order[len(order) * 3 // 4 :]
        pseudo = order[len(support) : len(order) * 3 // 4]
        if len(bench.task.labels[support].unique()) < 2:
            continue
        own = derive_seed(seed, "simulated", split)
        model = bench.trained(support, own)
        view = bench.view(model, support, pseudo, own)
        before = [float(x.mean()) for x in bench.scores(model, judges)]
        for name, at in batches(view, max(2, len(support) // 10), own).items():
            after = bench.scores(bench.trained(torch.cat([support, pseudo[at]]), own), judges)
            gain = [float(x.mean()) - y for x, y in zip(after, before, strict=True)]
            sums[name] = [x + y / SPLITS for x, y in zip(sums.get(name, [0.0, 0.0]), gain, strict=True)]
    return sums


def states(model: str, datasets: tuple[str, ...], budgets: tuple[int, ...], seeds: int) -> Iterator[Record]:
    for dataset, seed, budget in itertools.product(datasets, range(seeds), budgets):
        yield {"dataset": dataset.rsplit("/", 1)[-1], "name": dataset, "model": model, "seed": seed, "labels": budget}


def measure(chosen: argparse.Namespace) -> int:
    known = {}
    if chosen.out.exists():
        lines = chosen.out.read_text(encoding="utf-8").split("\n")
        known = {json.dumps(json.loads(line)["state"], sort_keys=True): True for line in lines if line.endswith("}")}
    for state in states(chosen.model, tuple(chosen.datasets), tuple(chosen.budgets), chosen.seeds):
        if json.dumps(state, sort_keys=True) in known:
            continue
        config = parse_config(
            {"name": "x", "datasets": [state["name"]], "selectors": ["random"], "max_pool": 3000, "max_test": 2000,
             "initial": 30}
        )  # fmt: skip
        task = make_task(config, config.datasets[0], state["seed"])
        if state["labels"] > 0.6 * len(task.ids):
            continue
        seed = derive_seed(state["seed"], "one step", state["labels"])
        with single_thread():
            bench = Bench(task, chosen.model)
            record = measured(bench, bought(bench, state["labels"], state["seed"]), seed)
        with chosen.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"state": state, **record}) + "\n")
        print(state["dataset"], state["seed"], state["labels"], file=sys.stderr)
    return 0


def bought(bench: Bench, count: int, seed: int) -> Tensor:
    """Rows that the anchor (exponent 2, own probabilities) has bought, in eight batches that grow by equal factors."""
    labeled = bench.task.initial
    sizes = np.unique(np.geomspace(len(labeled), max(count, len(labeled) + 1), 9).astype(int))[1:]
    for number, size in enumerate(sizes.tolist()):
        mask = torch.ones(len(bench.task.ids), dtype=torch.bool)
        mask[labeled] = False
        pool, own = mask.nonzero().flatten(), derive_seed(seed, "bought", number)
        view = bench.view(bench.trained(labeled, own), labeled, pool, own)
        at = batches(view, size - len(labeled), own, {"": {"exponent": 2.0}})[""]
        labeled = torch.cat([labeled, pool[at]]).sort().values
    return labeled


# --- tables -----------------------------------------------------------------------------------------------------


def read(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.endswith("}")]


def tables(records: list[Record], base: str = "coverage 1 heads") -> str:
    """All tables as Markdown."""
    parts = [_signal(records), _room(records, base), _left_out(records, base), _losses_and_gains(records)]
    return "\n\n".join(parts) + "\n"


def _groups(records: list[Record]) -> Iterator[tuple[tuple[str, int], list[Record]]]:
    keys = sorted({(r["state"]["model"], r["state"]["labels"]) for r in records})
    for key in keys:
        yield key, [r for r in records if (r["state"]["model"], r["state"]["labels"]) == key]


def _signal(records: list[Record]) -> str:
    """Kill test (a)."""
    lines = [
        "## (a) Does a gain simulated inside the labels predict the true gain?",
        "",
        "Spearman's correlation over settings and candidates, mean over states (standard error). *Ceiling*: one half "
        "of the test rows against the other.",
        "",
        "| model | labels | states | log-loss | accuracy | log-loss to accuracy | ceiling, loss | ceiling, accuracy |",
        "|---|---:|---:|---|---|---|---|---|",
    ]
    for (model, labels), group in _groups(records):
        found: dict[str, list[float]] = {}
        for record in group:
            names = sorted(record["simulated"])
            if len(names) < 3:
                continue
            true = np.array([record["true"][name] for name in names])
            simulated = np.array([record["simulated"][name] for name in names])
            pairs = {
                "ll": (simulated[:, 0], true[:, 0] + true[:, 2]),
                "acc": (simulated[:, 1], true[:, 1] + true[:, 3]),
                "mixed": (simulated[:, 0], true[:, 1] + true[:, 3]),
                "top ll": (true[:, 0], true[:, 2]),
                "top acc": (true[:, 1], true[:, 3]),
            }
            for what, (x, y) in pairs.items():
                value = spearmanr(x, y).statistic if len(set(x)) > 1 and len(set(y)) > 1 else 0.0
                found.setdefault(what, []).append(float(value))
        if found:
            cells = [_mean(found[what]) for what in ("ll", "acc", "mixed", "top ll", "top acc")]
            lines.append(f"| {model} | {labels} | {len(found['ll'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: list[float], digits: int = 2) -> str:
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{np.mean(values):+.{digits}f} ({error:.{digits}f})"


def _accuracy(record: Record, name: str, half: int | None = None) -> float:
    """Gain of accuracy, in points, on a half of the test rows or on all."""
    after, before = record["true"][name], record["before"]
    gains = [100 * (after[i] - before[i]) for i in (1, 3)]
    return sum(gains) / 2 if half is None else gains[half]


def _room(records: list[Record], base: str) -> str:
    """Kill test (b)."""
    lines = [
        "## (b) How much is there to win?",
        "",
        f"Accuracy gained by one batch over that of `{base}`, in points (standard error over states). *Best fixed*: "
        "the setting that is best on average in these states (chosen and judged on the same states). *Oracle*: the "
        "best of each state by one half of the test rows, judged on the other. *By simulation*: the best by simulated "
        "log-loss.",
        "",
        "| model | labels | gain of the base | best fixed | its gain | oracle | by simulation | highest | random |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for (model, labels), group in _groups(records):
        names = sorted(group[0]["true"])
        means = {name: np.mean([_accuracy(r, name) for r in group]) for name in names}
        best = max(names, key=lambda name: means[name])
        oracle, simulated = [], []
        for record in group:
            for one, other in ((0, 1), (1, 0)):
                chosen = max(names, key=lambda name: _accuracy(record, name, one))
                oracle.append(_accuracy(record, chosen, other) - _accuracy(record, base, other))
            if record["simulated"]:
                chosen = max(record["simulated"], key=lambda name: record["simulated"][name][0])
                simulated.append(_accuracy(record, chosen) - _accuracy(record, base))
        over = {name: [_accuracy(r, name) - _accuracy(r, base) for r in group] for name in names}
        lines.append(
            f"| {model} | {labels} | {means[base]:+.2f} | {best} | {_mean(over[best])} | {_mean(oracle)} | "
            f"{_mean(simulated) if simulated else '-'} | {_mean(over['highest own'])} | {_mean(over['random'])} |"
        )
    lines += ["", "By setting, over all states of a model and number of labels:", ""]
    keys = [key for key, _ in _groups(records)]
    lines += ["| setting | " + " | ".join(f"{m} {n}" for m, n in keys) + " |", "|---|" + "---:|" * len(keys)]
    for name in sorted(records[0]["true"]):
        cells = [_mean([_accuracy(r, name) - _accuracy(r, base) for r in group]) for _, group in _groups(records)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _left_out(records: list[Record], base: str) -> str:
    """Kill test (c): a forest on the context and the setting, taught on the other data sets, chooses."""
    from sklearn.ensemble import ExtraTreesRegressor

    names = sorted(settings())
    kinds = sorted({r["state"]["model"] for r in records})

    def row(record: Record, name: str) -> list[float]:
        how = settings()[name]
        own = [how.get("exponent", 1.0), how.get("factor", 1.0), how.get("source") == "heads"]
        own.append(how.get("highest", False))
        error = 1 - (record["before"][1] + record["before"][3]) / 2
        return [
            *record["context"].values(),
            *(record["state"]["model"] == kind for kind in kinds),
            error,
            *map(float, own),
        ]

    lines = [
        "## (c) Does a rule in label-free terms find the best setting of a data set that was left out?",
        "",
        f"Accuracy over `{base}`, in points (standard error). *Fixed*: the best setting of the other data sets, of the "
        "same model and number of labels. *Rule*: extremely randomised trees on the terms of the round, taught on the "
        "other data sets.",
        "",
        "| data set left out | states | fixed for all | fixed by model and labels | rule | best in hindsight |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    everything: dict[str, list[float]] = {"all": [], "fixed": [], "rule": [], "best": []}
    for left in sorted({r["state"]["dataset"] for r in records}):
        known = [r for r in records if r["state"]["dataset"] != left]
        mine = [r for r in records if r["state"]["dataset"] == left]
        if not known:
            continue
        gain = lambda r, name: _accuracy(r, name) - _accuracy(r, base)  # noqa: E731
        trees = ExtraTreesRegressor(300, min_samples_leaf=5, random_state=0)
        trees.fit([row(r, name) for r in known for name in names], [gain(r, name) for r in known for name in names])
        one = max(names, key=lambda name: np.mean([gain(r, name) for r in known]))
        found: dict[str, list[float]] = {what: [] for what in everything}
        for record in mine:
            key = (record["state"]["model"], record["state"]["labels"])
            alike = [r for r in known if (r["state"]["model"], r["state"]["labels"]) == key] or known
            fixed = max(names, key=lambda name: np.mean([gain(r, name) for r in alike]))
            ruled = names[int(np.argmax(trees.predict([row(record, name) for name in names])))]
            best = max(names, key=lambda name: _accuracy(record, name, 0))
            found["all"].append(gain(record, one))
            found["fixed"].append(gain(record, fixed))
            found["rule"].append(gain(record, ruled))
            found["best"].append(_accuracy(record, best, 1) - _accuracy(record, base, 1))
        lines.append(f"| {left} | {len(mine)} | " + " | ".join(_mean(found[what]) for what in everything) + " |")
        for what, values in found.items():
            everything[what] += values
    lines.append(f"| all | {len(everything['all'])} | " + " | ".join(_mean(v) for v in everything.values()) + " |")
    return "\n".join(lines)


def _losses_and_gains(records: list[Record]) -> str:
    """Whether the better predictor is the better judge of what the model should learn next."""
    lines = [
        "## (d) Is the better predictor the better judge?",
        "",
        "Log-loss on the test rows of the model and of the heads, and what a batch by the model's own probabilities "
        "gains over one by their mean with the heads, accuracy in points, mean over exponents 1 to 8 (standard error).",
        "",
        "| model | data set | states | loss of the model | loss of the heads | own over mean |",
        "|---|---|---:|---:|---:|---:|",
    ]
    keys = sorted({(r["state"]["model"], r["state"]["dataset"]) for r in records})
    for model, dataset in keys:
        group = [r for r in records if (r["state"]["model"], r["state"]["dataset"]) == (model, dataset)]
        gains = [
            float(np.mean([
                _accuracy(r, f"coverage {exponent:g} own") - _accuracy(r, f"coverage {exponent:g} heads")
                for exponent in EXPONENTS[1:]
            ]))
            for r in group
        ]  # fmt: skip
        own, heads = (float(np.mean([r["losses"][who] for r in group if "losses" in r])) for who in ("own", "heads"))
        lines.append(f"| {model} | {dataset} | {len(group)} | {own:.2f} | {heads:.2f} | {_mean(gains)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.one_step", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("measure")
    first.add_argument("--model", required=True)
    first.add_argument("--datasets", nargs="+", default=list(DEVELOPMENT))
    first.add_argument("--budgets", nargs="+", type=int, default=list(BUDGETS))
    first.add_argument("--seeds", type=int, default=2)
    first.add_argument("--out", type=Path, required=True)
    second = commands.add_parser("tables")
    second.add_argument("records", type=Path, nargs="+")
    second.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "measure":
        return measure(chosen)
    text = tables([record for path in chosen.records for record in read(path)])
    print(text)
    if chosen.out:
        chosen.out.write_text(f"# One batch of labels, by the rule that chose it\n\n{text}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
