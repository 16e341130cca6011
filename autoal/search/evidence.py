"""Whether what was learned may be used: the anchor stands unless the evidence against it is significant."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from scipy import stats

__all__ = ["CARRY", "Evidence", "Finding"]


CARRY = 0.8
"""What evidence of earlier rounds, and what was learned in them, still counts, per round."""


@dataclass(frozen=True)
class Finding:
    """Held-out gain over the anchor in one round, in nats, and its standard error."""

    round: int
    gain: float
    error: float


@dataclass(frozen=True)
class Evidence:
    """Findings of all rounds so far, older ones discounted by `CARRY` per round."""

    findings: tuple[Finding, ...] = ()

    def add(self, finding: Finding) -> Evidence:
        return Evidence((*self.findings, finding))

    def gain(self) -> float:
        """Discounted mean gain."""
        weights = self._weights()
        return sum(w * f.gain for w, f in zip(weights, self.findings, strict=True)) if weights else 0.0

    def error(self) -> float:
        """Standard error of `gain`, rounds taken as fully correlated: they share most of their labels."""
        weights = self._weights()
        return sum(w * f.error for w, f in zip(weights, self.findings, strict=True)) if weights else math.inf

    def z(self) -> float:
        error = self.error()
        if not math.isfinite(error):
            return 0.0
        return self.gain() / error if error > 0 else 0.0

    def rejects_no_gain(self, level: float) -> bool:
        """Whether `no gain` is rejected, one-sided, at `level`; level 1 always rejects."""
        return level >= 1 or self.z() > float(stats.norm.isf(level))

    def to_json(self) -> list[dict[str, float]]:
        return [asdict(finding) for finding in self.findings]

    @staticmethod
    def from_json(rows: list[dict[str, float]]) -> Evidence:
        return Evidence(tuple(Finding(int(r["round"]), float(r["gain"]), float(r["error"])) for r in rows))

    def _weights(self) -> list[float]:
        if not self.findings:
            return []
        newest = self.findings[-1].round
        raw = [CARRY ** (newest - f.round) for f in self.findings]
        return [w / sum(raw) for w in raw]
