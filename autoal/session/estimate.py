"""How good the model is, by cross-validation on the labels there are: the only labels there are."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import KFold, StratifiedKFold

from autoal.compute import resolve_device
from autoal.data import Rows
from autoal.data.labels import class_numbers, class_table
from autoal.disk import write_atomic
from autoal.experiment.metrics import evaluate, evaluate_targets
from autoal.models import as_adapter, fit_model
from autoal.rng import derive_seed, isolated
from autoal.session.labels import Label

__all__ = ["FEWEST", "cross_validated"]

FOLDS = 5
FEWEST = 10
"""Below so many labels an estimate says nothing."""
REMEMBERED = 500
"""Estimates in the cache, the latest."""


def cross_validated(
    rows: Rows, moments: list[dict[int, Label]], task: str, *, model: Any, device: Any, seed: int, key: str, cache: Path
) -> pd.DataFrame:
    """One row for each of `moments` (row -> label) that has enough labels: labels, value, floor.

    `value` is the accuracy of the model, or the RMSE of a regression, over five folds; `floor` is that of always saying
    the commonest class, or the mean. What was computed before is read from `cache`; `key` says of which model.
    """
    known: dict[str, list[float]] = json.loads(cache.read_text(encoding="utf-8")) if cache.is_file() else {}
    found = []
    for labels in moments:
        if not _enough(labels, task):
            continue
        digest = hashlib.sha256(json.dumps([key, seed, sorted(labels.items())]).encode()).hexdigest()[:24]
        if digest not in known:
            known[digest] = list(_estimate(rows, labels, task, model, device, seed))
        known[digest] = known.pop(digest)  # what is asked for again goes last, what is not is forgotten first
        found.append((len(labels), *known[digest]))
    write_atomic(cache, json.dumps(dict(list(known.items())[-REMEMBERED:]), indent=1) + "\n")
    return pd.DataFrame(found, columns=["labels", "value", "floor"]).drop_duplicates("labels", keep="last")


def _enough(labels: dict[int, Label], task: str) -> bool:
    """Whether every training part has two classes."""
    if len(labels) < FEWEST:
        return False
    return task == "regression" or sum(count > 1 for count in Counter(labels.values()).values()) > 1


def _estimate(
    rows: Rows, labels: dict[int, Label], task: str, model: Any, device: Any, seed: int
) -> tuple[float, float]:
    indices = np.asarray(sorted(labels))
    given = np.asarray([labels[row] for row in indices.tolist()])
    fold_seed = derive_seed(seed, "folds") % 2**31
    parts: Any
    table = None
    if task == "regression":
        targets, classes = torch.from_numpy(given.astype(np.float64)), 0
        parts = KFold(FOLDS, shuffle=True, random_state=fold_seed).split(given)
        floor = float(given.std())
    else:
        table = class_table(given)
        numbers = class_numbers(given, table)
        targets, classes = torch.from_numpy(numbers), len(table)
        counts = np.bincount(numbers)
        folds = StratifiedKFold(min(FOLDS, int(counts.max())), shuffle=True, random_state=fold_seed)
        with warnings.catch_warnings():  # of classes with fewer labels than folds; they are in what part they can be
            warnings.simplefilter("ignore", UserWarning)
            parts = list(folds.split(numbers, numbers))
        floor = float(counts.max() / len(numbers))
    at = torch.from_numpy(indices)
    predicted: torch.Tensor | None = None
    for fold, (train, test) in enumerate(parts):
        with isolated(derive_seed(seed, "estimate", fold)):
            adapter = as_adapter(model, None, classes, rows=rows, n_labeled=len(train), device=resolve_device(device))
            own = derive_seed(seed, "estimate", fold)
            fit_model(adapter, rows, at[train], targets[train], classes, seed=own, classes=table)
            said = adapter.predict_log_probs(rows, at[test]) if classes else adapter.predict_means(rows, at[test])
        if predicted is None:
            predicted = said.new_zeros(len(at), *said.shape[1:])
        predicted[torch.from_numpy(test)] = said
    assert predicted is not None
    if classes:
        return evaluate(predicted, targets)["accuracy"], floor
    return evaluate_targets(predicted, targets)["rmse"], floor
