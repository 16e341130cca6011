"""Selectors: AutoAL, and what a selector is."""

from autoal.selectors.base import RoundState, Selection, Selector
from autoal.selectors.estimator import AutoAL
from autoal.selectors.query import Query

__all__ = ["AutoAL", "Query", "RoundState", "Selection", "Selector"]
