"""Which key stands for which class."""

from __future__ import annotations

import string
from collections.abc import Sequence

__all__ = ["RESERVED", "keys_of"]

RESERVED = frozenset("gnosu")
"""Guess, new class, none of these, skip, undo."""
ORDER = [*"123456789", *(letter for letter in string.ascii_lowercase if letter not in RESERVED)]


def keys_of(names: Sequence[str]) -> list[str | None]:
    """The key of each class: the class itself where it is one digit or letter (7 for "7"), else the first of 1 to 9,
    and then of the letters, that is free; None where none is left. A class that is added at the end moves no other.

    >>> keys_of(["oak", "elm", "7", "b", "s"])
    ['1', '2', '7', 'b', '3']
    """
    keys: list[str | None] = []
    for name in names:
        own = name.lower() if len(name) == 1 and name.isascii() and name.isalnum() else None
        if own is None or own in RESERVED or own in keys:
            own = next((key for key in ORDER if key not in keys), None)
        keys.append(own)
    return keys
