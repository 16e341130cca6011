"""The session's model, fitted on its labels: on all of them, or in turn on all but a part."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold
from torch import Tensor

from autoal.compute import resolve_device
from autoal.data import Rows
from autoal.data.labels import class_numbers, class_table
from autoal.errors import InvalidInput, shown
from autoal.models import ModelAdapter, SklearnModel, TorchModel, as_adapter, fit_model
from autoal.rng import derive_seed, isolated
from autoal.session.labels import Label
from autoal.session.state import Record, State

__all__ = ["FOLDS", "Known", "Trained", "check_can_fit", "held_out", "kept", "lacks_model", "trained"]

FOLDS = 5


@dataclass(frozen=True)
class Known:
    """Labeled rows, ascending, as a model is fitted on them."""

    rows: NDArray[np.int64]
    """(L,) rows of the pool."""
    values: Tensor
    """(L,) class numbers int64, or targets float64 in a regression."""
    table: NDArray[Any] | None
    """(C,) the user's label of each class number; None in a regression."""

    @staticmethod
    def of(labels: dict[int, Label], task: str, classes: Sequence[Label] | None = None) -> Known:
        """Of row -> label; `classes` names all there are, in the order of their numbers."""
        rows = np.asarray(sorted(labels), dtype=np.int64)
        given = np.asarray([labels[row] for row in rows.tolist()])
        if task == "regression":
            return Known(rows, torch.from_numpy(given.astype(np.float64)), None)
        table = class_table(given, classes=classes)
        return Known(rows, torch.from_numpy(class_numbers(given, table)), table)

    @property
    def num_classes(self) -> int:
        """0 in a regression."""
        return 0 if self.table is None else len(self.table)


@dataclass(frozen=True)
class Trained:
    """A model that was fitted on a part of what is known."""

    adapter: ModelAdapter
    known: Known

    def says(self, rows: Rows, indices: NDArray[np.int64]) -> Tensor:
        """(n, C) log probabilities, or (n,) targets, of rows[indices]."""
        at = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        predict = self.adapter.predict_log_probs if self.known.num_classes else self.adapter.predict_means
        return predict(rows, at)

    def says_of_codes(self) -> list[str]:
        """What the model predicts in place of the user's labels, where it refused those."""
        fitted = getattr(self.adapter, "fitted", None)
        codes = np.asarray(getattr(fitted, "classes_", [])).tolist()
        table = [] if self.known.table is None else self.known.table.tolist()
        if fitted is None or set(codes) <= set(table):
            return []
        present = [table[number] for number in np.unique(self.known.values.numpy())]
        names = present if len(codes) == len(present) else table
        pairs = ", ".join(f"{code} for {shown(name, 40)}" for code, name in zip(codes, names, strict=False))
        return [f"{type(fitted).__name__} refuses the labels as they are, and predicts {pairs}"]

    @property
    def has_probabilities(self) -> bool:
        """Whether the model says itself how probable its classes are; of a decision function they are made up."""
        return not isinstance(self.adapter, SklearnModel) or hasattr(self.adapter.fitted, "predict_proba")


def lacks_model(manifest: Record, state: State, model: Any) -> str | None:
    """What model is not there to be fitted; None where there is one."""
    described = manifest["model"]
    if model is None and described is not None:
        return f"the session's model, {described['what']}: Session.open(..., model=...)"
    if model is None and any(record["given"] for record in state.asks):
        return (
            "a model: the batches were asked for with outputs of one of your own; name it, "
            "Session.open(..., model=...), or fit yours on training_set()"
        )
    return None


def check_can_fit(manifest: Record, state: State, model: Any, folder: Path) -> None:
    """Raises InvalidInput where there is no model to fit, or too little to fit it on."""
    lacks = lacks_model(manifest, state, model)
    if lacks is not None:
        raise InvalidInput(f"{folder} needs {lacks}")
    labels = state.labels
    if manifest["task"] == "classification":
        if len(set(labels.values())) < 2:
            of = f", all {shown(state.example)}" if labels else ""
            raise InvalidInput(f"got {len(labels)} labels{of}; wanted some of two classes or more: label more first")
    elif len(labels) < 2:
        raise InvalidInput(f"got {len(labels)} labels; wanted two or more: label more first")


def trained(
    rows: Rows, known: Known, *, model: Any, device: Any, seed: int, part: NDArray[np.int64] | None = None
) -> Trained:
    """The model, fitted on what is known, or on the `part` of it (positions among the labels)."""
    at = torch.from_numpy(known.rows)
    values = known.values
    if part is not None:
        at, values = at[part], values[part]
    with isolated(seed):
        adapter = as_adapter(
            model, None, known.num_classes, rows=rows, n_labeled=len(at), device=resolve_device(device)
        )
        fit_model(adapter, rows, at, values, known.num_classes, seed=seed, classes=known.table)
    return Trained(adapter, known)


def held_out(rows: Rows, known: Known, *, model: Any, device: Any, seed: int, repeat: int = 0) -> tuple[Tensor, bool]:
    """(L, C) log probabilities, or (L,) targets, of each labeled row by a model that was fitted on four fifths of the
    labels without it, and whether they are probabilities of the model's own.

    Parts hold classes in like shares; `repeat` numbers divisions into parts.
    """
    number = ("folds",) if repeat == 0 else ("folds", repeat)
    fold_seed = derive_seed(seed, *number) % 2**31
    numbers = known.values.numpy()
    parts: Any
    if known.table is None:
        parts = KFold(FOLDS, shuffle=True, random_state=fold_seed).split(numbers)
    else:
        most = int(np.bincount(numbers).max())
        folds = StratifiedKFold(min(FOLDS, most), shuffle=True, random_state=fold_seed)
        with warnings.catch_warnings():  # of classes with fewer labels than folds; they are in what part they can be
            warnings.simplefilter("ignore", UserWarning)
            parts = list(folds.split(numbers, numbers))
    said: Tensor | None = None
    own = True
    for fold, (train, test) in enumerate(parts):
        turn = ("estimate", fold) if repeat == 0 else ("estimate", fold, repeat)
        model_of = trained(rows, known, model=model, device=device, seed=derive_seed(seed, *turn), part=train)
        with isolated(derive_seed(seed, *turn)):
            found = model_of.says(rows, known.rows[test])
        said = found.new_zeros(len(numbers), *found.shape[1:]) if said is None else said
        said[torch.from_numpy(test)] = found
        own = own and model_of.has_probabilities
    assert said is not None
    return said, own


def kept(model: Trained) -> Any:
    """What a user keeps of a fitted model: the estimator, the module, or the adapter where it is of another kind."""
    adapter = model.adapter
    if isinstance(adapter, SklearnModel):
        return adapter.fitted
    return adapter.standalone() if isinstance(adapter, TorchModel) else adapter
