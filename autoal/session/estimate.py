"""How good the model is, by cross-validation on the labels there are: the only labels there are."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoal.data import Rows
from autoal.disk import digest, dumps, loads, write_atomic
from autoal.experiment.metrics import evaluate, evaluate_targets
from autoal.session.fitting import Known, held_out
from autoal.session.labels import Label

__all__ = ["FEWEST", "cross_validated"]

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
    known, found = _remembered(cache), []
    for labels in moments:
        if not _enough(labels, task):
            continue
        key_of = hashlib.sha256(json.dumps([key, seed, sorted(labels.items())]).encode()).hexdigest()[:24]
        if key_of not in known:
            known[key_of] = list(_estimate(rows, labels, task, model, device, seed))
        known[key_of] = known.pop(key_of)  # what is asked for again goes last, what is not is forgotten first
        found.append((len(labels), *known[key_of]))
    known = dict(list(known.items())[-REMEMBERED:])
    with contextlib.suppress(OSError):  # a folder that is only looked at: it is computed again next time
        write_atomic(cache, json.dumps({"known": known, "digest": digest(dumps(known).encode())}, indent=1) + "\n")
    return pd.DataFrame(found, columns=["labels", "value", "floor"]).drop_duplicates("labels", keep="last")


def _remembered(cache: Path) -> dict[str, list[float]]:
    """What was computed before; nothing where the file is not as it was written."""
    try:
        content = loads(cache.read_bytes())
        known: dict[str, list[float]] = content["known"]
        return known if content["digest"] == digest(dumps(known).encode()) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _enough(labels: dict[int, Label], task: str) -> bool:
    """Whether every training part has two classes."""
    if len(labels) < FEWEST:
        return False
    return task == "regression" or sum(count > 1 for count in Counter(labels.values()).values()) > 1


def _estimate(
    rows: Rows, labels: dict[int, Label], task: str, model: Any, device: Any, seed: int
) -> tuple[float, float]:
    known = Known.of(labels, task)
    predicted, _ = held_out(rows, known, model=model, device=device, seed=seed)
    if known.table is None:
        return evaluate_targets(predicted, known.values)["rmse"], float(known.values.numpy().std())
    counts = np.bincount(known.values.numpy())
    return evaluate(predicted, known.values)["accuracy"], float(counts.max() / len(known.rows))
