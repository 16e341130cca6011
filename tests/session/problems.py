"""A small pool, quick sessions on it, and the annotator who knows all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from autoal import Session
from tests.selectors.problems import QUICK, blobs

__all__ = ["NAMES", "PEOPLE", "X", "again", "begun", "model", "named", "truth"]

X, _, _classes = blobs(n=60)
NAMES = [f"p{row:02d}" for row in range(len(X))]
PEOPLE = np.asarray(["oak", "elm", "ash"])
truth = PEOPLE[_classes]


def model() -> Any:
    return LogisticRegression()


def begun(folder: Path, **arguments: Any) -> Session:
    """A session without labels, ids p00 to p59, unless said otherwise."""
    chosen = {"candidates": ["margin", "kcenter"], "model": model(), "search": QUICK, "random_state": 3, "ids": NAMES}
    return Session.create(folder, **{"X": X, **chosen, **arguments})


def again(folder: Path, **arguments: Any) -> Session:
    """The same, opened by what might be another process."""
    return Session.open(folder, **{"model": model(), **arguments})


def named(ids: Any) -> list[str]:
    """True labels of points by id."""
    return [str(truth[NAMES.index(name)]) for name in ids]
