"""From the pool to the state of a round: the model is trained, and says what it thinks of every point."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoal.compute import resolve_device
from autoal.data import Pool, as_rows
from autoal.data.faces import EncodedRows, Faces
from autoal.data.labels import label_array, target_array
from autoal.data.notes import Quiet
from autoal.errors import InvalidInput, shown
from autoal.models import ModelAdapter, PrecomputedModel, Progress, as_adapter, fit_model
from autoal.outputs import ModelOutputs, PoolView, Validation, check_outputs
from autoal.rng import derive_seed
from autoal.selectors.base import Later, RoundState

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A round before anything is chosen."""

    state: RoundState
    model: ModelAdapter
    """Trained on the labeled points."""
    notes: list[str]
    """What was inferred from rows, labels and model, one sentence each."""
    seconds: dict[str, float]


def prepare(
    pool: Pool,
    model: Any,
    needs: frozenset[str],
    *,
    later: frozenset[str] = frozenset(),
    seed: int,
    device: str | torch.device,
    embeddings: Any = None,
    probs: Any = None,
    X_val: Any = None,
    y_val: Any = None,
    report: Progress,
    progress: bool = False,
) -> Prepared:
    """Trains the model and computes its outputs, each field once and only if it is among `needs`; those of `later`
    are computed when somebody reads them.

    Raises InvalidInput where model, rows, labels and precomputed outputs do not fit together.
    """
    device = resolve_device(device)
    began = perf_counter()
    report("train the model", 0, 1)
    given = {name: values for name, values in (("probs", probs), ("embeddings", embeddings)) if values is not None}
    adapter: ModelAdapter
    if given and model is None:
        adapter = PrecomputedModel(**given)
    else:
        adapter = as_adapter(
            model, None, pool.num_classes, rows=pool.rows, n_labeled=len(pool.labeled), device=device,
            progress=report if progress else None, **given,
        )  # fmt: skip
    if X_val is not None and (given or isinstance(adapter, PrecomputedModel)):
        raise InvalidInput(
            "got X_val with precomputed outputs, which have no rows for it; wanted a model alone, to say what it "
            "thinks of X_val"
        )
    fit_model(
        adapter, pool.rows, pool.labeled, pool.labels.float() if pool.single else pool.labels, pool.num_classes,
        seed=derive_seed(seed, "model"), classes=pool.classes,
    )  # fmt: skip
    seconds = {"train": perf_counter() - began}
    notes = [*pool.notes, *getattr(adapter, "notes", [])]
    if model is None and not isinstance(adapter, PrecomputedModel):
        notes.append(Quiet(f"no model was given, so it is {_named(adapter)}"))
    began = perf_counter()
    report("model outputs", 0, 1)
    asked = [("pool", pool.unlabeled), ("labeled points", pool.labeled)]
    if len(pool.rejected):
        asked.append(("rejected points", pool.rejected))

    def outputs(rows: Tensor, what: str, fields: frozenset[str]) -> ModelOutputs:
        found = adapter.outputs(pool.rows, rows, fields, seed=derive_seed(seed, "outputs"), device=device)
        check_outputs(found, len(rows), pool.num_classes, what)
        return found

    sides = [outputs(rows, what, needs & adapter.provides) for what, rows in asked]
    costs = None if pool.costs is None else pool.costs.to(device)
    rejected = sides[2] if len(sides) > 2 else None
    view = PoolView(sides[0], sides[1], pool.labels.to(device), pool.num_classes, costs, rejected)
    validation = None
    if X_val is not None:
        validation = _validation(adapter, X_val, y_val, pool, needs, derive_seed(seed, "outputs"), device)
    seconds["outputs"] = perf_counter() - began
    state = RoundState(
        view=view,
        round=len(pool.labeled),
        seed=seed,
        pool_ids=pool.pool_keys(),
        labeled_ids=pool.labeled_keys(),
        inputs=None if pool.rows.kind == "nothing" else pool.rows,
        pool_indices=pool.unlabeled,
        labeled_indices=pool.labeled,
        validation=validation,
        later=Later(later & adapter.provides, outputs, tuple(rows for _, rows in asked)),
    )
    notes += [note for note in pool.rows.notes if note not in notes]
    return Prepared(state, adapter, notes, seconds)


def _named(adapter: Any) -> str:
    """The model of the package in words."""
    estimator = getattr(adapter, "estimator", None)
    if estimator is None:
        return f"a small network ({type(getattr(adapter, 'module', None)).__name__})"
    steps = [type(step).__name__.lstrip("_") for _, step in getattr(estimator, "steps", [("", estimator)])]
    return " and ".join(step for step in steps if step not in ("FunctionTransformer", "Encoded"))


def _validation(
    adapter: ModelAdapter, X_val: Any, y_val: Any, pool: Pool, needs: frozenset[str], seed: int, device: torch.device
) -> Validation:
    """Outputs and labels of the user's validation points; raises InvalidInput where they do not fit the others."""
    rows = as_rows(X_val, what="X_val")
    given = None if y_val is None else label_array(y_val, "y_val")
    if given is None or len(given) != len(rows):
        got = "no y_val" if given is None else f"y_val of length {len(given)}"
        raise InvalidInput(f"got X_val of {len(rows)} rows and {got}; wanted one label for each row")
    if rows.kind != pool.rows.kind:
        raise InvalidInput(f"got X_val of {rows.kind}; wanted {pool.rows.kind}, as in X")
    if isinstance(rows, EncodedRows) and isinstance(pool.rows, Faces):
        rows.encode_as(pool.rows)
    elif tuple(rows.row_shape) != tuple(pool.rows.row_shape):
        raise InvalidInput(f"got X_val rows of shape {rows.row_shape}; wanted {pool.rows.row_shape}, as in X")
    labels = _validation_labels(given, pool).to(device)
    indices = torch.arange(len(rows))
    outputs = adapter.outputs(rows, indices, needs & adapter.provides, seed=seed, device=device)
    check_outputs(outputs, len(rows), pool.num_classes, "validation points")
    return Validation(outputs, labels)


def _validation_labels(given: Any, pool: Pool) -> Tensor:
    """Class numbers, or targets, of y_val."""
    if pool.classes is None:
        targets = target_array(given, "y_val")
        if np.isnan(targets).any():
            raise InvalidInput(f"y_val holds {int(np.isnan(targets).sum())} NaN; wanted a target for each row")
        return torch.from_numpy(targets)
    number = {label: c for c, label in enumerate(pool.classes.tolist())}
    try:
        unseen = sorted({str(shown(label, 40)) for label in given.tolist() if label not in number})
    except TypeError as error:
        raise InvalidInput(f"y_val holds labels that cannot be compared ({error}); use integers or text") from error
    if unseen:
        raise InvalidInput(f"y_val holds classes that y does not: {', '.join(unseen[:5])}; label a point of each first")
    return torch.tensor([number[label] for label in given.tolist()])
