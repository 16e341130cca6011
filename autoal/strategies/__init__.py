"""The portfolio. A new strategy is one file beside this one and one line in `CANDIDATES`."""

from autoal.strategies.base import Proposal, Strategy

CANDIDATES: dict[str, type[Strategy]] = {}

__all__ = ["CANDIDATES", "Proposal", "Strategy"]
