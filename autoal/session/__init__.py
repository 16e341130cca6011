"""Ask and tell: a labelling that lasts for weeks, in a folder that survives whatever happens to the process."""

from autoal.session.session import Session
from autoal.session.state import Told

__all__ = ["Session", "Told"]
