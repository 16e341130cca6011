"""What AutoAL asks of a model: train on labeled rows, then say what it thinks of any rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from autoal.outputs import ModelOutputs

__all__ = ["ModelAdapter", "Progress", "fit_model"]

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""


@runtime_checkable
class ModelAdapter(Protocol):
    """One protocol for torch modules, scikit-learn estimators and precomputed outputs.

    `rows` are `autoal.data.Rows`: `take(indices)` gives float32 inputs (n, ...), `native(indices)` what scikit-learn
    takes.
    """

    @property
    def provides(self) -> frozenset[str]:
        """Fields of ModelOutputs it can give; where the task is known after `fit` only, those of both tasks before."""

    def fit(self, rows: Any, indices: Tensor, labels: Tensor, num_classes: int, *, seed: int) -> None:
        """Trains from scratch on rows[indices] with labels (n,) in 0..num_classes-1, as a function of `seed`.

        `num_classes` 0 is a regression: labels are targets, (n,) float64.
        """

    # `fit` may take `classes` (C,), the user's labels by class number, as a further keyword; see `fit_model`.

    def outputs(
        self, rows: Any, indices: Tensor, needs: frozenset[str], *, seed: int, device: torch.device
    ) -> ModelOutputs:
        """The fields in `needs` for rows[indices], computed in chunks, on `device`. Leaves the model as it was."""

    def predict_log_probs(self, rows: Any, indices: Tensor) -> Tensor:
        """(n, C) float32 log probabilities on the CPU, for evaluation."""

    def predict_means(self, rows: Any, indices: Tensor) -> Tensor:
        """(n,) float32 predicted targets on the CPU, for evaluation of a regression."""


def fit_model(
    model: ModelAdapter, rows: Any, indices: Tensor, labels: Tensor, num_classes: int, *, seed: int, classes: Any = None
) -> None:
    """`model.fit`, with the user's labels `classes` (C,) where the model asks for them."""
    named = {"classes": classes} if "classes" in inspect.signature(model.fit).parameters else {}
    model.fit(rows, indices, labels, num_classes, seed=seed, **named)
