"""What every candidate promises. A new one joins with its line in `CANDIDATES`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autoal import compute
from autoal.errors import InvalidInput, MissingOutput, PoolExhausted
from autoal.outputs import OUTPUT_FIELDS, TASKS, ModelOutputs, PoolView
from autoal.strategies import CANDIDATES, Strategy
from tests import pretended
from tests.helpers import random_view, seeded

N, B = 40, 7
CASES = [(name, task) for name, made in CANDIDATES.items() for task in sorted(made.tasks)]
"""Each candidate in each of its tasks."""
UNCERTAINTY = [name for name, strategy in CANDIDATES.items() if strategy.family == "uncertainty"]
CERTAIN = [(name, task) for name, task in CASES if not CANDIDATES[name].draws]
CLASSIFIERS = [(name, task) for name, task in CASES if task == "classification"]


def label(case) -> str:
    return case[0] if case[1] == "classification" else f"{case[0]}-regression"


@pytest.fixture(params=CASES, ids=label)
def case(request) -> tuple[str, str]:
    return request.param


@pytest.fixture
def strategy(case) -> Strategy:
    return CANDIDATES[case[0]]()


@pytest.fixture
def view(case) -> PoolView:
    return random_view(N, task=case[1])


def only(cases):
    """The test runs in these cases alone; `case` brings the strategy and its view."""
    return pytest.mark.parametrize("case", cases, ids=label, indirect=True)


def take(view: PoolView, positions: torch.Tensor) -> PoolView:
    return replace(view, pool=view.pool[positions])


def flat(view: PoolView, fill: float = 0.0) -> PoolView:
    """Every pool point the same: even predictions, one embedding."""

    def even(name: str) -> torch.Tensor:
        rows = view.pool.require(name)
        return torch.zeros_like(rows).log_softmax(-1) if name.endswith("log_probs") else torch.full_like(rows, fill)

    return replace(view, pool=ModelOutputs(**{name: even(name) for name in view.pool.present()}))


def assert_valid(proposal, n: int, batch_size: int) -> None:
    assert proposal.indices.dtype == torch.int64
    assert proposal.indices.shape == (batch_size,)
    assert proposal.indices.unique().numel() == batch_size
    assert 0 <= int(proposal.indices.min()) and int(proposal.indices.max()) < n
    assert proposal.scores.shape == (n,)
    assert proposal.scores.dtype == torch.float64
    assert not proposal.scores.isnan().any()


def test_it_says_what_it_is(strategy):
    assert CANDIDATES[strategy.name] is type(strategy)
    assert strategy.family in {"uncertainty", "gradient", "diversity", "open set"}
    assert strategy.source and strategy.cost and type(strategy).__doc__
    assert isinstance(strategy.needs, frozenset) and strategy.needs <= OUTPUT_FIELDS
    assert strategy.tasks and strategy.tasks <= set(TASKS)
    assert type(strategy)(**strategy.get_params()).get_params() == strategy.get_params()


@pytest.mark.parametrize("batch_size", [1, B, N - 1, N])
def test_picks_are_distinct_positions(strategy, view, batch_size):
    assert_valid(strategy.propose(view, batch_size, seeded()), N, batch_size)


def test_picks_have_the_highest_scores_best_first(strategy, view):
    picks, scores = strategy.propose(view, B, seeded())
    assert (scores[picks].diff() <= 0).all()
    others = torch.ones(N, dtype=torch.bool).index_fill(0, picks, False)
    assert scores[others].max() <= scores[picks].min()


def test_a_task_it_is_not_defined_for_is_refused(strategy, view):
    for task in set(TASKS) - strategy.tasks:
        with pytest.raises(InvalidInput, match=f"not for {task}"):
            strategy.propose(random_view(N, task=task), B, seeded())


def test_more_than_the_pool_is_refused(strategy, view):
    with pytest.raises(PoolExhausted, match=f"{N + 1}.*{N} points"):
        strategy.propose(view, N + 1, seeded())


@pytest.mark.parametrize("batch_size", [0, -1])
def test_no_batch_is_refused(strategy, view, batch_size):
    with pytest.raises(InvalidInput, match="at least 1"):
        strategy.propose(view, batch_size, seeded())


def test_a_pool_of_one(strategy, view):
    assert strategy.propose(take(view, torch.tensor([3])), 1, seeded()).indices.tolist() == [0]


def test_same_seed_same_batch(strategy, view):
    first, second = (strategy.propose(view, B, seeded(3)) for _ in range(2))
    assert torch.equal(first.indices, second.indices)
    assert torch.equal(first.scores, second.scores)


def test_another_seed_another_batch_only_for_those_that_draw(strategy, view):
    batches = {tuple(strategy.propose(view, B, seeded(s)).indices.tolist()) for s in range(8)}
    assert (len(batches) > 1) == strategy.draws


def picks_of_all() -> dict[str, list[int]]:
    views = {task: random_view(N, task=task) for task in TASKS}
    return {label(c): CANDIDATES[c[0]]().propose(views[c[1]], B, seeded(5)).indices.tolist() for c in CASES}


def test_same_seed_same_batch_in_another_process():
    code = "import json; from tests.strategies.test_shared import picks_of_all; print(json.dumps(picks_of_all()))"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "17"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == picks_of_all()


def test_it_leaves_the_global_generator_alone(strategy, view):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    strategy.propose(view, B, seeded())
    assert torch.equal(before, torch.get_rng_state())


def test_it_reads_only_what_it_needs(strategy, view):
    kept = strategy.needs_for(view.task) or {"embeddings"}  # something must say how long the pool is
    less = replace(
        view,
        pool=ModelOutputs(**{name: view.pool.require(name) for name in kept}),
        labeled=ModelOutputs(**{name: view.labeled.require(name) for name in kept}),
    )
    assert torch.equal(strategy.propose(less, B, seeded()).indices, strategy.propose(view, B, seeded()).indices)


def test_it_says_what_is_missing(strategy, view):
    for name in strategy.needs_for(view.task):
        without = ModelOutputs(**{f: view.pool.require(f) for f in view.pool.present() - {name}})
        with pytest.raises(MissingOutput, match=name):
            strategy.propose(replace(view, pool=without), B, seeded())


def test_input_is_unchanged(strategy, view):
    fields = [(part, name) for part in ("pool", "labeled") for name in view.pool.present()]
    before = [getattr(view, part).require(name).clone() for part, name in fields]
    labels = view.labels.clone()
    strategy.propose(view, B, seeded())
    assert all(torch.equal(getattr(view, p).require(n), old) for (p, n), old in zip(fields, before, strict=True))
    assert torch.equal(view.labels, labels)


@pytest.mark.parametrize("budget", [1, 1000])
def test_chunk_size_does_not_matter(strategy, view, monkeypatch, budget):
    whole = strategy.propose(view, B, seeded())
    monkeypatch.setattr(compute, "CHUNK_BYTES", budget)
    parts = strategy.propose(view, B, seeded())
    assert torch.equal(whole.indices, parts.indices)
    torch.testing.assert_close(whole.scores, parts.scores)


@only(CERTAIN)
def test_shuffling_the_pool_shuffles_the_scores(strategy, view):
    order = torch.randperm(N, generator=seeded(1))
    straight, shuffled = (strategy.propose(v, B, seeded()) for v in (view, take(view, order)))
    torch.testing.assert_close(shuffled.scores, straight.scores[order])
    assert order[shuffled.indices].tolist() == straight.indices.tolist()


@only([(name, task) for name, task in CLASSIFIERS if not CANDIDATES[name].draws])
def test_renaming_classes_changes_nothing(strategy, view):
    order = torch.tensor([2, 0, 3, 1])  # old class of each new one

    def renamed(outputs: ModelOutputs) -> ModelOutputs:
        names = [f for f in strategy.needs if f.endswith(("log_probs", "logits"))]
        return replace(outputs, **{f: outputs.require(f)[..., order] for f in names})

    other = replace(view, pool=renamed(view.pool), labeled=renamed(view.labeled), labels=order.argsort()[view.labels])
    before, after = (strategy.propose(v, B, seeded()).scores for v in (view, other))
    torch.testing.assert_close(before, after)


@pytest.mark.parametrize("fill", [0.0, 2.5])
def test_equal_points_are_never_picked_twice_and_fall_in_random_order(strategy, view, fill):
    same = flat(view, fill)
    batches = [strategy.propose(same, N, seeded(s)) for s in range(3)]
    for batch in batches:
        assert_valid(batch, N, N)
    assert len({tuple(batch.indices.tolist()) for batch in batches}) == 3
    assert len({tuple(sorted(strategy.propose(same, 3, seeded(s)).indices.tolist())) for s in range(10)}) > 1


def test_copies_in_the_pool(strategy, view):
    copies = take(view, torch.arange(N) % 4)
    for batch_size in (2, 6, N):
        assert_valid(strategy.propose(copies, batch_size, seeded()), N, batch_size)


def test_copies_of_labeled_points(strategy, view):
    mirrored = replace(view, labeled=view.pool[torch.arange(N)], labels=view.labels[torch.arange(N) % 4])
    assert_valid(strategy.propose(mirrored, B, seeded()), N, B)


@only(CLASSIFIERS)
def test_saturated_predictions(strategy, view):
    def certain(rows: torch.Tensor) -> torch.Tensor:
        best = rows.argmax(dim=-1, keepdim=True)
        return torch.full_like(rows, -torch.inf).scatter(-1, best, 0.0)

    def saturated(outputs: ModelOutputs) -> ModelOutputs:
        names = [f for f in outputs.present() if f.endswith("log_probs")]
        return replace(outputs, **{f: certain(outputs.require(f)) for f in names})

    certain_view = replace(view, pool=saturated(view.pool), labeled=saturated(view.labeled))
    assert_valid(strategy.propose(certain_view, B, seeded()), N, B)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_embeddings_of_any_size(strategy, view, size):
    def scaled(outputs: ModelOutputs) -> ModelOutputs:
        names = outputs.present() & {"embeddings", "gradients", "deviations", "inputs", "logits", "means", "mc_means"}
        return replace(outputs, **{name: outputs.require(name) * size for name in names})

    extreme = replace(view, pool=scaled(view.pool), labeled=scaled(view.labeled))
    assert_valid(strategy.propose(extreme, B, seeded()), N, B)


@pytest.mark.parametrize("missing", [False, True])
def test_nothing_labeled(strategy, view, missing):
    empty = ModelOutputs() if missing else view.labeled[:0]
    start = replace(view, labeled=empty, labels=view.labels[:0])
    assert_valid(strategy.propose(start, B, seeded()), N, B)


@pytest.mark.parametrize("count", [1, 9])
def test_one_class_labeled(strategy, view, count):
    lone = replace(view, labeled=view.labeled[:count], labels=view.labels[2].repeat(count))
    assert_valid(strategy.propose(lone, B, seeded()), N, B)


@only(CLASSIFIERS)
def test_one_class_in_all(strategy):
    assert_valid(strategy.propose(random_view(N, classes=1), B, seeded()), N, B)


def test_nan_is_refused_with_its_row(strategy, view):
    for name in strategy.needs_for(view.task):
        rows = view.pool.require(name).clone()
        rows[11].view(-1)[0] = torch.nan
        with pytest.raises(InvalidInput, match=rf"{name}.*\[11\]"):
            strategy.propose(replace(view, pool=replace(view.pool, **{name: rows})), B, seeded())


@only(CERTAIN)
def test_single_and_double_precision_agree(strategy, case):
    single, double = (random_view(N, dtype=dtype, task=case[1]) for dtype in (torch.float32, torch.float64))
    picks = [strategy.propose(view, B, seeded()).indices.tolist() for view in (single, double)]
    assert picks[0] == picks[1]


def test_double_precision_input(strategy, case):
    assert_valid(strategy.propose(random_view(N, dtype=torch.float64, task=case[1]), B, seeded()), N, B)


def test_no_tensor_is_left_on_the_other_device(strategy, case):
    """On a device that is pretended; see tests/pretended.py."""
    view = random_view(N, dtype=torch.float64, task=case[1])
    with pretended.there():
        sides = {name: getattr(view, name).to(pretended.DEVICE) for name in ("pool", "labeled", "labels")}
        there = strategy.propose(replace(view, **sides), B, seeded()).indices
        assert there.device in (pretended.DEVICE, torch.device("cpu"))
        picks = there.cpu()
    assert torch.equal(strategy.propose(view, B, seeded()).indices, picks)


@pytest.mark.gpu
def test_same_picks_on_a_gpu(strategy, case):
    view = random_view(N, dtype=torch.float64, task=case[1])
    device = torch.device("cuda")
    moved = replace(view, pool=view.pool.to(device), labeled=view.labeled.to(device), labels=view.labels.to(device))
    here, there = (strategy.propose(v, B, seeded()) for v in (view, moved))
    assert there.indices.device.type == "cuda"
    assert torch.equal(here.indices, there.indices.cpu())
