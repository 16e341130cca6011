"""What a stopping rule may know of a round: a few numbers, none of which needs a test label.

They are made from the predictions of the model of that round on a *stop set*, points of the pool that are drawn once by
the seed and stay the same for the whole labelling, and from the labels that were bought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["STOP_SET", "Round", "compared", "concordance", "kappa", "uncertainty"]

STOP_SET = 2000
"""Points in a stop set, or the whole pool where it is smaller. Bloodgood and Vijay-Shanker 2009, section 3.2."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round. A field is None where it could not be known: rules then say that they cannot tell."""

    labels: int
    """Labels that the model of this round was trained on."""
    paid: int | None = None
    """Labels that are paid for by the end of what is known of this round, where those are more: of points that belong
    to no class, or that came after the model was trained."""
    agreement: float | None = None
    """Of this model's predictions on the stop set with those of the model before it: Cohen's kappa; in a regression
    Lin's concordance correlation, which is kappa with squared weights, for numbers."""
    changed: float | None = None
    """Share of the stop set that the two models put into different classes; classification only."""
    entropy: float | None = None
    """Mean entropy of the predictions on the unlabeled pool, in nats; classification only, as the next two."""
    most_uncertain: float | None = None
    """The largest entropy of a point of the unlabeled pool, in nats."""
    expected_error: float | None = None
    """Mean over the unlabeled pool of one minus the probability of the predicted class."""
    asked: int = 0
    """Points of the batch that this round asked for whose labels are in and that the model had predicted."""
    right: int = 0
    """How many of those it had predicted right, before their labels came."""
    audited: int = 0
    """The same of the points that were drawn at random: how many there are."""
    audited_right: int = 0
    value: float | None = None
    """Cross-validated on the labels at hand: accuracy, or RMSE in a regression."""

    @classmethod
    def of(cls, labels: int, stored: Mapping[str, Any]) -> Self:
        """From what a journal holds; what it does not hold is unknown, what this version does not know is passed
        over."""
        known = {field.name for field in fields(cls)} - {"labels"}
        return cls(labels=labels, **{name: value for name, value in stored.items() if name in known})

    @property
    def spent(self) -> int:
        """Labels paid for by now."""
        return self.labels if self.paid is None else max(self.labels, self.paid)


def kappa(first: ArrayLike, second: ArrayLike) -> float:
    """Cohen's kappa of two labellings (n,), n above 0: agreement beyond what their class shares would give by chance.

    1 where both put every point into one and the same class, which leaves chance nothing to explain. Cohen 1960.

    >>> kappa([0, 0, 1, 1], [0, 0, 1, 0])
    0.5
    """
    a, b = np.asarray(first), np.asarray(second)
    classes = np.union1d(a, b)
    shares = [np.array([(side == c).mean() for c in classes]) for side in (a, b)]
    chance, observed = float(shares[0] @ shares[1]), float((a == b).mean())
    return 1.0 if chance >= 1.0 - 1e-12 else (observed - chance) / (1.0 - chance)


def concordance(first: ArrayLike, second: ArrayLike) -> float:
    """Lin's concordance correlation of two sets of predicted numbers (n,): 1 where they are the same. Lin 1989,
    Biometrics 45:255."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    apart = float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    if apart <= 1e-300:
        return 1.0
    return float(2 * ((a - a.mean()) * (b - b.mean())).mean() / apart)


def compared(previous: ArrayLike, current: ArrayLike, task: str) -> dict[str, float]:
    """Fields `agreement` and `changed` of a round from the predictions (n,) of two models; none where n is 0."""
    a, b = np.asarray(previous), np.asarray(current)
    if not len(a):
        return {}
    if task == "regression":
        return {"agreement": concordance(a, b)}
    return {"agreement": kappa(a, b), "changed": float((a != b).mean())}


def uncertainty(log_probs: NDArray[Any]) -> dict[str, float]:
    """Fields `entropy`, `most_uncertain` and `expected_error` from log-probabilities (N, C) of the pool."""
    if not len(log_probs):
        return {}
    logs = np.asarray(log_probs, dtype=np.float64)
    probs = np.exp(logs)
    entropy = -(probs * np.where(probs > 0, logs, 0.0)).sum(axis=1)
    return {
        "entropy": float(entropy.mean()),
        "most_uncertain": float(entropy.max()),
        "expected_error": float((1.0 - probs.max(axis=1)).mean()),
    }
