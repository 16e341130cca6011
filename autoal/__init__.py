"""autoal: which points should I label next, and who decides how?"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoal.data import Shards
    from autoal.selectors import AutoAL, Query
    from autoal.session import Session
    from autoal.strategies import CANDIDATES

__all__ = ["CANDIDATES", "AutoAL", "Query", "Session", "Shards"]
__version__ = "0.1.0"

_HOMES = {
    "AutoAL": "autoal.selectors",
    "CANDIDATES": "autoal.strategies",
    "Query": "autoal.selectors",
    "Session": "autoal.session",
    "Shards": "autoal.data",
}


def __getattr__(name: str) -> Any:
    """The names above, and the subpackages, when they are asked for: torch takes seconds to import, and `autoal --help`
    should not."""
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
