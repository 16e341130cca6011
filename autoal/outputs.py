"""What a trained model says about points, and what a strategy may look at.

Axes: N pool, L labeled, C classes, D embedding, K posterior samples, M members of an ensemble, P gradient sketch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autoal.errors import InvalidInput, MissingOutput

__all__ = [
    "OUTPUT_FIELDS",
    "TASKS",
    "ModelOutputs",
    "PoolView",
    "Validation",
    "check_outputs",
    "compact_view",
    "in_row_space",
]

TASKS = ("classification", "regression")


@dataclass(frozen=True)
class ModelOutputs:
    """Outputs of one model for n points, each computed once per round and shared by all candidates.

    A field is None where no candidate needs it or the model cannot give it.
    """

    log_probs: Tensor | None = None
    """(n, C) log class probabilities, from log_softmax."""
    embeddings: Tensor | None = None
    """(n, D) input of the last linear layer, or standardised inputs where the model has no such layer."""
    mc_log_probs: Tensor | None = None
    """(n, K, C) log probabilities of K posterior samples; sample k is the same function for every point."""
    means: Tensor | None = None
    """(n,) predicted targets of a regression, in units of the targets."""
    mc_means: Tensor | None = None
    """(n, K) predicted targets of K posterior samples; sample k is the same function for every point."""
    ensemble_log_probs: Tensor | None = None
    """(n, M, C) log probabilities of networks trained from different starts (a deep ensemble)."""
    greedy_log_probs: Tensor | None = None
    """(n, M, C) log probabilities of a greedy ensemble: each member is trained to differ from those before it."""
    deviations: Tensor | None = None
    """(n, K, E) by how much the output (probabilities, or features for a regression) moves under K small
    perturbations of the weights, relative to its length; perturbation k is the same for every point."""
    gradients: Tensor | None = None
    """(n, P) random sketch of the gradient by all weights: of the prediction (regression), of the cross-entropy with
    the predicted class (classification). Inner products are those of the full gradients, unbiased."""
    gradient_norms: Tensor | None = None
    """(n, 2) sums over parameter tensors of the norm of the gradient of the predictive entropy, and of the
    cross-entropy averaged over the predicted labels."""
    inputs: Tensor | None = None
    """(n, I) what enters the model, flattened and standardised."""
    logits: Tensor | None = None
    """(n, C) outputs of the last layer, before log_softmax takes their logsumexp away."""

    def __len__(self) -> int:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                return int(value.shape[0])
        return 0

    def present(self) -> frozenset[str]:
        """Names of the fields that are there."""
        return frozenset(f.name for f in fields(self) if getattr(self, f.name) is not None)

    def require(self, name: str) -> Tensor:
        """The field `name`; raises MissingOutput where it was not computed."""
        value = getattr(self, name, None)
        if value is None:
            present = ", ".join(sorted(self.present())) or "nothing"
            raise MissingOutput(f"{name} was not computed, only {present}; add it to the strategy's `needs`")
        return value

    def map(self, function: Any) -> ModelOutputs:
        """A copy with `function` applied to each tensor."""
        return replace(self, **{name: function(getattr(self, name)) for name in self.present()})

    def __getitem__(self, index: Any) -> ModelOutputs:
        return self.map(lambda tensor: tensor[index])

    def to(self, device: torch.device) -> ModelOutputs:
        return self.map(lambda tensor: tensor.to(device))


OUTPUT_FIELDS = frozenset(f.name for f in fields(ModelOutputs))


@dataclass(frozen=True)
class PoolView:
    """All a strategy may look at in one round: never the network, never a label of the pool.

    Positions 0..N-1 count rows of `pool`; only `autoal.data.Pool` turns them into indices of a data set.
    """

    pool: ModelOutputs
    """Outputs of the N points that may be asked for."""
    labeled: ModelOutputs
    """Outputs of the L labeled points, from the same model."""
    labels: Tensor
    """(L,) class of each labeled point, int64 in 0..C-1; its target, float64, in a regression."""
    num_classes: int
    """C, from the label space; a class may have no labeled point yet. 0 in a regression."""
    costs: Tensor | None = None
    """(N,) price of each label, or None where all cost the same."""
    rejected: ModelOutputs | None = None
    """Outputs of the R points that were asked for and belong to none of the classes; None where there are none."""

    @property
    def task(self) -> str:
        return TASKS[self.num_classes == 0]

    @property
    def device(self) -> torch.device:
        for name in sorted(self.pool.present()):
            return self.pool.require(name).device
        return self.labels.device

    def __len__(self) -> int:
        return len(self.pool)


WIDE = 512
"""Columns beyond which rows fewer than columns are turned into their own space."""


def in_row_space(*sides: Tensor) -> Any:
    """The rows of `sides` (n_i, D) in coordinates of the space they span, (n_i, n) with n = sum n_i, where D is above
    both WIDE and n; else as they are. A tensor where one side was given, else a tuple.

    Lengths, inner products and whatever is a function of those stay what they are: distances, kernels, principal
    components, linear layers with a penalty on their length. So no D x D matrix is needed of a few wide rows.
    """
    n, width = sum(map(len, sides)), sides[0].shape[1]
    if width > max(n, WIDE):
        rows = torch.cat([side.double() for side in sides])
        _, upper = torch.linalg.qr(rows.T, mode="r")
        turned = upper.T.to(sides[0].dtype).split([len(side) for side in sides])
        sides = tuple(turned)
    return sides[0] if len(sides) == 1 else sides


def compact_view(view: PoolView) -> PoolView:
    """The view with its embeddings turned `in_row_space`, all sides alike."""
    sides = [side for side in (view.pool, view.labeled, view.rejected) if side is not None]
    wide = [side.embeddings for side in sides if side.embeddings is not None]
    if len(wide) < len(sides) or wide[0].shape[1] <= max(WIDE, sum(map(len, wide))):
        return view
    turned = [replace(s, embeddings=e) for s, e in zip(sides, in_row_space(*wide), strict=True)]
    return replace(view, pool=turned[0], labeled=turned[1], rejected=turned[2] if len(turned) > 2 else None)


class Validation(NamedTuple):
    """Labeled points that judge, but never train the model and cannot be bought."""

    outputs: ModelOutputs
    labels: Tensor
    """(V,) int64 in 0..C-1."""


_AXES = {
    "means": 1,
    **dict.fromkeys(("mc_log_probs", "ensemble_log_probs", "greedy_log_probs", "deviations"), 3),
}


def check_outputs(outputs: ModelOutputs, n: int, num_classes: int | None, what: str) -> None:
    """Raises InvalidInput where a field has the wrong length or width, or holds NaN (naming the rows).

    `num_classes` 0 is a regression, None where it is not known.
    """
    for name in sorted(outputs.present()):
        tensor = outputs.require(name)
        if tensor.ndim == 0 or tensor.shape[0] != n:
            raise InvalidInput(
                f"{name} of the {what} has shape {tuple(tensor.shape)}; wanted {n} rows, one for each point"
            )
        if tensor.ndim != _AXES.get(name, 2):
            raise InvalidInput(
                f"{name} of the {what} has shape {tuple(tensor.shape)}; wanted {_AXES.get(name, 2)} axes"
            )
        of_classes = name.endswith(("log_probs", "logits"))
        if num_classes is not None and name in ("means", "mc_means") and num_classes > 0:
            raise InvalidInput(f"{name} of the {what} belongs to a regression, and there are {num_classes} classes")
        if num_classes == 0 and of_classes:
            raise InvalidInput(f"{name} of the {what} belongs to classes, and this is a regression; wanted means")
        if num_classes is not None and of_classes and tensor.shape[-1] != num_classes:
            raise InvalidInput(
                f"{name} of the {what} has {tensor.shape[-1]} columns, but there are {num_classes} classes; "
                "the model's last layer must have one output per class"
            )
        bad = tensor.isnan() if name.endswith("log_probs") else ~tensor.isfinite()
        if bool(bad.any()):
            rows = bad.reshape(n, -1).any(dim=1).nonzero().flatten()
            raise InvalidInput(
                f"{name} of the {what} is NaN or infinite for {len(rows)} of {n} points (first rows "
                f"{rows[:5].tolist()}); check the inputs, or lower the learning rate of the model"
            )
