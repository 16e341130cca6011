"""Selectors: AutoAL, and what a selector is."""

from typing import TYPE_CHECKING

from autoal.lazy import attach

if TYPE_CHECKING:
    from autoal.selectors.base import RoundState, Selection, Selector
    from autoal.selectors.estimator import AutoAL
    from autoal.selectors.query import Query

__all__ = ["AutoAL", "Query", "RoundState", "Selection", "Selector"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "AutoAL": "autoal.selectors.estimator",
        "Query": "autoal.selectors.query",
        "RoundState": "autoal.selectors.base",
        "Selection": "autoal.selectors.base",
        "Selector": "autoal.selectors.base",
    },
)
