"""Messages in the words of the command line: what Python calls `on_conflict=` is `--on-conflict` there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Flag", "in_flags"]


class Flag(NamedTuple):
    """An option of a command."""

    argument: str
    """As Python calls it."""
    flag: str
    """As the command line does."""
    switch: bool
    """Whether it takes no value."""


def in_flags(message: str, flags: Iterable[Flag]) -> str:
    """`message`, with arguments of Python replaced by the options of the command that was given.

    >>> flags = [Flag("on_conflict", "--on-conflict", False), Flag("correct", "--correct", True)]
    >>> in_flags("got on_conflict='most'; or say correct=True", flags)
    "got --on-conflict 'most'; or say --correct"
    """
    for argument, flag, switch in flags:
        name = rf"(?<![\w.\-]){re.escape(argument)}"
        if switch:
            message = re.sub(rf"{name}=True\b", flag, message)
            message = re.sub(rf"{name}=False\b", f"no {flag}", message)
        # `classes=` alone is the option; `classes=[...]` and `classes='a'` are the option and its value.
        message = re.sub(rf"{name}=(?=[\s,;.)`]|$)", flag, message)
        message = re.sub(rf"{name}=(?=\S)", f"{flag} ", message)
    return message
