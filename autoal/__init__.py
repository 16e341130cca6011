"""autoal: which points should I label next, and who decides how?"""

from autoal.selectors import AutoAL, Query
from autoal.session import Session
from autoal.strategies import CANDIDATES

__all__ = ["CANDIDATES", "AutoAL", "Query", "Session"]
__version__ = "0.1.0"
