"""A comparison on a data set with targets, end to end."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from autoal.errors import ConfigError, InvalidInput
from autoal.experiment.config import ExperimentConfig, parse_config
from autoal.experiment.metrics import better, evaluate_targets
from autoal.experiment.runner import run
from autoal.experiment.task import make_task
from autoal.report.tables import overall_table, read_journal
from baselines import make_selector


@pytest.fixture
def waves(tmp_path: Path) -> str:
    """300 points of a noisy sine of the first of three inputs, as a file; one target is -1 exactly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    y = 10 + 3 * np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=300)
    y[0] = -1.0
    path = tmp_path / "waves.npz"
    np.savez(path, X=X, y=y)
    return str(path)


def config(data: str, **values) -> ExperimentConfig:
    base = {
        "name": "waves",
        "datasets": [{"name": data, "label": "waves"}],
        "selectors": ["kcenter", "random"],
        "model": {"name": "ridge"},
        "metric": "log_rmse",
        "initial": 20,
        "batch_size": 10,
        "rounds": 2,
        "seeds": 2,
    }
    return parse_config({**base, **values})


def test_errors_by_hand():
    found = evaluate_targets(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    assert found == pytest.approx({"rmse": math.sqrt(2), "mae": 1.0, "log_rmse": 0.5 * math.log(2)})
    with pytest.raises(InvalidInput, match="1 of 2"):
        evaluate_targets(torch.tensor([1.0, torch.nan]), torch.zeros(2))


def test_only_errors_are_better_when_small():
    assert [better(metric) for metric in ("accuracy", "balanced_accuracy", "rmse", "log_rmse", "mae")] == [
        1, 1, -1, -1, -1,
    ]  # fmt: skip


def test_targets_are_standardised_by_the_training_part_and_none_is_rejected(waves):
    task = make_task(config(waves), config(waves).datasets[0], 0)
    assert task.num_classes == 0 and task.labels.dtype == torch.float64
    assert float(task.labels.mean()) == pytest.approx(0, abs=1e-9)
    assert float(task.labels.std(correction=0)) == pytest.approx(1)
    assert len(task.initial) == 20 and not task.rejected.any()
    assert len(task.holdout_labels) == 120


def test_seeds_draw_other_splits_and_the_same_seed_the_same(waves):
    first, again, other = (make_task(config(waves), config(waves).datasets[0], seed) for seed in (0, 0, 1))
    assert torch.equal(first.ids, again.ids) and torch.equal(first.initial, again.initial)
    assert not torch.equal(first.ids, other.ids)


def test_a_run_ends_in_a_table(waves, tmp_path):
    run(config(waves), make_selector, tmp_path / "run")
    journal = read_journal(tmp_path / "run")
    assert set(journal["metric"]) == {"log_rmse"} and len(journal) == 2 * 2 * 3
    table = overall_table(journal, "random")
    assert set(table["selector"]) == {"kcenter", "random"} and table["aubc"].notna().all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"metric": "accuracy"}, "log_rmse"),
        ({"initial": {"per_class": 2}}, "initial = N"),
        ({"initial": 290}, "lower `initial`"),
    ],
)
def test_what_means_nothing_for_targets_is_refused(waves, values, said):
    wrong = config(waves, **values)
    with pytest.raises(ConfigError, match=said):
        make_task(wrong, wrong.datasets[0], 0)


def test_errors_of_classes_are_refused():
    wrong = config("iris", metric="rmse", datasets=["iris"])
    with pytest.raises(ConfigError, match="iris has classes"):
        make_task(wrong, wrong.datasets[0], 0)
