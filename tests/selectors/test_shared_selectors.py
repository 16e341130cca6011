"""What every selector promises that is not one candidate alone. A new one joins with its line in `SELECTORS`, one that
trains with its place in `TRAINED`: those play on rounds with inputs and a network, with little training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoal.errors import InvalidInput, MissingOutput, PoolExhausted
from autoal.experiment import cell as cell_module
from autoal.experiment.cell import Cell, run_cell
from autoal.experiment.config import SelectorSpec, parse_config
from autoal.experiment.store import RunStore
from autoal.outputs import ModelOutputs
from autoal.selectors.base import RoundState, Selection, Selector
from autoal.strategies import CANDIDATES
from baselines import SELECTORS, TRAINED, make_selector
from tests.baselines.rounds import short_options, waves
from tests.helpers import seeded
from tests.selectors.problems import QUICK
from tests.selectors.rounds import ModelWorld, World, copied, shuffled

PUBLISHED = {"first-uncertain", "voting-committee"}
"""They make published tables again, ties by position included, and have tests of their own."""
NAMES = [name for name in SELECTORS if name not in {*CANDIDATES, *PUBLISHED}]
OF_NETWORKS: dict[str, Any] = {selector.name: selector for selector in TRAINED}
"""They read inputs and a task model, and take no candidates."""
PLAIN = ["margin", "entropy", "kcenter"]
"""Candidates that draw nothing."""
OPTIONS: dict[str, dict[str, Any]] = {
    "autoal": {"search": {**QUICK, "episodes": 2, "outer_steps": 1}, "candidates": PLAIN},
    "autoal-paper": {"search": {"paper": {**QUICK["paper"], "warmup_epochs": 0}}, "candidates": PLAIN},
    "released_autoal": {"candidates": ["entropy", "kcenter", "bald"]},
    "refine": {"candidates": PLAIN, "proposals": 6, "rounds": 2},
    "oracle_step": {"candidates": PLAIN, "batches": 2},
    "lal": {"synthetic_tasks": 2, "points": 3, "trees": 10},
    "ceal": {"threshold": 1.0},
    **{name: short_options(selector) for name, selector in OF_NETWORKS.items() if name != "ceal"},
}
"""Where `candidates = PLAIN` is not what the tests want: settings that are over in a moment."""
OWN_CANDIDATES = {"tcm", "selectal"}
"""Those that take no candidates."""
BY_PLACE = {
    "selectal": "draws its random removals, and TypiClust its clusters, by position",
    "albl": "its arm that draws at random draws positions",
    "uniform": "deals slots of the batch to candidates, which may tie by position",
    "autoal": "draws its sample of the pool by position",
    "autoal-paper": "draws its sample of the pool by position",
}
"""Why shuffling the rows of the pool may move a pick. Ids ascend in a run, so there it cannot happen."""
N, B = 36, 5


def make(name: str) -> Selector:
    options = OPTIONS.get(name, {} if name in OWN_CANDIDATES else {"candidates": PLAIN})
    return make_selector(SelectorSpec(name=name, options=options))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def selector(name: str) -> Selector:
    return make(name)


def world_of(name: str, **options: Any) -> World:
    """Rounds that suit the selector: a regression only for what is defined for nothing else."""
    if name not in OF_NETWORKS:
        return World(**options)
    return ModelWorld(classes=3 if "classification" in OF_NETWORKS[name].tasks else 0, **options)


@pytest.fixture
def world(name: str) -> World:
    return world_of(name)


def answer(selector: Selector, world: World, state: RoundState, batch_size: int = B) -> Selection:
    return selector.select(world.served(selector, state), batch_size)


def assert_valid(found: Selection, n: int, batch_size: int) -> None:
    positions = found.positions.cpu()
    assert positions.dtype == torch.int64 and positions.shape == (batch_size,)
    assert positions.unique().numel() == batch_size
    assert 0 <= int(positions.min()) and int(positions.max()) < n
    assert found.utilities.shape == (n,) and not found.utilities.isnan().any()
    assert not found.weights or sum(found.weights.values()) == pytest.approx(1.0)
    assert all(len(votes) == batch_size for votes in found.votes.values())
    json.dumps(dict(found.diagnostics))


def test_it_says_what_it_is(name: str, selector: Selector) -> None:
    factory = SELECTORS[name]
    assert factory.source and factory.cost  # type: ignore[attr-defined]
    assert selector.name == name
    if getattr(selector, "cheats", False):
        assert name.startswith("oracle") and "Cheats" in str(type(selector).__doc__)
        assert "cheats" in factory.source and "cheats" in factory.cost  # type: ignore[attr-defined]


@pytest.mark.parametrize("batch_size", [1, B, N - 1, N])
def test_picks_are_distinct_positions(selector: Selector, world: World, batch_size: int) -> None:
    assert_valid(answer(selector, world, world.state(0, world.labeled), batch_size), N, batch_size)


def test_more_than_the_pool_is_refused(selector: Selector, world: World) -> None:
    with pytest.raises(PoolExhausted, match=f"{N + 1}.*{N} points"):
        answer(selector, world, world.state(0, world.labeled), N + 1)


def test_a_run_goes_on_until_the_pool_is_empty(selector: Selector, world: World) -> None:
    bought = world.play(selector, rounds=4, batch_size=9)
    assert sorted(one for batch in bought for one in batch) == (torch.arange(N) + 112).tolist()


def test_same_seed_same_run_and_reset_forgets(name: str, world: World) -> None:
    selector = make(name)
    first = world.play(selector)
    selector.reset()
    assert world.play(selector) == first == world.play(make(name))


def test_asked_twice_in_a_round_it_answers_the_same(selector: Selector, world: World) -> None:
    state = world.state(0, world.labeled)
    first = answer(selector, world, state)
    assert torch.equal(first.positions, answer(selector, world, state).positions)


def test_killed_between_two_rounds_it_goes_on_as_if_nothing_had_happened(name: str, world: World) -> None:
    def killed(round: int, selector: Selector) -> Selector:
        fresh = make(name)
        if round:
            fresh.load_state_dict(json.loads(json.dumps(selector.state_dict())))
        return fresh

    assert world.play(make(name), between=killed) == world.play(make(name))


def runs_of_all() -> dict[str, list[list[int]]]:
    return {name: world_of(name).play(make(name), rounds=3) for name in NAMES}


def test_same_seed_same_run_in_another_process() -> None:
    code = (
        "import json; from tests.selectors.test_shared_selectors import runs_of_all; print(json.dumps(runs_of_all()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "17"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == runs_of_all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BY_PLACE])
def test_the_order_of_the_pool_does_not_matter(name: str) -> None:
    world = world_of(name)
    state = world.state(3, world.labeled)  # round 3, where all rules have settled
    order = torch.randperm(N, generator=seeded())
    straight = answer(make(name), world, state)
    moved = answer(make(name), world, shuffled(state, order))
    assert state.pool_ids[straight.positions].tolist() == state.pool_ids[order][moved.positions].tolist()


def test_input_is_unchanged(selector: Selector, world: World) -> None:
    state = world.state(0, world.labeled)
    held = [state.view.pool, state.view.labeled]
    before = [side.map(torch.clone) for side in held]
    answer(selector, world, state)
    for side, old in zip(held, before, strict=True):
        assert all(torch.equal(side.require(field), old.require(field)) for field in side.present())


def test_it_leaves_the_global_generator_alone(selector: Selector, world: World) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    answer(selector, world, world.state(0, world.labeled))
    assert torch.equal(before, torch.get_rng_state())


def test_labels_of_one_class(selector: Selector, world: World) -> None:
    world.truth[:] = 1
    assert [len(batch) for batch in world.play(selector, rounds=2)] == [B, B]


def test_a_label_of_each_class_and_no_more(name: str, selector: Selector) -> None:
    world = world_of(name, labeled=3)
    assert [len(batch) for batch in world.play(selector, rounds=2)] == [B, B]


def test_points_the_annotator_rejects(selector: Selector, world: World) -> None:
    labeled = world.labeled.clone()
    first = answer(selector, world, world.state(0, labeled)).positions
    left = torch.ones(N, dtype=torch.bool).index_fill(0, first.cpu(), False)
    state = world.state(1, labeled)  # all of the batch was rejected: no label came, and the points are gone
    state = replace(
        state,
        view=replace(state.view, pool=state.view.pool[left], rejected=state.view.pool[~left]),
        pool_ids=state.pool_ids[left],
        pool_indices=state.pool_indices[left],  # type: ignore[index]
    )
    assert_valid(answer(selector, world, state), N - B, B)


def test_equal_points_and_copies_are_never_picked_twice(selector: Selector, world: World) -> None:
    state = world.state(0, world.labeled)
    for rows in (torch.zeros(N, dtype=torch.int64), torch.arange(N) % 4):
        same = copied(state, rows)
        for batch_size in (B, N):
            selector.reset()
            assert_valid(answer(selector, world, same, batch_size), N, batch_size)


def test_a_round_that_gives_nothing_but_lengths_is_refused(selector: Selector, world: World) -> None:
    if selector.name.startswith("autoal"):
        pytest.skip("it makes what it lacks from embeddings")
    state = world.state(0, world.labeled)

    def poor(side: ModelOutputs) -> ModelOutputs:
        return ModelOutputs(gradient_norms=side.require("embeddings")[:, :2])

    view = replace(state.view, pool=poor(state.view.pool), labeled=poor(state.view.labeled))
    state = replace(state, view=view, inputs=None, model=None)
    with pytest.raises(InvalidInput if selector.name in OF_NETWORKS else MissingOutput):
        answer(selector, world, state)


def test_a_round_state_holds_no_label_of_the_pool() -> None:
    assert {field.name for field in fields(RoundState)} == {
        "view", "round", "seed", "pool_ids", "labeled_ids", "inputs", "pool_indices", "labeled_indices", "validation",
        "later", "model", "oracle",
    }  # fmt: skip


def tiny_config(name: str, folder: Path) -> dict[str, Any]:
    """One round of iris, or of a sine for what is defined for a regression alone; a network where one is read."""
    config: dict[str, Any] = {
        "name": "tiny", "datasets": ["iris"], "selectors": ["random"], "seeds": 1, "initial": {"per_class": 3},
        "batch_size": 10, "rounds": 1, "max_pool": 60, "device": "cpu",
    }  # fmt: skip
    if name in OF_NETWORKS:
        config["model"] = {"name": "mlp", "hidden": [8], "epochs": 1, "min_steps": 6}
        if "classification" not in OF_NETWORKS[name].tasks:
            x, y = waves(90)
            np.savez(folder / "waves.npz", X=x.numpy(), y=y.numpy())
            config |= {"datasets": [str(folder / "waves.npz")], "initial": 9, "metric": "log_rmse"}
    return config


def test_labels_of_the_pool_move_nothing_but_those_that_cheat(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_config(tiny_config(name, tmp_path))
    selector, original, states = make(name), cell_module.make_task, []

    def other_labels(*arguments: Any) -> Any:
        task = original(*arguments)
        labels = task.labels.roll(7).contiguous()
        labels[task.initial] = task.labels[task.initial]
        return replace(task, labels=labels)

    def made(spec: SelectorSpec) -> Selector:
        made = make(name)
        select = made.select
        made.select = lambda state, b: (states.append(state), select(state, b))[1]  # type: ignore[method-assign]
        return made

    cell = Cell(config.datasets[0], config.selectors[0], 0)
    picked = []
    for folder, task in (("true", original), ("moved", other_labels)):
        monkeypatch.setattr(cell_module, "make_task", task)
        (run := RunStore(tmp_path / folder)).make()
        store = run.cell(cell.key)
        run_cell(config, cell, made, store)
        picked.append(json.loads(store.path.read_text().splitlines()[0])["picked"])
    cheats = getattr(selector, "cheats", False)
    assert all((state.oracle is not None) == cheats for state in states)
    assert (picked[0] == picked[1]) or cheats
