"""Row numbers and ids as users write them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.errors import InvalidInput
from autoal.lazy import is_a

__all__ = ["id_array", "id_ranks", "index_array", "text_of"]

MOST = 10**300
"""Integers beyond it name nothing; of more than 4,300 digits Python makes no text."""
BITS = 4096
"""An integer id is no longer: Python refuses to write those of more than 4,300 digits."""


def index_array(indices: Any, n: int, name: str, *, distinct: bool = True) -> NDArray[np.int64]:
    """`indices` as row numbers in 0..n-1; a boolean mask of length n is accepted too.

    Raises InvalidInput for other shapes and dtypes, and for numbers that are negative, too large or repeated.
    """
    try:
        if is_a(indices, "torch", "Tensor"):
            indices = indices.detach().cpu()
        values = np.asarray(indices)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InvalidInput(f"{name}= cannot be read as row numbers ({error}); wanted (k,) or a mask of {n}") from error
    if isinstance(indices, np.ma.MaskedArray) and np.ma.getmaskarray(indices).any():
        raise InvalidInput(f"got {name}= with masked entries; wanted row numbers (k,) or a mask of length {n}")
    if values.size == 0 and values.ndim == 1:
        return np.zeros(0, dtype=np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iub":
        raise InvalidInput(
            f"got {name}= of dtype {values.dtype} and shape {values.shape}; "
            f"wanted row numbers (k,) or a mask of length {n}"
        )
    if values.dtype.kind == "b":
        if len(values) != n:
            raise InvalidInput(f"got {name}= as a mask of length {len(values)}; wanted {n}, one entry for each row")
        return np.flatnonzero(values)
    outside = values[(values < 0) | (values >= n)]
    if len(outside):
        raise InvalidInput(
            f"{name}= holds row numbers outside 0..{n - 1}: {outside[:5].tolist()}; wanted rows that exist"
        )
    values = values.astype(np.int64)
    if distinct:
        numbers, counts = np.unique(values, return_counts=True)
        if (counts > 1).any():
            raise InvalidInput(
                f"{name}= names rows more than once: {numbers[counts > 1][:5].tolist()}; wanted each row once"
            )
    return values


def id_array(ids: Sequence[Hashable] | NDArray[Any] | None, n: int) -> NDArray[Any]:
    """One id per row, int64 where all are integers, else objects; row numbers where none are given.

    Raises InvalidInput where there are not n of them, or they repeat or cannot be hashed.
    """
    if ids is None:
        return np.arange(n)
    values = ids.tolist() if hasattr(ids, "tolist") else ids
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidInput(f"got ids of type {type(ids).__name__}; wanted a list or an array, one for each row")
    values = list(values)
    if len(values) != n:
        raise InvalidInput(f"got {len(values)} ids for {n} rows; wanted one for each row")
    try:
        distinct = len(set(values))
    except TypeError as error:
        raise InvalidInput(f"ids must be hashable ({error}); use integers or text") from error
    if any(value is None or value != value for value in values):
        raise InvalidInput("ids hold None or NaN; wanted a distinct integer or text for each row")
    if distinct < n:
        seen: set[Any] = set()
        repeated = [value for value in values if value in seen or seen.add(value)]  # type: ignore[func-returns-value]
        raise InvalidInput(
            f"{n - distinct} ids are repeated (first {repeated[:5]}); wanted a distinct one for each row"
        )
    if all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
        return np.asarray(values, dtype=np.int64)
    if any(isinstance(value, int) and value.bit_length() > BITS for value in values):
        raise InvalidInput(f"ids hold integers of more than {BITS} bits, which cannot be written; use text")
    out = np.empty(n, dtype=object)
    out[:] = values
    return out


def id_ranks(ids: NDArray[Any], are_row_numbers: bool = False) -> NDArray[np.int64]:
    """(n,) place of each id in sorted order; ids that have no common order are sorted as text."""
    if are_row_numbers:
        return np.arange(len(ids))
    if ids.dtype.kind == "i":
        order = np.argsort(ids, kind="stable")
    else:
        values = ids.tolist()
        try:
            order = np.asarray(sorted(range(len(values)), key=values.__getitem__))
        except TypeError:  # type names break the tie between 1 and "1"
            keys = [(str(value), type(value).__name__) for value in values]
            order = np.asarray(sorted(range(len(values)), key=keys.__getitem__))
    ranks = np.empty(len(ids), dtype=np.int64)
    ranks[order] = np.arange(len(ids))
    return ranks


def text_of(value: Any) -> str | None:
    """How an id is written in a file; None for what is no id. Whole floats count as integers, since a column of a
    table that has gaps turns into floats."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= MOST:
        return None
    return str(int(value))
