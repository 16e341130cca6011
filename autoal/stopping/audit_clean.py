"""Stop when the model was right on every point that chance chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from autoal.stopping.base import Rule, Verdict, fraction, whole
from autoal.stopping.record import Round

__all__ = ["AuditClean", "error_bound"]


def error_bound(wrong: int, n: int, level: float = 0.95) -> float:
    """Largest error rate with which `wrong` or fewer mistakes on n points drawn at random are not yet rejected at
    1 - `level`: the exact one-sided binomial bound of Clopper and Pearson 1934. Without a mistake it is
    1 - (1 - level) ** (1 / n), about 3 / n at 95 %.

    >>> round(error_bound(0, 59), 3)
    0.05
    """
    from scipy.stats import beta

    return 1.0 if wrong >= n else float(beta.ppf(level, wrong + 1, n - wrong))


@dataclass(frozen=True)
class AuditClean(Rule):
    """Stops when all audit points of the last `window` rounds that had any were predicted right, before their labels
    came, and there are `least` of them.

    What that proves is in the verdict: with n points drawn at random and no mistake the error on what was left of the
    pool is, with confidence `level`, at most 1 - (1 - level) ** (1 / n). Ten clean points prove no more than an error
    below 26 %, sixty below 5 %. It is the bound of one look; who looks after every round errs more often. Needs a share
    of random points (`search={"audit": 0.1}`); classification only.
    """

    name: ClassVar[str] = "audit_clean"
    window: int = 3
    least: int = 10
    level: float = 0.95

    def __post_init__(self) -> None:
        whole(self.name, "window", self.window)
        whole(self.name, "least", self.least)
        fraction(self.name, "level", self.level, 0.5, 0.9999)

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        audited = [each for each in rounds if each.audited][-self.window :]
        points = sum(each.audited for each in audited)
        wrong = points - sum(each.audited_right for each in audited)
        if len(audited) < self.window or points < self.least:
            return Verdict(
                None, f"{points} points drawn at random are too few (wanted: {self.least} of {self.window} rounds)"
            )
        bound = error_bound(wrong, points, self.level)
        said = (
            f"of the last {points} points drawn at random {points - wrong} were predicted right, so that the error is "
            f"below {bound:.1%} with {self.level:.0%} confidence"
        )
        return Verdict(wrong == 0, said)
