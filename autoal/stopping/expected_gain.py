"""Stop when the next labels are not expected to add anything worth having."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from autoal.stopping.base import Rule, Verdict, fraction, whole
from autoal.stopping.gain import FEWEST, Gain, fit_gain
from autoal.stopping.record import Round

__all__ = ["AUDITED", "ExpectedGain", "expected_gain"]

AUDITED = 60
"""Audit points from which the curve is fitted on them alone, and not on cross-validated values."""
NESTED = 0.7
"""Part of the variance that two cross-validated values share through the labels that both are made of."""
CHANGES = 3
"""Rounds that the bound by changed predictions is the mean over."""


def expected_gain(
    rounds: Sequence[Round],
    ahead: int,
    *,
    task: Literal["classification", "regression"] = "classification",
    level: float = 0.8,
) -> Gain | None:
    """What `ahead` labels more may add to the accuracy, or take off the RMSE, by what is known without test labels;
    None while it is too little.

    The curve is fitted on audit points where there are 60, and on cross-validated values otherwise. Neither end of its
    interval is let above what predictions have changed of late: where a batch moved a share d of all predictions, it
    cannot have moved the accuracy by more than d, and changes become rarer as labels grow.
    """
    if not rounds:
        return None
    now = rounds[-1].spent
    audited = [each for each in rounds if each.audited]
    valued = [each for each in rounds if each.value is not None and each.labels > 0]
    found: Gain | None = None
    if task == "classification" and sum(each.audited for each in audited) >= AUDITED and _enough(audited):
        shares = [each.audited_right / each.audited for each in audited]
        counts = [each.audited for each in audited]
        found = fit_gain([each.labels for each in audited], shares, counts, ahead, now=now, level=level)
    elif _enough(valued):
        sign, best = (1.0, 1.0) if task == "classification" else (-1.0, 0.0)
        sizes = [each.labels for each in valued]
        values = [sign * float(each.value) for each in valued if each.value is not None]
        found = fit_gain(sizes, values, sizes, ahead, now=now, level=level, best=best, shared=NESTED)
    cap = _cap(rounds, ahead)
    if found is None or cap is None or task != "classification":
        return found
    return replace(found, expected=min(found.expected, cap), low=min(found.low, cap), high=min(found.high, cap))


def _enough(measured: Sequence[Round]) -> bool:
    return len({each.labels for each in measured if each.labels > 0}) >= FEWEST


def _cap(rounds: Sequence[Round], ahead: int) -> float | None:
    """The share of predictions that `ahead` labels change at the rate of the last rounds; None while unknown."""
    pairs = [
        (later.changed, later.labels - earlier.labels)
        for earlier, later in itertools.pairwise(rounds)
        if later.changed is not None and later.labels > earlier.labels
    ][-CHANGES:]
    if len(pairs) < CHANGES:
        return None
    return sum(changed for changed, _ in pairs) / sum(batch for _, batch in pairs) * ahead


@dataclass(frozen=True)
class ExpectedGain(Rule):
    """Stops when the next `labels` labels are, at the upper end of the interval of `level`, expected to add less than
    `below` to the accuracy, as a fraction: 0.01 is a point.

    The fit is that of `autoal.stopping.gain`, on what `expected_gain` reads: audit points, or cross-validated
    accuracy, which a comparison records with `cross_validate = true`. Points that were chosen are harder than the pool,
    so that a curve of cross-validated values is too low, and may fall where the true one rises.
    """

    name: ClassVar[str] = "expected_gain"
    below: float = 0.01
    labels: int = 50
    level: float = 0.8

    def __post_init__(self) -> None:
        fraction(self.name, "below", self.below, 0.0, 1.0)
        whole(self.name, "labels", self.labels)
        fraction(self.name, "level", self.level, 0.01, 0.999)

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        found = expected_gain(rounds, self.labels, level=self.level)
        if found is None:
            return Verdict(None, f"there are too few estimates of the accuracy to fit a curve (wanted: {FEWEST})")
        said = (
            f"the next {self.labels} labels are expected to add {100 * found.expected:.1f} points, at most "
            f"{100 * found.high:.1f} (wanted: below {100 * self.below:g})"
        )
        return Verdict(found.high < self.below, said)
