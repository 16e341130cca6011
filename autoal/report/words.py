"""What a run says to somebody who asks "so, should I use it on my data?": two lines, made from the journal alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from autoal.experiment.metrics import better, labels_to_reach
from autoal.report.tables import Interval, interval, metric_of, outcomes_of, paired_areas

__all__ = ["Answer", "answer", "labels_needed", "spoken"]

PLENTY = 5
"""Seeds below which a tie says little."""


class Answer(NamedTuple):
    """The first two lines of a report."""

    headline: str
    """Yes, no, or not on this evidence; in labels where there is one scenario."""
    detail: str
    """By how much, how sure, and whether another strategy was better. Empty where nothing could be compared."""
    needed: tuple[int, int] | None = None
    """Where it paid, in one scenario: `labels_needed`."""


def answer(journal: pd.DataFrame, focus: str, reference: str) -> Answer:
    """Whether `focus` paid against `reference`, in plain words. `journal` as `read_journal` gives it."""
    areas = paired_areas(journal)
    missing = [name for name in (focus, reference) if name not in areas.columns]
    if missing:
        return Answer(f"No answer: no cell of {' and '.join(missing)} was finished.", "")
    both = areas[[focus, reference]].dropna() if focus != reference else areas.iloc[:0]
    if both.empty:
        return Answer(f"No answer: {focus} was not run beside {reference} on any scenario and seed.", "")
    gain = _mean_gain(both, focus, reference)
    if gain.n < 2:
        return Answer(
            f"No answer yet: one seed says nothing of {focus} against {reference}.", "Run at least five seeds."
        )
    scenarios = both.index.get_level_values("dataset").nunique()
    detail = _detail(journal, areas, focus, reference, gain)
    if scenarios > 1:
        return Answer(_of_many(areas, focus, reference, gain, scenarios), detail)
    needed = labels_needed(journal, focus, reference) if gain.sign > 0 else None
    if needed is not None and needed[0] >= needed[1]:
        needed = None
    return Answer(_of_one(journal, focus, reference, gain, needed), detail, needed)


def labels_needed(journal: pd.DataFrame, focus: str, reference: str) -> tuple[int, int] | None:
    """(labels of `focus`, labels of `reference`) at the value where `reference` ends, of one scenario, by the mean
    curves; None where `focus` never gets there. Rounded to whole labels."""
    sign = better(metric_of(journal))
    curves = {
        name: (sign * journal[journal["selector"] == name].groupby("labels")["value"].mean()).sort_index()
        for name in (focus, reference)
    }
    if any(len(curve) < 2 for curve in curves.values()):
        return None
    target = float(curves[reference].iloc[-1])
    # Where the reference itself was there before its end, its later labels were not needed by it either.
    own, its = (
        labels_to_reach(curves[name].to_numpy(), curves[name].index.to_numpy(), target) for name in (focus, reference)
    )
    return None if math.isnan(own) else (round(own), round(its))


def spoken(name: str) -> str:
    """A selector in a sentence."""
    return "random labels" if name == "random" else name


def _of_one(journal: pd.DataFrame, focus: str, reference: str, gain: Interval, needed: tuple[int, int] | None) -> str:
    scenario = str(journal["dataset"].iloc[0])
    what = metric_of(journal).replace("_", " ")
    other = spoken(reference)
    if gain.sign == 0:
        few = f" {gain.n} seeds are few." if gain.n < PLENTY else ""
        return f"Not on this evidence: on {scenario}, {focus} and {other} came out alike within chance.{few}"
    if gain.sign < 0:
        return f"No: on {scenario}, {focus} did worse than {other}."
    verb = "reach" if reference == "random" else "reaches"
    if needed is None:
        return f"Yes, on {scenario}, while labels are few: {focus} was better than {other} on the way, not at the end."
    return f"Yes: on {scenario}, the {what} that {other} {verb} with {needed[1]} labels was reached with {needed[0]}."


def _of_many(areas: pd.DataFrame, focus: str, reference: str, gain: Interval, scenarios: int) -> str:
    found = outcomes_of(areas, focus, reference)
    won, lost = found["win"], found["loss"]
    other = spoken(reference)
    counts = (
        f"better than {other} in {won} of {scenarios} scenarios, worse in {lost}, and alike within chance in "
        f"{scenarios - won - lost}"
    )
    if gain.sign == 0:
        return f"Not on this evidence: {focus} was {counts}."
    if gain.sign < 0:
        return f"No: {focus} was {counts}."
    if lost:
        return f"On average yes, not everywhere: {focus} was {counts}."
    return f"Yes: {focus} was {counts}."


def _detail(journal: pd.DataFrame, areas: pd.DataFrame, focus: str, reference: str, gain: Interval) -> str:
    metric = metric_of(journal)
    of = "" if metric == "mixed" else f" of {metric}".replace("_", " ")
    unit = f"points less{of.removeprefix(' of')}" if better(metric) < 0 else f"points{of}"
    first = (
        f"Averaged over the whole run it was {gain.mean:+.1f} {unit} against {spoken(reference)} "
        f"(95 % interval {gain.low:+.1f} to {gain.high:+.1f}, {gain.n} seeds)."
    )
    others = [name for name in areas.columns if name not in (focus, reference)]
    if not others:
        return first
    gains = {name: _mean_gain(areas[[name, focus]].dropna(), name, focus) for name in others}
    gains = {name: found for name, found in gains.items() if found.n > 0}
    if not gains:
        return first
    best, by = max(gains.items(), key=lambda pair: pair[1].mean)
    among = f"Of the {len(gains)} others" if len(gains) > 1 else "Beside it"
    if by.sign > 0:
        return f"{first} {among}, {best} was better than it by {by.mean:.1f} ({by.low:.1f} to {by.high:.1f})."
    if by.mean > 0:
        return f"{first} {among}, {best} was ahead by {by.mean:.1f}, within chance."
    return f"{first} {among}, none was ahead; {best} came nearest, {-by.mean:.1f} below."


def _mean_gain(areas: pd.DataFrame, one: str, other: str) -> Interval:
    return interval((areas[one] - areas[other]).groupby(level="seed").mean())
