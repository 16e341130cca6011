"""What a stopping rule is, and how two of them make a third."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from autoal.errors import ConfigError, shown
from autoal.stopping.record import Round

__all__ = ["Both", "Either", "Rule", "Verdict", "fraction", "latest", "whole"]


@dataclass(frozen=True)
class Verdict:
    """What a rule says."""

    stop: bool | None
    """None where what is known so far does not tell."""
    says: str
    """Why, in words."""


class Rule(ABC):
    """Says from the rounds so far whether to stop. Rules are values: two with the same parameters are equal.

    `a & b` stops when both do, `a | b` when one of them does; a rule that cannot tell leaves the answer open unless the
    other one settles it.
    """

    name: ClassVar[str]

    @abstractmethod
    def judge(self, rounds: Sequence[Round]) -> Verdict:
        """`rounds` are all rounds until now, in order; the last is the one in which to stop or not."""

    def __and__(self, other: Rule) -> Rule:
        return Both(self, other) if isinstance(other, Rule) else NotImplemented

    def __or__(self, other: Rule) -> Rule:
        return Either(self, other) if isinstance(other, Rule) else NotImplemented

    def __str__(self) -> str:
        """As `parse_rule` takes it; parameters that have their default are left out."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}  # type: ignore[arg-type]
        inside = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class Both(Rule):
    """Stops when both do."""

    name: ClassVar[str] = "&"
    first: Rule
    second: Rule

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        a, b = self.first.judge(rounds), self.second.judge(rounds)
        stop = False if a.stop is False or b.stop is False else None if None in (a.stop, b.stop) else True
        return Verdict(stop, f"{a.says}, and {b.says}")

    def __str__(self) -> str:
        return " & ".join(f"({part})" if isinstance(part, Either) else str(part) for part in (self.first, self.second))


@dataclass(frozen=True)
class Either(Rule):
    """Stops when one of them does."""

    name: ClassVar[str] = "|"
    first: Rule
    second: Rule

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        a, b = self.first.judge(rounds), self.second.judge(rounds)
        for verdict in (a, b):
            if verdict.stop:
                return verdict
        return Verdict(None if None in (a.stop, b.stop) else False, f"{a.says}, and {b.says}")

    def __str__(self) -> str:
        return f"{self.first} | {self.second}"


def latest(rounds: Sequence[Round], field: str, count: int) -> list[float] | None:
    """`field` of the last `count` rounds; None where one of them does not know it."""
    values = [getattr(each, field) for each in rounds[-count:]]
    return values if len(values) == count and None not in values else None


def fraction(rule: str, parameter: str, value: Any, low: float, high: float) -> None:
    """Raises ConfigError unless `value` is a number from `low` to `high`."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        above = f"{low:g} or more" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise ConfigError(f"stopping rule {rule}: got {parameter}={shown(value)}; wanted a number {above}")


def whole(rule: str, parameter: str, value: Any, low: int = 1) -> None:
    """Raises ConfigError unless `value` is a whole number of at least `low`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigError(f"stopping rule {rule}: got {parameter}={shown(value)}; wanted a whole number, {low} or more")
