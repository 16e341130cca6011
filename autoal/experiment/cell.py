"""One cell: a data set, a selector and a seed, from the first labels to the last batch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from autoal.compute import peak_bytes, resolve_device
from autoal.errors import RunError
from autoal.experiment.config import DatasetSpec, ExperimentConfig, SelectorSpec
from autoal.experiment.metrics import better, evaluate, evaluate_targets
from autoal.experiment.store import CellStore, cell_key
from autoal.experiment.task import Task, make_task
from autoal.experiment.task_models import make_model
from autoal.experiment.watching import Watch
from autoal.journal import owner_of
from autoal.models.base import ModelAdapter
from autoal.outputs import ModelOutputs, PoolView, check_outputs
from autoal.rng import derive_seed
from autoal.selectors.base import Later, RoundState, Selection, Selector

__all__ = [
    "Bought",
    "Cell",
    "CellTimeLimit",
    "MakeSelector",
    "cells_of",
    "is_finished",
    "round_state",
    "run_cell",
    "single_thread",
]

MakeSelector = Callable[[SelectorSpec], Selector]
"""Must be a function at the top of a module where cells run in several processes."""
OnRound = Callable[["Cell", int], None]


@dataclass(frozen=True)
class Cell:
    """One independent part of a run."""

    dataset: DatasetSpec
    selector: SelectorSpec
    seed: int

    @property
    def key(self) -> str:
        """Its file name."""
        return cell_key(self.dataset.label, self.selector.label, self.seed)

    def owner(self, config: ExperimentConfig) -> str:
        """What its lines say they are of: all that its results depend on, and no other cell's."""
        return owner_of("cell", config.shared(), self.dataset.model_dump(), self.selector.model_dump(), self.seed)

    def __str__(self) -> str:
        return f"{self.dataset.label}, {self.selector.label}, seed {self.seed}"


class CellTimeLimit(RunError):
    """A cell took longer than `cell_time_limit` allows."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(
            f"it took more than the {limit_s:g} s a cell may take (cell_time_limit); its finished rounds are kept, and "
            "the same command goes on from them, with a limit anew"
        )


def cells_of(config: ExperimentConfig) -> list[Cell]:
    """All cells, in the order of the journal."""
    return [Cell(d, s, seed) for d in config.datasets for s in config.selectors for seed in config.seeds]


def is_finished(records: list[dict[str, Any]]) -> bool:
    """Whether the last line of a cell's file says that no round follows."""
    return bool(records) and bool(records[-1]["last"])


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """One thread for BLAS, OpenMP and torch: sums are then added in one order, however many processes there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def run_cell(
    config: ExperimentConfig,
    cell: Cell,
    make_selector: MakeSelector,
    store: CellStore,
    on_round: OnRound | None = None,
) -> None:
    """Plays the rounds of `cell` that `store` does not hold yet.

    Raises what the data set, the model or the selector raise, RunError for a selector that answers wrongly, and
    CellTimeLimit between rounds where more than `config.cell_time_limit` seconds have passed.
    """
    with store.open(), single_thread():
        records = store.read()
        if is_finished(records):
            return
        _play(config, cell, make_selector, store, records, on_round)
        store.clear_states()


def _play(
    config: ExperimentConfig,
    cell: Cell,
    make_selector: MakeSelector,
    store: CellStore,
    records: list[dict[str, Any]],
    on_round: OnRound | None,
) -> None:
    began = time.monotonic()
    config = config.of(cell.dataset)
    device = resolve_device(config.device)
    task = make_task(config, cell.dataset, cell.seed)
    batch_size = (cell.dataset.batch_per_class or 0) * task.num_classes or config.batch_size
    model = make_model(config.model, tuple(task.rows.row_shape), task.num_classes, device)
    selector = make_selector(cell.selector)
    selector.reset()
    watch = Watch(config, task, cell.seed, device)
    if records:
        selector.load_state_dict(store.read_state(len(records) - 1))
        _train(model, task, Bought(task, records[:-1]).labeled(), cell, len(records) - 1)
        watch.look(model)
    bought = Bought(task, records)
    for number in range(len(records), config.rounds + 1):
        limit = config.cell_time_limit
        if limit is not None and number > len(records) and time.monotonic() - began > limit:
            raise CellTimeLimit(limit)
        last = number == config.rounds or not bool(bought.in_pool.any())
        clock = _Clock()
        labeled = bought.labeled()
        _train(model, task, labeled, cell, number)
        clock.lap("fit")
        metrics = _measured(model, task)
        clock.lap("evaluate")
        record = {
            "dataset": cell.dataset.label,
            "selector": cell.selector.label,
            "seed": cell.seed,
            "round": number,
            "labels": bought.paid,
            "labeled": len(labeled),
            "rejected": bought.rejected,
            "value": metrics[config.metric],
            "metric": config.metric,
            "metrics": metrics,
        }
        diagnostics: Mapping[str, Any] = {}
        if not last:
            state = round_state(task, model, selector, bought, cell.seed, number, device)
            if getattr(selector, "cheats", False):
                state = replace(state, oracle=_Retraining(config, cell, task, bought, number, device))
            clock.lap("outputs")
            b = min(batch_size, len(state.pool_ids))
            answer = selector.select(state, b)
            clock.lap("select")
            assert state.pool_indices is not None
            picked = _checked(answer, b, len(state.pool_ids), cell)
            rows = state.pool_indices[picked]
            bought.buy(rows)
            record["picked"] = task.ids[rows].tolist()
            diagnostics = answer.diagnostics
            record["weights"] = {name: float(weight) for name, weight in answer.weights.items()}
            record["votes"] = {name: int(torch.as_tensor(wanted).sum()) for name, wanted in answer.votes.items()}
            record["diagnostics"] = _without_measures(diagnostics)
            record["stopping"] = watch.round(model, state, picked, diagnostics, number)
        record["last"] = last
        timing = {
            **{key: record[key] for key in ("dataset", "selector", "seed", "round")},
            "seconds": clock.laps,
            "peak_bytes": _peak(device),
            "measures": _only_measures(diagnostics),
        }
        store.append(record, timing, None if last else selector.state_dict())
        if on_round is not None:
            on_round(cell, number)
        if last:
            return


def _train(model: ModelAdapter, task: Task, labeled: Tensor, cell: Cell, number: int) -> None:
    model.fit(task.rows, labeled, task.labels[labeled], task.num_classes, seed=derive_seed(cell.seed, "model", number))


def _measured(model: ModelAdapter, task: Task) -> dict[str, float]:
    """Every metric of the held-out points."""
    held = torch.arange(len(task.holdout_labels))
    if task.num_classes:
        return evaluate(model.predict_log_probs(task.holdout_rows, held), task.holdout_labels)
    return evaluate_targets(model.predict_means(task.holdout_rows, held), task.holdout_labels)


@dataclass(frozen=True)
class _Retraining:
    """The oracle of one round: a model of its own is trained on what a batch would add, and measured."""

    config: ExperimentConfig
    cell: Cell
    task: Task
    bought: Bought
    number: int
    device: torch.device

    def value_after(self, positions: Tensor) -> float:
        in_pool = self.bought.in_pool.clone()
        in_pool[in_pool.nonzero().flatten()[positions.cpu()]] = False
        labeled = (~in_pool & ~self.task.rejected).nonzero().flatten()
        model = make_model(self.config.model, tuple(self.task.rows.row_shape), self.task.num_classes, self.device)
        _train(model, self.task, labeled, self.cell, self.number + 1)
        return better(self.config.metric) * _measured(model, self.task)[self.config.metric]


class Bought:
    """Which rows are in the pool, which are labeled, and what has been paid."""

    def __init__(self, task: Task, records: list[dict[str, Any]]) -> None:
        self.task = task
        self.in_pool = torch.ones(len(task.ids), dtype=torch.bool)
        self.in_pool[task.initial] = False
        self.paid = len(task.initial)
        self.rejected = 0
        by_id = {row: position for position, row in enumerate(task.ids.tolist())}
        for record in records:
            self.buy(torch.tensor([by_id[row] for row in record["picked"]], dtype=torch.int64))

    def buy(self, rows: Tensor) -> None:
        """Pays for each row, also for those the oracle rejects."""
        self.in_pool[rows] = False
        self.paid += len(rows)
        self.rejected += int(self.task.rejected[rows].sum())

    def labeled(self) -> Tensor:
        """Rows to train on, ascending, so that the order of buying cannot matter."""
        return (~self.in_pool & ~self.task.rejected).nonzero().flatten()


def round_state(
    task: Task, model: ModelAdapter, selector: Selector, bought: Bought, seed: int, number: int, device: torch.device
) -> RoundState:
    """What a selector may see in round `number`: outputs of the fitted `model`, and no label of the pool."""
    pool, labeled = bought.in_pool.nonzero().flatten(), bought.labeled()
    foreign = (~bought.in_pool & task.rejected).nonzero().flatten()
    # The predictions in any case: without a field a view has no length, and every model that is measured has them.
    predictions = "log_probs" if task.num_classes else "means"
    needs = (_asked(selector, task) | {predictions}) & frozenset(model.provides)
    later_needs = getattr(selector, "later_needs_for", None)
    later = frozenset() if later_needs is None else later_needs("classification" if task.num_classes else "regression")
    # One seed for both calls: posterior sample k is the same function of the pool and of the labeled points.
    seed = derive_seed(seed, "outputs", number)

    def outputs(rows: Tensor, what: str, fields: frozenset[str] = needs) -> ModelOutputs:
        found = model.outputs(task.rows, rows, fields, seed=seed, device=device)
        check_outputs(found, len(rows), task.num_classes, what)
        return found

    view = PoolView(
        pool=outputs(pool, "pool"),
        labeled=outputs(labeled, "labeled points"),
        labels=task.labels[labeled].to(device),
        num_classes=task.num_classes,
        rejected=outputs(foreign, "rejected points") if len(foreign) else None,
    )
    return RoundState(
        view=view,
        round=number,
        seed=derive_seed(seed, "selector"),
        pool_ids=task.ids[pool],
        labeled_ids=task.ids[labeled],
        inputs=task.rows,
        pool_indices=pool,
        labeled_indices=labeled,
        later=Later(later & frozenset(model.provides), outputs, (pool, labeled, foreign)[: 2 + bool(len(foreign))]),
        model=model,
    )


def _asked(selector: Selector, task: Task) -> frozenset[str]:
    """Fields the selector reads in this task; one that does not tell tasks apart is asked for its `needs`."""
    needs_for = getattr(selector, "needs_for", None)
    if needs_for is None:
        return frozenset(selector.needs)
    return frozenset(needs_for("classification" if task.num_classes else "regression"))


def _checked(answer: Selection, b: int, n: int, cell: Cell) -> Tensor:
    """The positions of `answer`; raises RunError where they are not b distinct positions of the pool."""
    positions = torch.as_tensor(answer.positions).detach().cpu().to(torch.int64).flatten()
    distinct = positions.unique()
    if len(positions) != b or len(distinct) != b or int(distinct.min()) < 0 or int(distinct.max()) >= n:
        raise RunError(
            f"selector {cell.selector.label!r} answered {len(positions)} positions, {len(distinct)} of them distinct; "
            f"wanted {b} distinct positions in 0..{n - 1}"
        )
    return positions


_MEASURE = ("seconds", "bytes")


def _without_measures(value: Any) -> Any:
    """Diagnostics less what is different each time: keys that end in `seconds` or `bytes`."""
    if isinstance(value, Mapping):
        return {k: _without_measures(v) for k, v in value.items() if not str(k).endswith(_MEASURE)}
    return value


def _only_measures(value: Mapping[str, Any]) -> dict[str, Any]:
    """The other part; those deeper down under their whole path."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if str(key).endswith(_MEASURE):
            found[str(key)] = item
        elif isinstance(item, Mapping):
            found.update({f"{key}.{inner}": v for inner, v in _only_measures(item).items()})
    return found


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = now - self.since
        self.since = now


def _peak(device: torch.device) -> dict[str, int]:
    """Largest memory of this process so far: resident, and on the device where there is one."""
    peak = {"host": peak_bytes()}
    if device.type == "cuda":
        peak["device"] = int(torch.cuda.max_memory_allocated(device))
    return peak
