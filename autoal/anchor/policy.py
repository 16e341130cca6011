"""What the anchor is with so many labels: few want the pool covered, many want the model's doubts settled."""

from __future__ import annotations

from autoal.settings import SearchConfig

__all__ = ["FEW", "at_budget"]

FEW = 100
"""Labels up to which a linear model wants the pool covered, weighted by the uncertainty as it is."""
HIGHEST = 4.0
"""Exponent of an uncertainty that can be trusted wholly."""


def at_budget(config: SearchConfig, n_labeled: int, num_classes: int, *, kin: bool, trust: float) -> SearchConfig:
    """`config` with what it leaves open filled in.

    Up to `FEW` labels of a model that heads can speak for (`Judges.kin`), and in a regression: exponent 1, among the
    proposals. Else: `HIGHEST` times the trust, in [0, 1], but 1 at least, over the whole pool. Trust is what
    predictions learned on two halves of the labels have in common: where that is little, uncertainty says little too.
    """
    many = num_classes > 0 and (n_labeled > FEW or not kin)
    filled: dict[str, object] = {}
    if config.anchor_exponent is None:
        filled["anchor_exponent"] = max(1.0, HIGHEST * trust) if many else 1.0
    if config.proposals == "auto":
        filled["proposals"] = "pool" if many else "union"
    return config.model_copy(update=filled) if filled else config
