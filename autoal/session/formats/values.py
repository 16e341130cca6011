"""Parts that several formats share: one label out of its brackets, who answered, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoal.data.indices import text_of
from autoal.errors import InvalidInput, shown
from autoal.session.answers import annotator_name
from autoal.session.formats.files import from_json
from autoal.session.ids import DIGITS

__all__ = ["RESULTS", "Problems", "annotator_of", "objects", "one_label", "row_number"]

RESULTS = ("choices", "number", "rating", "text", "taxonomy", "labels")
"""Fields of a Label Studio result that may hold a label."""
WRAPPED = 8
"""Lists and objects around one label, at most."""
NAMED = 5
"""Mistakes named in one message."""


class Problems:
    """Mistakes in the records of a file, to be told together."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def add(self, error: InvalidInput) -> None:
        self.said.append(str(error))

    def tell(self) -> None:
        """Raises InvalidInput where there are any."""
        if self.said:
            more = f" (and {len(self.said) - NAMED} more)" if len(self.said) > NAMED else ""
            raise InvalidInput(f"{'; '.join(self.said[:NAMED])}{more}")


def one_label(value: Any, where: str) -> Any:
    """A label that may come wrapped, as in ["oak"] or {"choices": ["oak"]}; None for an empty one."""
    for _ in range(WRAPPED):
        if isinstance(value, Mapping):
            kind = next((kind for kind in RESULTS if kind in value), None)
            if kind is None:
                raise InvalidInput(f"{where}got {shown(dict(value))} as a label; wanted text or a number")
            value = value[kind]
        elif isinstance(value, list):
            if len(value) > 1:
                raise InvalidInput(f"{where}got {len(value)} labels {shown(value[:4])}; wanted one for each point")
            value = value[0] if value else None
        elif isinstance(value, str):
            value = value.strip()
            with_json = _parsed(value, where) if value.startswith(('{"', "[{", '["')) else None
            if with_json is None:
                return value or None
            value = with_json  # CSV files of these tools hold what is not simple as JSON
        else:
            return None if value is None or value != value else value
    raise InvalidInput(f"{where}got a label in more than {WRAPPED} brackets; wanted text or a number")


def annotator_of(value: Any, where: str) -> str | None:
    """The name of whoever answered: text, a number, or an object with email, username or id; None where nobody is
    named."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("email", "username", "id") if value.get(key)), None)
    if value is None or value == "" or value != value:
        return None
    try:
        return annotator_name(value)
    except InvalidInput as error:
        raise InvalidInput(f"{where}{error}") from error


def row_number(value: Any, where: str) -> int:
    text = text_of(value)
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
        raise InvalidInput(f"{where}got index {shown(value)}; wanted the row number that the task came with")
    return int(text)


def objects(value: Any, where: str) -> list[dict[str, Any]]:
    """A list of JSON objects; none where there is nothing."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise InvalidInput(f"{where} holds {shown(value)}; wanted a list of objects")
    return value


def _parsed(text: str, where: str) -> Any:
    try:
        return from_json(text, where)
    except InvalidInput:
        return None
