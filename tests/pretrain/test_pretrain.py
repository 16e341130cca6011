"""What is taught beforehand: lessons without leaks, a step that learns, and a file that is read back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autoal.errors import ConfigError, DataMissing, InvalidInput
from autoal.experiment.config import read_config
from autoal.pretrain import Recipe, landscape, pretrain, read_recipe
from autoal.pretrain.learn import Lessons, collect, mean_gain, train
from autoal.pretrain.lessons import lessons_of
from autoal.pretrain.synthetic import synthetic_task
from autoal.search.context import NUM_CONTEXT
from autoal.search.prior import anchor_net, read_prior
from autoal.selectors import AutoAL
from autoal.settings import SearchConfig
from autoal.strategies import resolve_candidates

CONFIGS = Path(__file__).parents[2] / "configs"
CANDIDATES = ("margin", "random", "kcenter")
TINY = Recipe(
    synthetic=2, candidates=CANDIDATES, rounds=2, every=1, pool_size=60, max_pool=80, epochs=3, batch_size=5
)  # fmt: skip


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    return collect(TINY)


def test_a_synthetic_task_starts_with_a_label_of_each_class_and_is_a_function_of_its_seed():
    for seed in range(8):
        task, again = synthetic_task(seed, 200), synthetic_task(seed, 200)
        assert torch.equal(task.labels, again.labels)
        assert torch.equal(task.rows.take(task.ids), again.rows.take(task.ids))
        assert len(task.labels) == 200 and len(task.holdout_labels) == 1000
        assert set(task.labels[task.initial].tolist()) == set(task.labels.tolist())
        assert len(task.initial) >= 10


def test_what_searchnet_sees_in_a_lesson_holds_no_label_of_the_pool():
    task = synthetic_task(3, 120)
    other = task.labels.roll(1).clone()
    other[task.initial] = task.labels[task.initial]
    both = [
        next(
            lessons_of(
                each, resolve_candidates(list(CANDIDATES)), SearchConfig(), seed=0, rounds=1, every=1, batch_size=5,
                pool_size=80,
            )
        )
        for each in (task, replace(task, labels=other))
    ]  # fmt: skip
    for name in ("ranks", "uncertainty", "features", "squared_distances", "context"):
        assert torch.equal(getattr(both[0], name), getattr(both[1], name)), name
    assert not torch.equal(both[0].problem.pool_labels, both[1].problem.pool_labels)
    assert both[0].context.shape == (NUM_CONTEXT,)


def test_training_lowers_the_loss_after_a_batch(lessons: Lessons):
    recipe = TINY.model_copy(update={"epochs": 8, "learning_rate": 0.1, "final_temperature": 1.0})
    net, history = train(lessons, recipe)
    assert history[-1] < history[0]
    untaught = anchor_net(CANDIDATES, SearchConfig())
    assert mean_gain(untaught, untaught, lessons.all(), "itself").mean == 0.0
    assert all(bool(value.isfinite().all()) for value in net.parameters())


def test_the_same_recipe_teaches_the_same(lessons: Lessons):
    nets = [train(lessons, TINY)[0] for _ in range(2)]
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_switch_turned_off_leaves_its_numbers_at_the_start(lessons: Lessons):
    net, _ = train(lessons, TINY.model_copy(update={"network": False, "context": False}))
    assert not net.second.weight.any() and not net.context_weights.any()
    assert bool(net.logits.any())


def test_the_file_is_a_prior_that_autoal_starts_from(tmp_path: Path):
    gains = pretrain(TINY, tmp_path / "prior.json")
    assert [gain.lessons for gain in gains] == ["taught on"] and gains[0].count == 4
    logits, shared = read_prior(str(tmp_path / "prior.json"))
    assert set(logits) == set(CANDIDATES) and any(shared["second.weight"])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4))
    y = np.full(120, -1)
    y[:20] = x[:20, 0] > 0
    selector = AutoAL([*CANDIDATES, "entropy"], search={"prior": str(tmp_path / "prior.json")}, random_state=0)
    query = selector.fit_query(x, y, batch_size=5)
    assert len(set(query.indices.tolist())) == 5
    # A candidate that the file does not name starts at the mean of those it does.
    net = anchor_net([*CANDIDATES, "entropy"], SearchConfig(prior=str(tmp_path / "prior.json")))
    assert float(net.logits[3].detach()) == pytest.approx(sum(logits.values()) / 3, abs=1e-6)


def test_a_file_that_is_no_prior_is_refused(tmp_path: Path):
    with pytest.raises(DataMissing, match="autoal pretrain"):
        read_prior(str(tmp_path / "nowhere.json"))
    (tmp_path / "other.json").write_text(json.dumps({"logits": {"margin": 0.0}, "shared": {"exponent": [0.0]}}))
    with pytest.raises(InvalidInput, match="autoal pretrain"):
        read_prior(str(tmp_path / "other.json"))


def test_a_wrong_recipe_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot leave out 'iris'"):
        pretrain(TINY, tmp_path / "prior.json", leave_out=["iris"])
    (tmp_path / "recipe.toml").write_text("epochs = -1\n")
    with pytest.raises(ConfigError, match="epochs"):
        read_recipe(tmp_path / "recipe.toml")


def test_the_recipe_that_comes_along_is_taught_on_development_sets_alone():
    development = {spec.name for spec in read_config(CONFIGS / "dev.toml").datasets}
    for path in (CONFIGS / "pretrain").glob("*.toml"):
        assert {spec.name for spec in read_recipe(path).datasets} <= development


def test_the_landscape_moves_one_number_at_a_time(lessons: Lessons):
    found = {gain.lessons: gain for gain in landscape(lessons, every=2)}
    assert {"exponent -0.5", "log_bandwidth +1", "feature_weights 3 +0.4", "margin +1"} <= set(found)
    assert len(found) == 2 + 3 + 2 * 4 + len(CANDIDATES) and all(gain.count == 2 for gain in found.values())
