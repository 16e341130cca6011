"""Class names that differ only in how they are written, as `cat` and `Cat`: mostly one class that two people typed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from autoal.errors import shown

__all__ = ["alike", "says_alike", "spelled"]


def alike(classes: Iterable[Any]) -> list[list[str]]:
    """Groups of names that are the same but for case, the form of a character (as full-width), and how words are set
    apart: by spaces, hyphens or underscores. Only text has such; order is that of `classes`."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        if isinstance(name, str):
            groups.setdefault(spelled(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def says_alike(groups: list[list[str]]) -> str:
    """One sentence on such groups, with the way out."""
    listed = "; ".join(" and ".join(shown(name, 60) for name in group) for group in groups[:5])
    more = f" and {len(groups) - 5} more" if len(groups) > 5 else ""
    return (
        f"classes that differ only in how they are written: {listed}{more}; where they are one, give their points one "
        "of the names: relabel(id, label)"
    )


def spelled(name: str) -> str:
    """What is the same for all ways to write a name."""
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", text)
