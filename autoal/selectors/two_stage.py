"""A batch from a pool in shards, in two stages.

The model is trained and SearchNet learns as ever, with points drawn from the whole pool in its place. Then each shard
proposes a batch of its own, and the batch is composed of those proposals; coverage is summed over them and over points
of all shards, drawn by value (Mirzasoleiman, Karbasi, Sarkar, Krause 2013, arXiv 1411.0541: greedy on each part, then
greedy on the union, whose bound holds for coverage). Memory is that of a shard and of what was drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from autoal.anchor.bandwidth import bandwidth
from autoal.anchor.compose import drawn_by_value
from autoal.anchor.space import Shape
from autoal.compute import single_threaded
from autoal.data.faces import EncodedRows, Faces
from autoal.data.indices import index_array
from autoal.data.pool import labeled_part
from autoal.data.shards import Shards
from autoal.errors import InvalidInput, PoolExhausted
from autoal.models import ModelAdapter
from autoal.outputs import ModelOutputs, PoolView, check_outputs
from autoal.rng import derive_seed, generator, isolated
from autoal.search.round import compose_batch, considered
from autoal.selectors.base import Later
from autoal.selectors.checks import seed_of
from autoal.selectors.engines import on_shards
from autoal.selectors.query import Query
from autoal.selectors.round import Searched, asked_about
from autoal.strategies.base import check_batch_size
from autoal.strategies.parts.coverage import greedy_coverage

__all__ = ["query_shards"]

SAMPLE = 10_000
"""Points that stand for the pool while the model's judges are fitted and SearchNet learns; four a pick at least."""
DRAWN = 2_000
"""Points by which the value of all that no shard proposed is summed, over all shards; one a pick at least."""


class Found(NamedTuple):
    """What one shard proposes, and what stands for the rest of it."""

    rows: NDArray[np.int64]
    """(p,) rows of the whole pool: proposals, best first, then points drawn by value."""
    proposed: int
    log_value: Tensor
    """(p,)"""
    log_weight: Tensor
    """(p,) log of the value that each stands for in sums over the pool."""
    outputs: ModelOutputs
    """(p, ...)"""
    costs: Tensor | None


@dataclass(frozen=True)
class Given:
    """What every shard needs; travels to each worker once."""

    shards: Shards
    open: list[NDArray[np.int64]]
    """For each shard, the rows of it that may be asked for, ascending."""
    costs: NDArray[np.float64] | None
    """(n,) prices of all rows."""
    model: ModelAdapter
    rows: Any
    """The rows on which the model was fitted, from which encoders of the others are taken."""
    searched: Searched
    later: frozenset[str]
    sides: tuple[Tensor, ...]
    """Labeled and rejected rows of `rows`."""
    needs: frozenset[str]
    batch_size: int
    drawn: int
    """Points to draw by value."""


def query_shards(
    selector: Any,
    shards: Shards,
    y: Any,
    *,
    batch_size: int,
    labeled: Any = None,
    pool: Any = None,
    exclude: Any = None,
    rejected: Any = None,
    classes: Any = None,
    costs: Any = None,
    **others: Any,
) -> Query:
    """`AutoAL.fit_query` of a pool in shards: arguments as there, less those that name further rows.

    Raises InvalidInput for an argument or a mode that shards do not have, and whatever `fit_query` raises.
    """
    given = sorted(name for name, value in others.items() if value is not None)
    if given:
        raise InvalidInput(f"got {', '.join(given)} with a pool in shards, which has none; wanted rows in the shards")
    if selector.mode != "bilevel":
        raise InvalidInput(f"got mode={selector.mode!r} with a pool in shards; wanted mode='bilevel'")
    began, n = perf_counter(), len(shards)
    task = "auto" if selector.task == "auto" and classes is None else selector.task.replace("auto", "classification")
    known, labels = labeled_part(y, n, labeled, task)
    may = np.zeros(n, dtype=bool)
    may[slice(None) if pool is None else index_array(pool, n, "pool")] = True
    refused = np.zeros(0, dtype=np.int64) if rejected is None else index_array(rejected, n, "rejected")
    may[known] = may[refused] = False
    if exclude is not None:
        may[index_array(exclude, n, "exclude")] = False
    left = np.flatnonzero(may)
    if not len(left):
        raise PoolExhausted(f"no point left to ask for: {n} rows, {len(known)} labeled, the rest closed")
    check_batch_size(batch_size, len(left))
    prices = None if costs is None else np.asarray(costs, dtype=np.float64)
    if prices is not None and prices.shape != (n,):
        raise InvalidInput(f"got costs of shape {prices.shape}; wanted ({n},), one price for each row")
    sample = _sample(left, max(SAMPLE, 4 * batch_size), selector)
    beside = np.concatenate([sample, refused])
    with threadpool_limits(1):
        selector.fit(
            shards.take(known), labels, shards.take(beside), batch_size=min(batch_size, len(sample)), classes=classes,
            rejected=np.arange(len(sample), len(beside)) if len(refused) else None,
            costs=None if prices is None else prices[beside],
        )  # fmt: skip
        searched: Searched = selector.fitted_
        seconds = {**searched.seconds, "sample": perf_counter() - began - sum(searched.seconds.values())}
        began = perf_counter()
        offsets = [shard.offset for shard in shards.shards]
        opened = np.split(left, np.searchsorted(left, offsets[1:]))
        drawn = math.ceil(max(DRAWN, batch_size) / len(offsets))
        inside = [rows - offset for rows, offset in zip(opened, offsets, strict=True)]
        made, task = selector.pool_, searched.state.view.task
        work = Given(
            shards, inside, prices, selector.model_, made.rows, searched, selector.later_needs_for(task),
            (made.labeled, made.rejected), selector.needs_for(task), batch_size, drawn,
        )  # fmt: skip
        found = on_shards(
            _propose, work, len(offsets), engine=shards.engine, workers=shards.workers,
            report=lambda done: selector._report("shards", done, len(offsets)),
        )  # fmt: skip
        seconds["shards"] = perf_counter() - began
        began = perf_counter()
        parts = [part for part in found if part is not None]
        rows = _composed(parts, searched, batch_size)
    seconds["compose"] = perf_counter() - began
    utilities = np.full(n, np.nan)
    for part in parts:
        utilities[part.rows[: part.proposed]] = part.log_value[: part.proposed].double().numpy()
    return selector._answered(_query(selector, searched, rows, utilities, len(offsets), seconds))


def _query(
    selector: Any, searched: Searched, rows: NDArray[np.int64], utilities: Any, count: int, seconds: dict[str, float]
) -> Query:
    learned = searched.learned
    assert learned is not None
    names = [name for name, _ in searched.asked.candidates]
    weights = dict(zip(names, torch.softmax(learned.net.logits.detach(), 0).cpu().tolist(), strict=True))
    gate = {"open": learned.gate_open, "reason": learned.reason}
    entry = {"labels": len(searched.state.view.labels), "weights": weights, "gate": gate, "dropped": searched.dropped}
    selector._past().add(entry)
    selector.weights_ = weights
    diagnostics = {"mode": searched.mode, "shards": count, **entry, **selector._spent(seconds)}
    return Query(indices=rows, ids=rows.copy(), utilities=utilities, weights=weights, diagnostics=diagnostics)


def _sample(left: NDArray[np.int64], most: int, selector: Any) -> NDArray[np.int64]:
    """Rows that stand for the pool, ascending."""
    if len(left) <= most:
        return left
    rng = np.random.default_rng(derive_seed(seed_of(selector.random_state), "shards", "sample"))
    return np.asarray(np.sort(rng.choice(left, most, replace=False)))


@single_threaded()
def _propose(work: Given, number: int) -> Found | None:
    """Stage one: a batch from one shard, and draws that stand for the rest of it."""
    shard, open_rows = work.shards.shards[number], work.open[number]
    if not len(open_rows):
        return None
    searched, model = work.searched, work.model
    state, space, judges, learned = searched.state, searched.space, searched.judges, searched.learned
    assert space is not None and judges is not None and learned is not None
    seed = derive_seed(state.seed, "shard", number)
    rows = shard.open()
    if isinstance(rows, Faces) and (isinstance(rows, EncodedRows) or work.rows.encoder is not None):
        rows.encode_as(work.rows)

    def outputs(which: Tensor, what: str, fields: frozenset[str]) -> ModelOutputs:
        source = rows if what == "pool" else work.rows
        read = model.outputs(source, which, fields, seed=derive_seed(state.seed, "outputs"), device=state.view.device)
        check_outputs(read, len(which), state.view.num_classes, f"shard {number}")
        return read

    with threadpool_limits(1), isolated(seed):
        at = torch.from_numpy(open_rows)
        pool = outputs(at, "pool", work.needs & model.provides)
        costs = None if work.costs is None else torch.from_numpy(work.costs[open_rows + shard.offset])
        labeled = state.view.labeled
        if pool.embeddings is not None and labeled.embeddings is not None:
            width, known = pool.embeddings.shape[1], labeled.embeddings.shape[1]
            if width != known:
                raise InvalidInput(
                    f"the model gives embeddings of {width} columns in shard {number} and {known} of the labeled "
                    f"points: more columns than rows drawn; wanted fewer: an encoder or a model with {known} at most"
                )
        here = replace(
            state, view=replace(state.view, pool=pool, costs=costs), seed=seed, inputs=None,
            pool_ids=torch.from_numpy(open_rows + shard.offset), pool_indices=at,
            later=Later(work.later & model.provides, outputs, (at, *work.sides)),
        )  # fmt: skip
        here, asked, some = asked_about(here, searched, min(work.batch_size, len(at)))
        composed = compose_batch(
            here.view, replace(space, pool=space.project(pool)), judges, asked.proposals, learned, searched.config,
            batch_size=min(work.batch_size, len(at)), seed=seed, some=some,
        )  # fmt: skip
    log_value, picks = composed.value.cpu(), composed.positions.cpu()
    top = log_value.amax()
    most = len(picks) + work.drawn
    weights = drawn_by_value(torch.exp(log_value - top), picks, most, generator(seed, "shard", "draws"))
    drawn = weights.index_fill(0, picks, 0).nonzero().flatten()
    chosen = torch.cat([picks, drawn])
    return Found(
        open_rows[chosen.numpy()] + shard.offset, len(picks), log_value[chosen], weights[chosen].log() + top,
        pool.to(torch.device("cpu"))[chosen], None if costs is None else costs[chosen],
    )  # fmt: skip


@single_threaded()
def _composed(parts: list[Found], searched: Searched, batch_size: int) -> NDArray[np.int64]:
    """Stage two: (b,) rows, of all that was proposed."""
    state, space, judges, learned = searched.state, searched.space, searched.judges, searched.learned
    assert space is not None and judges is not None and learned is not None
    fields = parts[0].outputs.present()
    pool = ModelOutputs(**{name: torch.cat([part.outputs.require(name) for part in parts]) for name in fields})
    pool = pool.to(state.view.device)
    rows = np.concatenate([part.rows for part in parts])
    proposed = torch.cat([torch.arange(len(part.rows)) < part.proposed for part in parts])
    log_value = torch.cat([part.log_value for part in parts])
    log_weight = torch.cat([part.log_weight for part in parts])
    prices = None if parts[0].costs is None else torch.cat([part.costs for part in parts if part.costs is not None])
    seed = derive_seed(state.seed, "round", state.round)
    proposals = proposed.nonzero().flatten()
    few, _ = considered(log_value[proposals], None if prices is None else prices[proposals], batch_size, seed=seed)
    candidates = proposals if few is None else proposals[few]
    view = PoolView(pool, state.view.labeled, state.view.labels, state.view.num_classes)
    predicted = None
    if judges.trust is not None:
        means = judges.mean(pool, space.project(pool)), judges.mean(view.labeled, space.labeled)
        predicted = (*means, judges.trust)
    shape = Shape.of(view, predicted)
    weights = torch.exp(log_weight - log_weight.amax())
    most = len(candidates) + max(len(candidates) // 2, DRAWN)
    if len(weights) > most:
        weights = drawn_by_value(weights, candidates, most, generator(seed, "compose", "evaluation"))
    width = bandwidth(shape.labeled) * math.exp(float(learned.net.log_bandwidth.detach()))
    picks = greedy_coverage(
        shape.rows(), weights, shape.labeled, batch_size, bandwidth=width, candidates=candidates,
        evaluation=weights.nonzero().flatten(), normalise=False, prices_N=prices,
        rng=generator(seed, "compose", "ties"),
    )[0]  # fmt: skip
    return np.asarray(rows[picks.cpu().numpy()])
