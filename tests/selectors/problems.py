"""Small problems that users bring, and a search that is over in a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from autoal import AutoAL

QUICK: dict[str, Any] = {
    "episodes": 4,
    "outer_steps": 3,
    "engine": "func",
    "gate_labels_per_class": 2,
    "paper": {"warmup_epochs": 1, "epochs": 3, "network": "small"},
}
"""Enough of a search to go through all of its code."""


def blobs(n: int = 80, labeled: int = 27, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (n, 4), y (n,) with -1 where unlabeled, and the true classes 0..2."""
    made = np.random.RandomState(seed)
    truth = np.arange(n) % 3
    X = made.randn(n, 4) + 1.5 * np.eye(3, 4)[truth]
    y = np.full(n, -1)
    first = made.permutation(n)[:labeled]
    y[first] = truth[first]
    return X, y, truth


def digits(n: int = 200, labeled: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of handwritten digits, X (n, 64)."""
    X, truth = load_digits(return_X_y=True)
    y = np.full(n, -1)
    y[:labeled] = truth[:labeled]
    return X[:n] / 16, y, truth[:n]


def auto(candidates: Any = "fast", **arguments: Any) -> AutoAL:
    """A quick selector with logistic regression and seed 0, unless said otherwise."""
    chosen = {"model": LogisticRegression(), "random_state": 0, "search": QUICK, **arguments}
    return AutoAL(candidates, **chosen)
