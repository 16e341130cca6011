"""Texts: a list, a Series or an array of them, or a table of one column."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from autoal.data.batches import Parts
from autoal.data.faces import AS_GIVEN, EncodedRows, Index, rows_of
from autoal.encoders.containers import texts_of
from autoal.errors import InvalidInput

__all__ = ["COLUMN", "TextRows", "contents_fingerprint", "is_texts", "listed", "sample"]

COLUMN = "them as their only column, one text a row"


def is_texts(values: Any) -> bool:
    """Whether `values`, a list, a Series or an array (n,) or (n, 1), holds texts, perhaps with gaps."""
    if isinstance(values, np.ndarray):
        if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 1):
            return False
        if values.dtype.kind == "U" or type(values.dtype).__name__ == "StringDType":
            return True
        if values.dtype.kind != "O":
            return False
        values = values.reshape(-1).tolist()
    elif hasattr(values, "to_list"):
        values = values.to_list()
    found = False
    for value in values:
        if isinstance(value, str):
            found = True
        elif not (value is None or value is pd.NA or (isinstance(value, float) and value != value)):
            return False
    return found


def contents_fingerprint(kind: str, count: int, words: Any) -> str:
    """Hash of the kind, the number of rows and texts that stand for up to 64 of them."""
    digest = hashlib.sha256(f"{kind}:{count}:".encode())
    for word in words:
        digest.update(_written(word).encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
    return digest.hexdigest()[:32]


def _written(word: Any) -> str:
    try:
        return repr(word)
    except ValueError:  # holds an integer of thousands of digits
        return type(word).__name__


def sample(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Up to 64 evenly spaced row numbers."""
    return np.unique(np.linspace(0, count - 1, min(count, 64)).astype(np.int64))


def listed(native: Any) -> Parts:
    """Texts as a network takes them that reads texts: one list of str."""
    texts = texts_of(native, "X")
    return Parts((texts,), len(texts))


class TextRows(EncodedRows):
    """Texts in the container they came in: list, tuple, Series or Index, object or text array (n,), (n, 1). A network
    gets a list of them, or, where it refuses that, their encoded face.

    Raises InvalidInput where there are none.
    """

    kind = "texts"

    def __init__(self, texts: Any, what: str = "X") -> None:
        if len(texts) == 0:
            raise InvalidInput(f"got an empty {type(texts).__name__} as {what}; wanted at least one text")
        self.texts, self.what = texts, what

    def __len__(self) -> int:
        return len(self.texts)

    def native(self, indices: Index) -> Any:
        """A list for a list, else the container's own kind."""
        return rows_of(self.texts, indices)

    @property
    def forms(self) -> tuple[str, ...]:
        two = isinstance(self.texts, np.ndarray) and self.texts.ndim == 2
        return (*super().forms, COLUMN) if two else super().forms

    def form(self, name: str, indices: Index) -> Any:
        made = self.native(indices)
        return made[:, 0] if name == COLUMN else made

    @property
    def net_forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, *super().net_forms)

    def net_form(self, name: str, indices: Index) -> Any:
        return listed(self.native(indices)) if name == AS_GIVEN else self.take(indices)

    def fingerprint(self) -> str:
        shown = self.native(sample(len(self)))
        words = shown.reshape(-1).tolist() if isinstance(shown, np.ndarray) else list(shown)
        return contents_fingerprint("texts", len(self), words)
