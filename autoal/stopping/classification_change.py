"""Stop when no prediction changes any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from autoal.stopping.base import Rule, Verdict, fraction, latest, whole
from autoal.stopping.record import Round

__all__ = ["ClassificationChange"]


@dataclass(frozen=True)
class ClassificationChange(Rule):
    """Stops when in each of the last `window` rounds at most a share of `most` of the stop set went into another class.

    Zhu, Wang and Hovy 2008 (COLING, "Multi-criteria-based strategy to stop active learning for data annotation"): no
    change at all among the unlabeled points in two consecutive cycles. There is no such thing in a regression.
    """

    name: ClassVar[str] = "classification_change"
    most: float = 0.0
    window: int = 2

    def __post_init__(self) -> None:
        fraction(self.name, "most", self.most, 0.0, 1.0)
        whole(self.name, "window", self.window)

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        values = latest(rounds, "changed", self.window)
        if values is None:
            return Verdict(None, f"predicted classes of {self.window + 1} models in a row are not there")
        said = f"{max(values):.2%} of the predictions changed in one of the last {self.window} rounds"
        return Verdict(max(values) <= self.most, f"at most {said} (wanted: {self.most:.2%} or less)")
