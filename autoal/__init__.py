"""autoal: which points should I label next, and who decides how?"""

from typing import TYPE_CHECKING

from autoal.lazy import attach

if TYPE_CHECKING:
    from autoal.data import Shards
    from autoal.selectors import AutoAL, Query
    from autoal.session import Session
    from autoal.strategies import CANDIDATES

__all__ = ["CANDIDATES", "AutoAL", "Query", "Session", "Shards"]
__version__ = "0.1.0"

__getattr__, __dir__ = attach(
    __name__,
    {
        "AutoAL": "autoal.selectors",
        "CANDIDATES": "autoal.strategies",
        "Query": "autoal.selectors",
        "Session": "autoal.session",
        "Shards": "autoal.data",
    },
)
