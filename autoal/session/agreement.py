"""How well annotators agree on the points that several of them answered.

Two annotators: Cohen's kappa (Cohen 1960), agreement beyond chance; worked out here, since scikit-learn, which has it
too, takes a second to import, and `autoal tell` half of one. More, and regressions: Krippendorff's alpha (Krippendorff
2011, by the library krippendorff, extra `annotators`), which does not want every annotator to have answered every
point; nominal for classes, interval for numbers. 1 is perfect, 0 is chance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from autoal.session.labels import Label

__all__ = ["Agreement", "agreement_of", "disagreements"]

Votes = Mapping[int, Mapping[str, Label]]


class Agreement(NamedTuple):
    """Of the points that two annotators or more have answered."""

    annotators: int
    """Of those points."""
    points: int
    same: int
    """Points on which all who answered say the same."""
    measure: str
    value: float
    """NaN where it is not defined, as where all answers are one class, or where a library is missing."""
    why_not: str = ""

    @property
    def says(self) -> str:
        """In a sentence."""
        share = (
            f"{self.annotators} annotators say the same on {self.same} of {self.points} points that several answered"
        )
        if self.why_not:
            return f"{share}; {self.measure}: {self.why_not}"
        return f"{share}; {self.measure} {self.value:.2f} (1 is perfect, 0 is chance)"


def disagreements(votes: Votes) -> int:
    """Points on which annotators differ."""
    return sum(len(set(made.values())) > 1 for made in votes.values())


def agreement_of(votes: Votes, task: str) -> Agreement | None:
    """The agreement in the votes, row -> annotator -> label; None where no point has two."""
    shared = {row: made for row, made in votes.items() if len(made) > 1}
    if not shared:
        return None
    people = sorted({who for made in shared.values() for who in made})
    same = len(shared) - disagreements(shared)
    labels = sorted({label for made in shared.values() for label in made.values()}, key=lambda label: (str(label),))
    if len(people) == 2 and task == "classification":
        measure, (value, why_not) = "Cohen's kappa", _kappa(shared, people, labels)
    else:
        measure, (value, why_not) = "Krippendorff's alpha", _alpha(shared, people, labels, task)
    return Agreement(len(people), len(shared), same, measure, value, why_not)


def _kappa(votes: Votes, people: list[str], labels: list[Label]) -> tuple[float, str]:
    if len(labels) < 2:
        return math.nan, "not defined, since all answers are the same"
    number = {label: place for place, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)))
    for made in votes.values():
        table[number[made[people[0]]], number[made[people[1]]]] += 1
    shares = table / table.sum()
    chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
    return float((shares.trace() - chance) / (1 - chance)), ""


def _alpha(votes: Votes, people: list[str], labels: list[Label], task: str) -> tuple[float, str]:
    if len(labels) < 2:
        return math.nan, "not defined, since all answers are the same"
    try:
        import krippendorff
    except ImportError:
        return math.nan, "needs the library krippendorff: pip install 'autoal[annotators]'"
    number = {label: float(label) if task == "regression" else float(place) for place, label in enumerate(labels)}
    table = np.full((len(people), len(votes)), np.nan)
    for column, made in enumerate(votes.values()):
        for who, label in made.items():
            table[people.index(who), column] = number[label]
    level: Any = "interval" if task == "regression" else "nominal"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(krippendorff.alpha(reliability_data=table, level_of_measurement=level)), ""
