"""Outputs computed elsewhere, instead of a model or beside one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from autoal.data.rows import Rows
from autoal.errors import AutoALWarning, InvalidInput, MissingOutput
from autoal.models.base import ModelAdapter, fit_model
from autoal.models.targets import check_labels, fields_of
from autoal.outputs import ModelOutputs

__all__ = ["OverlaidModel", "PrecomputedModel"]


class PrecomputedModel:
    """ModelAdapter of arrays with one row for each row of the data (labeled ones too), in the same order.

    `probs` (n, C) and `mc_probs` (n, K, C) are probabilities, `embeddings` (n, D) any numbers; in a regression, `means`
    (n,) and `mc_means` (n, K) are predicted targets. `fit` trains nothing.

    Raises InvalidInput for NaN, negative values, and rows that do not sum to 1 within 0.001 (logits, most likely);
    smaller differences are divided out.
    """

    def __init__(
        self, probs: Any = None, embeddings: Any = None, mc_probs: Any = None, means: Any = None, mc_means: Any = None
    ) -> None:
        fields = {
            "log_probs": None if probs is None else _log_probs(probs, "probs", 2),
            "mc_log_probs": None if mc_probs is None else _log_probs(mc_probs, "mc_probs", 3),
            "embeddings": None if embeddings is None else _numbers(embeddings, "embeddings", 2),
            "means": None if means is None else _numbers(means, "means", 1),
            "mc_means": None if mc_means is None else _numbers(mc_means, "mc_means", 2),
        }
        self._fields = {name: tensor for name, tensor in fields.items() if tensor is not None}
        if not self._fields:
            raise InvalidInput(
                "got no outputs; wanted probs (n, C), embeddings (n, D), mc_probs (n, K, C), means (n,) or "
                "mc_means (n, K)"
            )
        lengths = {name: len(tensor) for name, tensor in self._fields.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidInput(
                f"precomputed outputs differ in length: {lengths}; wanted one row for each row of X in each"
            )
        self._length = next(iter(lengths.values()))

    @property
    def provides(self) -> frozenset[str]:
        return frozenset(self._fields)

    def fit(self, rows: Rows, indices: Tensor, labels: Tensor, num_classes: int, *, seed: int) -> None:
        """Checks the length and the number of classes; trains nothing."""
        self._check_length(rows)
        check_labels(labels, num_classes)
        wrong = sorted(self.provides - fields_of(num_classes))
        if wrong:
            raise InvalidInput(
                f"got {', '.join(name.replace('log_', '') for name in wrong)} for "
                + ("a classification; means belong to a regression" if num_classes else "a regression; wanted means")
            )
        for name in ("log_probs", "mc_log_probs"):
            if name in self._fields and self._fields[name].shape[-1] != num_classes:
                raise InvalidInput(
                    f"{name.replace('log_', '')} has {self._fields[name].shape[-1]} columns, but there are "
                    f"{num_classes} classes; wanted one column per class, in sorted order of the labels or of classes="
                )

        if "log_probs" in self._fields and num_classes:
            _warn_of_order(self._fields["log_probs"][indices.cpu()], labels.cpu(), num_classes)

    def outputs(
        self, rows: Rows, indices: Tensor, needs: frozenset[str], *, seed: int, device: torch.device
    ) -> ModelOutputs:
        """The asked rows of the arrays, on `device`. Raises MissingOutput for an array that was not given."""
        self._check_length(rows)
        missing = sorted(needs - self.provides)
        if missing:
            raise MissingOutput(
                f"{', '.join(missing)} not among the precomputed outputs, only {', '.join(self._fields)}"
            )
        index = indices.cpu()
        return ModelOutputs(**{name: self._fields[name][index].to(device) for name in needs})

    def predict_log_probs(self, rows: Rows, indices: Tensor) -> Tensor:
        needs = frozenset({"log_probs"})
        return self.outputs(rows, indices, needs, seed=0, device=torch.device("cpu")).require("log_probs")

    def predict_means(self, rows: Rows, indices: Tensor) -> Tensor:
        needs = frozenset({"means"})
        return self.outputs(rows, indices, needs, seed=0, device=torch.device("cpu")).require("means")

    def _check_length(self, rows: Rows) -> None:
        if len(rows) != self._length:
            raise InvalidInput(
                f"precomputed outputs have {self._length} rows, the data {len(rows)}; wanted one for each row, labeled "
                "ones included (with X_pool: those of X, then those of X_pool)"
            )


class OverlaidModel:
    """A model with some of its outputs replaced by precomputed ones, for instance embeddings of a foundation model."""

    def __init__(self, model: ModelAdapter, overlay: PrecomputedModel) -> None:
        self.model, self.overlay = model, overlay

    @property
    def provides(self) -> frozenset[str]:
        return self.model.provides | self.overlay.provides

    def fit(
        self, rows: Rows, indices: Tensor, labels: Tensor, num_classes: int, *, seed: int, classes: Any = None
    ) -> None:
        self.overlay.fit(rows, indices, labels, num_classes, seed=seed)
        fit_model(self.model, rows, indices, labels, num_classes, seed=seed, classes=classes)

    def outputs(
        self, rows: Rows, indices: Tensor, needs: frozenset[str], *, seed: int, device: torch.device
    ) -> ModelOutputs:
        """Precomputed fields where there are such, the model's otherwise."""
        ready = needs & self.overlay.provides
        found = self.overlay.outputs(rows, indices, ready, seed=seed, device=device)
        if needs > ready:
            computed = self.model.outputs(rows, indices, needs - ready, seed=seed, device=device)
            fields = {name: computed.require(name) for name in needs - ready}
            found = ModelOutputs(**{name: found.require(name) for name in ready}, **fields)
        return found

    def predict_log_probs(self, rows: Rows, indices: Tensor) -> Tensor:
        """Of the precomputed probabilities where given, else of the model."""
        chosen = self.overlay if "log_probs" in self.overlay.provides else self.model
        return chosen.predict_log_probs(rows, indices)

    def predict_means(self, rows: Rows, indices: Tensor) -> Tensor:
        """The precomputed ones where given, else of the model."""
        chosen = self.overlay if "means" in self.overlay.provides else self.model
        return chosen.predict_means(rows, indices)


def _warn_of_order(log_probs: Tensor, labels: Tensor, num_classes: int) -> None:
    """Says so where the labels would fit far better with the columns in another order: by two thirds of the labels that
    are wrong now, eight of them at least."""
    if num_classes > 1000:  # an assignment takes C^3 steps
        return
    said, known = log_probs.argmax(1).numpy(), labels.numpy()
    pairs, counts = np.unique(known * num_classes + said, return_counts=True)
    met = np.zeros((num_classes, num_classes), dtype=np.int64)
    met.flat[pairs] = counts
    right = int(met.trace())
    # The first label that falls on another column says nothing: any one label would fit some order.
    worth = np.where(np.eye(num_classes, dtype=bool), met, np.maximum(met - 1, 0))
    best = int(worth[linear_sum_assignment(-worth)].sum())
    if best - right >= max(8, (len(known) - right) * 2 / 3):
        warnings.warn(
            f"the columns of probs agree with {right} of {len(known)} labels, and would with {best} in another order; "
            "they are read in sorted order of the labels, or in that of classes=: name it with classes=[...]",
            AutoALWarning,
            stacklevel=2,
        )


def _numbers(values: Any, name: str, ndim: int) -> Tensor:
    try:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{name} cannot be read as an array ({error}); wanted one row of numbers a point") from error
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        raise InvalidInput(f"got {name} with masked entries; compute them anew for those rows")
    if array.dtype.kind not in "biuf" or array.ndim != ndim or 0 in array.shape:
        wanted = {"probs": "(n, C)", "mc_probs": "(n, K, C)", "means": "(n,)", "mc_means": "(n, K)"}.get(name, "(n, D)")
        raise InvalidInput(
            f"got {name} of dtype {array.dtype} and shape {array.shape}; wanted numbers of shape {wanted}"
        )
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise InvalidInput(
            f"{name} holds NaN or infinite values in {int(bad.sum())} of {len(array)} rows (first "
            f"{np.flatnonzero(bad)[:5].tolist()}); compute them anew for those rows"
        )
    kept = np.float64 if name.endswith("probs") else np.float32
    if array.dtype.kind == "f" and np.abs(array).max() > np.finfo(kept).max:
        raise InvalidInput(f"{name} holds {np.abs(array).max():.3g}, too large for {kept.__name__}; scale it down")
    return torch.from_numpy(array.astype(kept))


def _log_probs(values: Any, name: str, ndim: int) -> Tensor:
    """float32 log probabilities, with nothing below 1e-12."""
    probs = _numbers(values, name, ndim)
    sums = probs.sum(dim=-1)
    off = (probs < 0).any(dim=-1) | ((sums - 1).abs() > 1e-3)
    if bool(off.any()):
        rows = off.reshape(len(off), -1).any(dim=1).nonzero().flatten()
        raise InvalidInput(
            f"{len(rows)} of {len(probs)} rows of {name} are no probabilities: values below 0 or a sum other than 1 "
            f"(row {int(rows[0])} sums to {float(sums[rows[0]].flatten()[0]):.4g}); for logits pass softmax(logits)"
        )
    floored = (probs / sums[..., None]).clamp_min(1e-12)
    return (floored / floored.sum(dim=-1, keepdim=True)).log().float()
