"""Ask and tell: a labelling that lasts for weeks, in a folder that survives whatever happens to the process."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoal.session.session import Session
    from autoal.session.state import Told

__all__ = ["Session", "Told"]


def __getattr__(name: str) -> Any:
    """The names above, when they are asked for: torch takes seconds to import, and `autoal --help` should not."""
    if name == "Session":
        from autoal.session.session import Session

        return Session
    if name == "Told":
        from autoal.session.state import Told

        return Told
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
