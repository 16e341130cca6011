"""The configs that come with the package: they are read, and what is for validation is apart from what is tuned on."""

import os
from pathlib import Path

import numpy as np
import pytest

from autoal.data import load_dataset
from autoal.experiment.config import read_config
from autoal.experiment.plugins import make_selector
from autoal.experiment.task import make_task
from autoal.experiment.task_models import check_model

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
TUNED = ("dev", "dev-regression", "study")
NEVER_TUNED = ("validation", "validation-regression")
DATA = os.environ.get("AUTOAL_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="AUTOAL_DATA does not name the folder with real data sets")


def names(*stems):
    folder = CONFIGS[0].parent
    return sorted({spec.name for stem in stems for spec in read_config(folder / f"{stem}.toml").datasets})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_read_and_names_what_there_is(path):
    config = read_config(path)
    for spec in config.selectors:
        make_selector(spec)
    for scenario in config.datasets:
        check_model(config.of(scenario).model)


def test_the_development_suite_covers_every_regime():
    config = read_config(CONFIGS[0].parent / "dev.toml")
    assert {spec.regime for spec in config.datasets} == {"standard", "low", "imbalanced", "ood", "redundant", "noisy"}
    assert len(config.datasets) >= 12 and any("text" in spec.name for spec in config.datasets)


def test_no_set_is_both_tuned_on_and_for_validation():
    tuned, kept = names(*TUNED), names(*NEVER_TUNED)
    assert not set(tuned) & set(kept)
    assert not {name.split("/")[-1] for name in tuned} & {name.split("/")[-1] for name in kept}
    assert not any("optdigits" in name or name.startswith("zhan2021") for name in kept)


@needs_data
@pytest.mark.slow
def test_no_row_of_a_validation_set_is_in_a_set_that_is_tuned_on():
    def rows(name):
        X = load_dataset(name).X
        return {np.round(row, 4).tobytes() for row in np.asarray(X, dtype=np.float32)} if X.ndim == 2 else set()

    tuned = {name: rows(name) for name in names(*TUNED)}
    for name in names(*NEVER_TUNED):
        own = rows(name)
        for other, known in tuned.items():
            assert len(own & known) <= 0.01 * len(own), f"{name} shares rows with {other}"
    assert len(rows("classification/optdigits") & tuned["digits"]) > 1000  # so the check sees a copy


@needs_data
@pytest.mark.parametrize("stem", ["dev", "dev-regression"])
def test_every_scenario_of_the_development_suites_makes_a_task(stem):
    config = read_config(CONFIGS[0].parent / f"{stem}.toml")
    for scenario in config.datasets:
        task = make_task(config, scenario, 0)
        assert len(task.labels) > 100 and len(task.holdout_labels) > 100
