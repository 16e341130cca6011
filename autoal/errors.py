"""The errors a user can meet. Every message says what we got, what we wanted, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "SHOWN",
    "AutoALError",
    "AutoALWarning",
    "ConfigError",
    "DataMissing",
    "DeviceUnavailable",
    "InvalidInput",
    "MissingOutput",
    "NotFitted",
    "PoolExhausted",
    "RunError",
    "UnknownName",
    "shown",
]

SHOWN = 200
"""Characters of a value in a message."""
LONGEST = 4000
"""Characters of a message."""


def shown(value: Any, most: int = SHOWN) -> str:
    """`repr` for a message: cut where it is long, and something for every value, also for those whose repr fails, as
    that of an integer of 5,000 digits or of a list nested 1,000 deep does."""
    try:
        text = repr(value)
    except Exception as error:  # of a class of the user's, perhaps: anything
        return f"a value of type {type(value).__name__} that cannot be shown ({type(error).__name__})"
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


class AutoALError(Exception):
    """Base class of every error raised on purpose by this package."""

    def __str__(self) -> str:
        """The message, without the middle of a very long one: what to do comes last."""
        text = super().__str__()
        half = LONGEST // 2
        return text if len(text) <= LONGEST else f"{text[:half]} [...] {text[-half:]}"


class InvalidInput(AutoALError, ValueError):
    """An argument or array that cannot be used as it is."""


class PoolExhausted(InvalidInput):
    """More points were asked for than the pool holds."""


class ConfigError(AutoALError, ValueError):
    """A configuration file with a wrong value, or a key that does not exist."""


class MissingOutput(AutoALError, RuntimeError):
    """A strategy read a model output that it did not name in `needs`, or that the model cannot give."""


class NotFitted(AutoALError, RuntimeError):
    """A result was asked for before the call that produces it."""


class DeviceUnavailable(AutoALError, RuntimeError):
    """A device was asked for by name and is not there."""


class DataMissing(AutoALError, FileNotFoundError):
    """A data file or data set is not where it was looked for."""


class RunError(AutoALError, RuntimeError):
    """A run folder that cannot be used, or cells of a run that failed."""


class UnknownName(AutoALError, ValueError):
    """A name that is not in a table; the message proposes the nearest one."""

    def __init__(self, kind: str, name: object, known: Iterable[str], further: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(known)}"
        super().__init__(f"unknown {kind} {name!r}; {hint}" + (f"; {further}" if further else ""))


class AutoALWarning(UserWarning):
    """Something was done that the user may not have expected; the message says what and why."""
