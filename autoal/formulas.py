"""Text that a spreadsheet would run as a formula, marked in CSV on the way out and as it was on the way back.

Spreadsheets evaluate cells that begin with one of `= + - @`, whoever wrote them; an apostrophe before it makes text of
them (OWASP, "CSV Injection"). Numbers stay numbers, and text that is one runs nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # reading answers needs no pandas
    import pandas as pd

__all__ = ["defused", "restored"]

STARTS = "[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""The signs, their full-width forms, and the white space that spreadsheets skip before them."""
RUNS = re.compile(f"'*{STARTS}")
MARKED = re.compile(f"'+{STARTS}")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def defused(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy in which text that would run begins with an apostrophe (one more, where it has some); names of columns
    too."""
    found = frame.rename(columns=_defused)
    for name, kind in found.dtypes.items():
        if getattr(kind, "kind", "O") not in "biufcmM":
            found[name] = found[name].astype(object).map(_defused)
    return found


def _defused(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and RUNS.match(value) and not NUMBER.fullmatch(value) else value


def restored(text: str) -> str:
    """What `defused` was given."""
    return text[1:] if MARKED.match(text) else text
