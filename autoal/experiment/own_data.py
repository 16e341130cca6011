"""A comparison on one's own data, without a config file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from autoal.errors import AutoALWarning, InvalidInput
from autoal.experiment.config import ExperimentConfig, parse_config

__all__ = ["DATA_FILES", "config_of_data"]

DATA_FILES = (".npz", ".csv", ".tsv", ".parquet")
_CLASSES = ("autoal", "uniform", "random", "margin", "entropy", "badge", "kcenter", "typiclust", "uncertainty_herding")
_TARGETS = ("autoal", "uniform", "random", "bald", "lcmd", "kmeans", "kcenter", "typiclust", "maxherding")
FEWEST = 60
"""Rows below which there is no room for first labels, a pool and a test part."""


def config_of_data(
    path: str | Path, target: str | None = None, selectors: Sequence[str] | None = None
) -> ExperimentConfig:
    """AutoAL, both floors and the usual strategies (or `selectors`) on a data file, or a folder of images by class.

    Five seeds; logistic regression or ridge regression, a small convolutional network for images; batches of a
    fortieth of the training part, 10 at most. Raises what `load_dataset` raises, InvalidInput below 60 labels, for one
    class, and for a column that holds a class for nearly every row.
    """
    import numpy as np  # here, as what follows: a wrong config should be refused before torch is there

    from autoal.data import load_dataset

    path = Path(path)
    data = load_dataset(path, label=target)
    if len(data) < FEWEST:
        raise InvalidInput(f"{str(path)!r} has {len(data)} rows; wanted {FEWEST} or more for a comparison")
    regression = data.classes is None
    missing = np.isnan(data.y) if regression else np.asarray(data.y) < 0
    labels = len(data) - int(missing.sum())
    if labels < FEWEST:
        raise InvalidInput(
            f"{str(path)!r} has {labels} labels in {len(data)} rows; wanted {FEWEST} or more to compare on"
        )
    if data.classes is not None and not 2 <= len(data.classes) <= labels // 4:
        held = "one class only" if len(data.classes) < 2 else f"{len(data.classes)} different values in {labels} labels"
        raise InvalidInput(
            f"the labels of {str(path)!r} hold {held}; wanted two classes or more, with four labels of each or more on "
            "average: is it the right column?"
        )
    if labels < len(data):
        warnings.warn(
            f"{len(data) - labels} of {len(data)} rows of {str(path)!r} have no label, and take no part: a comparison "
            "plays the labelling over again, and needs to know each answer",
            AutoALWarning,
            stacklevel=2,
        )
    pictures = isinstance(data.X, np.ndarray) and data.X.ndim > 2
    training = round(0.6 * labels)
    batch = min(10, max(1, training // 40))
    classes = 0 if data.classes is None else len(data.classes)
    first = min(20, training // 4) if regression else 2 * classes
    return parse_config(
        {
            "name": path.stem,
            "datasets": [{"name": str(path), "target": target}],
            "selectors": list(selectors or (_TARGETS if regression else _CLASSES)),
            "seeds": 5,
            "metric": "log_rmse" if regression else "accuracy",
            "initial": {"total": first} if regression else {"per_class": 2},
            "batch_size": batch,
            "rounds": max(1, min(15, (training - first) // (2 * batch))),
            "max_pool": 2000,
            "max_test": 5000,
            "model": "small_cnn" if pictures else "ridge" if regression else "logistic_regression",
        },
        where=str(path),
    )
