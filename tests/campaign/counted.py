"""What a part of the campaign came to."""

from __future__ import annotations

import collections
from typing import NamedTuple, Self

__all__ = ["Outcome"]


class Outcome(NamedTuple):
    """How often what happened, and what should not have."""

    counts: collections.Counter[str]
    faults: list[str]

    @classmethod
    def empty(cls) -> Self:
        return cls(collections.Counter(), [])
