"""Stop when successive models say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from autoal.stopping.base import Rule, Verdict, fraction, latest, whole
from autoal.stopping.record import Round

__all__ = ["StablePredictions"]


@dataclass(frozen=True)
class StablePredictions(Rule):
    """Stops when the agreement of successive models on the stop set, averaged over the last `window` pairs, is above
    `threshold`.

    Bloodgood and Vijay-Shanker 2009 (CoNLL, "A method for stopping active learning based on stabilizing predictions and
    the need for user-adjustable stopping"; arXiv 1409.5165): Cohen's kappa, 0.99, three pairs. A lower threshold saves
    more labels and costs more. In a regression the agreement is Lin's concordance, which is ours.
    """

    name: ClassVar[str] = "stable_predictions"
    threshold: float = 0.99
    window: int = 3

    def __post_init__(self) -> None:
        fraction(self.name, "threshold", self.threshold, -1.0, 1.0)
        whole(self.name, "window", self.window)

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        values = latest(rounds, "agreement", self.window)
        if values is None:
            return Verdict(None, f"{self.window + 1} models in a row are not there yet to be compared")
        mean = sum(values) / len(values)
        said = f"the last {self.window + 1} models agree at {mean:.3f} (wanted: above {self.threshold:g})"
        return Verdict(mean > self.threshold, said)
