"""What more labels may bring, in a sentence a stranger understands."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoal.stopping import Round, Rule, Verdict, expected_gain
from autoal.stopping.gain import Gain

__all__ = ["MOMENTS", "STABLE", "Outlook", "outlook_of"]

STABLE = 0.99
"""Agreement of two models from which predictions are called stable (Bloodgood and Vijay-Shanker 2009)."""
MOMENTS = 8
"""Batches, the latest, whose labels are cross-validated: what is further back says little of what comes."""
FEWEST = 3
"""Batches that a model chose, before which nothing is said about stopping."""


@dataclass(frozen=True)
class Outlook:
    """What the next labels may bring, and whether to go on. Numbers are None where they are not known."""

    says: str
    """All of it in a sentence or two."""
    stop: bool | None
    """Whether the rule says to stop; None where it cannot tell yet."""
    rule: str
    """The rule, as `parse_rule` takes it."""
    why: str
    """What the rule went by."""
    ahead: int
    """How many labels more this is about."""
    labels: int
    """Labels by now."""
    rounds: int
    """Batches so far that a model chose."""
    stable: int
    """For how many batches in a row predictions have been stable, by now."""
    gain: float | None = None
    """What `ahead` labels more are expected to add to the accuracy, as a fraction (0.01 is a point); in a regression
    what they are expected to take off the RMSE, in the unit of the targets."""
    low: float | None = None
    """Lower end of the interval of the gain that holds with probability `level`."""
    high: float | None = None
    level: float = 0.8

    def __str__(self) -> str:
        return self.says

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON holds them."""
        return dict(self.__dict__)


def outlook_of(
    rounds: Sequence[Round], *, rule: Rule, ahead: int, labels: int, left: int, task: str, missing: str = ""
) -> Outlook:
    """From the rounds of a session, its labels by now and the points that are left; `missing` says why there are no
    cross-validated values, where there are none."""
    stable = _stable(rounds)
    if left < 1:
        says = "Every point is labeled, skipped or asked for: there is nothing left to ask."
        return Outlook(says, True, str(rule), "no point is left", ahead, labels, len(rounds), stable)
    ahead = min(ahead, left)
    verdict = rule.judge(rounds or [Round(labels=labels)])
    if len(rounds) < FEWEST and not verdict.stop:
        verdict = Verdict(None, verdict.says)
    gain = expected_gain(rounds, ahead, task="regression" if task == "regression" else "classification")
    parts = [_gain(gain, ahead, rounds, task, missing), _stability(rounds, stable)]
    said = "; ".join(part for part in parts if part)
    advice = {
        True: "stopping now is reasonable",
        False: "going on is reasonable",
        None: f"with {_counted(labels, 'label')} and {_counted(len(rounds), 'batch')} that the model chose it is too "
        "early to say whether to stop",
    }[verdict.stop]
    says = f"{said}: {advice}." if said else f"{advice[0].upper()}{advice[1:]}."
    numbers = {} if gain is None else {"gain": gain.expected, "low": gain.low, "high": gain.high, "level": gain.level}
    return Outlook(says, verdict.stop, str(rule), verdict.says, ahead, labels, len(rounds), stable, **numbers)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}{'es' if what.endswith('ch') else 's'}"


def _stable(rounds: Sequence[Round]) -> int:
    latest = itertools.takewhile(
        lambda each: each.agreement is not None and each.agreement > STABLE, reversed(list(rounds))
    )
    return sum(1 for _ in latest)


def _gain(gain: Gain | None, ahead: int, rounds: Sequence[Round], task: str, missing: str) -> str:
    what = "label" if ahead == 1 else f"{ahead} labels"
    if gain is None:
        return f"What the next {what} may add is not known{missing}" if rounds else ""
    labels = f"{what} {'is' if ahead == 1 else 'are'}"
    interval = f"{gain.level:.0%} interval".replace("%", " %")
    if task == "regression":
        value = next(float(each.value) for each in reversed(rounds) if each.value is not None)
        share = [100 * part / value if value > 0 else 0.0 for part in (gain.expected, gain.low, gain.high)]
        return (
            f"The next {labels} expected to take {share[0]:.1f} % off the error (RMSE; {interval} {share[1]:.1f} to "
            f"{share[2]:.1f} %)"
        )
    points = [100 * part for part in (gain.expected, gain.low, gain.high)]
    return (
        f"The next {labels} expected to add {points[0]:.1f} points of accuracy ({interval} {points[1]:.1f} to "
        f"{points[2]:.1f})"
    )


def _stability(rounds: Sequence[Round], stable: int) -> str:
    if stable:
        return f"predictions have been stable for {_counted(stable, 'batch')}"
    if not rounds or rounds[-1].agreement is None:
        return ""
    changed = rounds[-1].changed
    if changed is None:
        return "predictions still move from batch to batch"
    return f"the latest batch changed {100 * changed:.1f} % of the predictions"
