"""Stop when the model knows the labels it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from autoal.stopping.base import Rule, Verdict, fraction
from autoal.stopping.record import Round

__all__ = ["SelectedAccuracy"]


@dataclass(frozen=True)
class SelectedAccuracy(Rule):
    """Stops when, of the latest batch whose labels are in, the model had predicted a share of `least` or more right.

    The min-error criterion of Zhu and Hovy 2007 (EMNLP), 0.9: asked points are the hard ones, so whoever is right on
    them is right on the rest.
    """

    name: ClassVar[str] = "selected_accuracy"
    least: float = 0.9

    def __post_init__(self) -> None:
        fraction(self.name, "least", self.least, 0.0, 1.0)

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        # The batch of the last round has no labels yet where this round is the one that asked for it.
        known = [each for each in rounds if each.asked]
        if not known:
            return Verdict(None, "no batch has been predicted and labeled yet")
        share = known[-1].right / known[-1].asked
        said = f"{known[-1].right} of {known[-1].asked} labels of the latest batch were as predicted"
        return Verdict(share >= self.least, f"{said} (wanted: {self.least:.0%} or more)")
