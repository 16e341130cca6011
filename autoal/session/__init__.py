"""Ask and tell: a labelling that lasts for weeks, in a folder that survives whatever happens to the process."""

from typing import TYPE_CHECKING

from autoal.lazy import attach

if TYPE_CHECKING:
    from autoal.session.session import Session
    from autoal.session.state import Told

__all__ = ["Session", "Told"]

__getattr__, __dir__ = attach(__name__, {"Session": "autoal.session.session", "Told": "autoal.session.state"})
