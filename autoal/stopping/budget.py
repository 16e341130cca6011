"""Stop when the money is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from autoal.stopping.base import Rule, Verdict, whole
from autoal.stopping.record import Round

__all__ = ["Budget"]


@dataclass(frozen=True)
class Budget(Rule):
    """Stops when there are `labels` labels or more. Most useful in company: `stable_predictions | budget(labels=500)`,
    or, for a lower limit, `stable_predictions & budget(labels=100)`."""

    name: ClassVar[str] = "budget"
    labels: int = 1000

    def __post_init__(self) -> None:
        whole(self.name, "labels", self.labels)

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        paid = rounds[-1].spent if rounds else 0
        return Verdict(paid >= self.labels, f"there are {paid} of {self.labels} labels")
