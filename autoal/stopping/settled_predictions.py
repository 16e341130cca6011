"""Stop when predictions have settled, whatever the size of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from autoal.stopping.base import Rule, Verdict, fraction
from autoal.stopping.record import Round

__all__ = ["SettledPredictions"]


@dataclass(frozen=True)
class SettledPredictions(Rule):
    """Stops when, while the labels grew by a share of `growth`, models moved by `most` or less in all: the sum of one
    minus the agreement of each with the one before it, on the stop set.

    Two models that are five labels apart agree whatever is left to learn, so that the mean agreement of
    `stable_predictions`, a rule made for large batches, is soon above any threshold where batches are small. Here the
    number of models that are compared follows from the labels: with 300 labels, and `growth` a half, from the last
    model of 200 labels or fewer until now. Ours; its values were chosen on the development sets, where batches are of
    10 and of 50.
    """

    name: ClassVar[str] = "settled_predictions"
    most: float = 0.05
    growth: float = 0.5

    def __post_init__(self) -> None:
        fraction(self.name, "most", self.most, 0.0, float("inf"))
        fraction(self.name, "growth", self.growth, 0.01, 100.0)

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        now = rounds[-1].labels if rounds else 0
        start = max((i for i, each in enumerate(rounds) if each.labels * (1 + self.growth) <= now), default=None)
        if start is None:
            return Verdict(None, f"labels have not grown by {self.growth:.0%} yet since the first model")
        values = [each.agreement for each in rounds[start + 1 :]]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return Verdict(None, "the agreement of successive models is not known")
        moved = sum(1.0 - value for value in known)
        said = f"from {rounds[start].labels} to {now} labels models moved by {moved:.3f}"
        return Verdict(moved <= self.most, f"{said} (wanted: {self.most:g} or less)")
