"""Stop when the model is sure of what is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from autoal.stopping.base import Rule, Verdict, fraction, latest
from autoal.stopping.record import Round

__all__ = ["MaximumUncertainty", "MinimumExpectedError", "OverallUncertainty"]


class _Below(Rule):
    """Stops when a field of the last round is below a threshold."""

    field: ClassVar[str]
    words: ClassVar[str]
    most: ClassVar[float] = math.inf
    threshold: float

    def __post_init__(self) -> None:
        fraction(self.name, "threshold", self.threshold, 0.0, self.most)

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        values = latest(rounds, self.field, 1)
        if values is None:
            return Verdict(None, f"{self.words} is not known")
        return Verdict(
            values[0] < self.threshold, f"{self.words} is {values[0]:.4f} (wanted: below {self.threshold:g})"
        )


@dataclass(frozen=True)
class OverallUncertainty(_Below):
    """Stops when the mean entropy of the unlabeled pool, in nats, is below `threshold`.

    Zhu, Wang and Hovy 2008 (COLING). They set the threshold by hand for each task, 0.01 to begin with; what a model's
    entropies amount to depends on how it is calibrated, so no one value suits all models.
    """

    name: ClassVar[str] = "overall_uncertainty"
    field: ClassVar[str] = "entropy"
    words: ClassVar[str] = "the mean entropy of the pool"
    threshold: float = 0.01


@dataclass(frozen=True)
class MaximumUncertainty(_Below):
    """Stops when even the least certain point of the unlabeled pool has an entropy, in nats, below `threshold`.

    The max-confidence criterion of Zhu and Hovy 2007 (EMNLP, "Active learning for word sense disambiguation with
    methods for addressing the class imbalance problem"), 0.001.
    """

    name: ClassVar[str] = "maximum_uncertainty"
    field: ClassVar[str] = "most_uncertain"
    words: ClassVar[str] = "the largest entropy of the pool"
    threshold: float = 0.001


@dataclass(frozen=True)
class MinimumExpectedError(_Below):
    """Stops when the error that the model expects on the unlabeled pool by its own probabilities is below `threshold`.

    Zhu, Wang, Hovy and Ma 2010 (ACM TSLP 6(3), "Confidence-based stopping criteria for active learning for data
    annotation"), 0.01.
    """

    name: ClassVar[str] = "minimum_expected_error"
    field: ClassVar[str] = "expected_error"
    words: ClassVar[str] = "the error expected on the pool"
    most: ClassVar[float] = 1.0
    threshold: float = 0.01
