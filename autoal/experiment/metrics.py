"""Numbers for one model and numbers for one learning curve. Nothing is rounded here."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from autoal.errors import InvalidInput

__all__ = [
    "CLASS_METRICS",
    "TARGET_METRICS",
    "AubcForm",
    "aubc",
    "better",
    "evaluate",
    "evaluate_targets",
    "labels_to_reach",
]

CLASS_METRICS = ("accuracy", "balanced_accuracy")
TARGET_METRICS = ("log_rmse", "rmse", "mae")
"""Of a regression; lower is better. Targets are in deviations of the training part."""

AubcForm = Literal["mean", "rebench", "rebench_head"]


def evaluate(log_probs: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy, balanced accuracy and mean log-loss of log_probs (n, C) against labels (n,).

    Balanced accuracy is the mean recall over the classes that occur in `labels`. Raises InvalidInput on NaN.
    """
    if bool(log_probs.isnan().any()):
        raise InvalidInput(
            f"predictions are NaN for {int(log_probs.isnan().any(1).sum())} of {len(labels)} evaluated points; "
            "check the inputs, or lower the learning rate of the model"
        )
    log_probs, labels = log_probs.double().cpu(), labels.cpu()
    hit = (log_probs.argmax(dim=1) == labels).double()
    size = torch.bincount(labels, minlength=log_probs.shape[1]).double()
    recall = torch.bincount(labels, weights=hit, minlength=log_probs.shape[1])[size > 0] / size[size > 0]
    # A probability of exactly 0 has an infinite loss, which no mean survives.
    loss = -log_probs.gather(1, labels[:, None]).clamp(min=float(np.log(1e-15)))
    return {"accuracy": float(hit.mean()), "balanced_accuracy": float(recall.mean()), "log_loss": float(loss.mean())}


def evaluate_targets(means: Tensor, targets: Tensor) -> dict[str, float]:
    """RMSE, its logarithm and the mean absolute error of means (n,) against targets (n,).

    Raises InvalidInput on NaN.
    """
    if not bool(means.isfinite().all()):
        raise InvalidInput(
            f"predictions are NaN or infinite for {int((~means.isfinite()).sum())} of {len(targets)} evaluated "
            "points; check the inputs, or lower the learning rate of the model"
        )
    error = means.double().cpu() - targets.double().cpu()
    rmse = float(error.square().mean().sqrt())
    return {"rmse": rmse, "mae": float(error.abs().mean()), "log_rmse": float(np.log(max(rmse, 1e-300)))}


def better(metric: str) -> int:
    """1 where a larger value is better, -1 where a smaller one is."""
    return -1 if metric in TARGET_METRICS else 1


def _curve(values: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    a, x = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if a.ndim != 1 or a.shape != x.shape or len(a) < 2:
        raise InvalidInput(f"got curves of shapes {a.shape} and {x.shape}; wanted two of one length, at least 2")
    if (np.diff(x) <= 0).any():
        raise InvalidInput("the numbers of labels along a curve must rise")
    return a, x


def aubc(values: ArrayLike, labels: ArrayLike, form: AubcForm = "mean") -> float:
    """Area under the budget curve of values (R + 1,) at labels (R + 1,) paid.

    `mean`: trapezoid divided by its width, the time-average of the curve; initial value included.
    `rebench`: initial value left out, divided by the number Q of queries, as in the tables of arXiv 2306.08954.
    `rebench_head`: the same divided by Q + 1, as in the present source of that benchmark.

    >>> aubc([0.0, 1.0], [10, 20])
    0.5
    """
    a, x = _curve(values, labels)
    width = x[-1] - x[0]
    if form == "mean":
        return float(np.trapezoid(a, x) / width)
    if form == "rebench":
        return float(np.trapezoid(a[1:], x[1:]) / width)
    if form == "rebench_head":
        return float(np.trapezoid(a[1:], x[1:]) / (width + 1))
    raise InvalidInput(f"got form={form!r}; wanted 'mean', 'rebench' or 'rebench_head'")


def labels_to_reach(values: ArrayLike, labels: ArrayLike, target: float) -> float:
    """Fewest labels at which a curve, of which more is better, is at `target` or above; NaN where it never is.

    Linear between its points.
    """
    a, x = _curve(values, labels)
    above = np.flatnonzero(a >= target)
    if len(above) == 0:
        return float("nan")
    i = int(above[0])
    if i == 0 or a[i] == a[i - 1]:
        return float(x[i])
    return float(x[i - 1] + (x[i] - x[i - 1]) * (target - a[i - 1]) / (a[i] - a[i - 1]))
