"""Odd values, small and of all types: single ones, and containers of them."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import pathlib
import random
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow
import torch
from scipy import sparse

__all__ = [
    "NUMBERS",
    "SCALARS",
    "TEXTS",
    "container",
    "contents",
    "for_polars",
    "nested",
    "numpy_of",
    "odd",
    "scalar",
    "text",
]

Maker = Callable[[], Any]


class Colour(enum.Enum):
    """What people use for labels."""

    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 1


TEXTS: tuple[Any, ...] = (
    "", " ", "a", "a\0", "\0", "\ud800", "a\udfff", "nan", "None", "-1", "1.0", "1e400", "007", "=HYPERLINK(1)",
    "@x", "é", "e\u0301", "\r", "a\nb", "\u2028", "\x85", "\ufeff", "🎉", "$\\frac{$", "<script>", "x" * 20_000,
    "../../evil", "%s{0}", '"', ",", "\x1b[31m", "9" * 5000, "İ", "[]", '{"choices": ["a"]}', '["a", "b"]', "True",
)  # fmt: skip
INTEGERS: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 10**6, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, -(10**30), 10**400,
    10**5000,
)  # fmt: skip
FLOATS: tuple[Any, ...] = (
    0.0, -0.0, 0.5, 1.0, -1.0, 1e-320, 5e-324, 1e30, 1e200, 1e308, -1e308, float("nan"), float("inf"), float("-inf"),
    1 + 1e-12,
)  # fmt: skip
NUMPY: tuple[Any, ...] = (
    np.int8(-1), np.uint8(255), np.uint64(2**64 - 1), np.int64(3), np.float16(0.1), np.float32("inf"),
    np.float64("nan"), np.longdouble(1) / 3, np.complex64(1), np.bool_(True), np.str_("s"), np.bytes_(b"s"),
    np.datetime64("2020-01-01"), np.datetime64("NaT"), np.timedelta64(3, "D"), np.void(b"ab"), np.array(3),
    np.array("t"), np.array(None),
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, Ellipsis, NotImplemented, 1j, complex("nan"), b"", b"a", b"\xff", bytearray(b"x"),
    decimal.Decimal(1), decimal.Decimal("0.1"), decimal.Decimal("NaN"), decimal.Decimal("sNaN"),
    decimal.Decimal("Infinity"), decimal.Decimal("1e999"), fractions.Fraction(1, 3), fractions.Fraction(2),
    datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.datetime(1, 1, 1, tzinfo=datetime.UTC),
    datetime.timedelta(1), datetime.time(3), pd.Timestamp("2020"), pd.Timestamp("2020", tz="UTC"), pd.NaT, pd.NA,
    pd.Interval(0, 1), pd.Period("2020"), pd.Timedelta(1), uuid.UUID(int=5), pathlib.Path("x"), Colour.RED, Level.HIGH,
    object, len, ValueError("x"), range(3), slice(2), frozenset(), frozenset({1}), (), (1,), (1, (2, 3)), [], [1],
    ["a"], {}, {"a": 1}, {"id": 1, "label": "a"}, {1: {2: 3}}, {"a", "b"}, torch.tensor(1), torch.tensor(float("nan")),
    torch.tensor([1, 2]), np.zeros(0), np.zeros((2, 0)), np.zeros((0, 2)), memoryview(b"ab"), array.array("d", [1.0]),
)  # fmt: skip
NUMBERS = (*INTEGERS, *FLOATS)
SCALARS = (*TEXTS, *NUMBERS, *NUMPY, *OTHERS)


def scalar(rng: random.Random) -> Any:
    """One odd value, of any type as likely as another."""
    return rng.choice(rng.choice([TEXTS, INTEGERS, FLOATS, NUMPY, OTHERS]))


def text(rng: random.Random) -> str:
    return str(rng.choice(TEXTS))


def nested(depth: int) -> list[Any]:
    """[[[...]]]"""
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


def contents(rng: random.Random, n: int) -> list[Any]:
    """n values: of one type, of a few, or plain ones with an odd one among them."""
    kind = rng.randrange(8)
    if kind == 0:
        return [rng.choice(INTEGERS[:9]) for _ in range(n)]
    if kind == 1:
        return [rng.choice(FLOATS) for _ in range(n)]
    if kind == 2:
        return [text(rng) for _ in range(n)]
    if kind == 3:
        return [scalar(rng) for _ in range(n)]
    if kind == 4:
        return [scalar(rng)] * n
    plain: list[Any] = [list(range(n)), [rng.random() for _ in range(n)], [rng.choice("ab") for _ in range(n)]][
        kind - 5
    ]
    for _ in range(rng.choice([0, 1, 1, 3])):
        if n:
            plain[rng.randrange(n)] = scalar(rng)
    return plain


def numpy_of(values: list[Any]) -> Any:
    """An array of objects, whatever the values are."""
    made = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        made[place] = value
    return made


def _masked(rng: random.Random, values: list[Any]) -> Any:
    mask = [rng.random() < 0.3 for _ in values]
    try:
        return np.ma.masked_array(np.asarray(values), mask=mask)
    except Exception:  # whatever numpy cannot hold
        return np.ma.masked_array(numpy_of(values), mask=mask)


CONTAINERS: dict[str, Callable[[random.Random, list[Any]], Any]] = {
    "list": lambda rng, values: values,
    "tuple": lambda rng, values: tuple(values),
    "objects": lambda rng, values: numpy_of(values),
    "array": lambda rng, values: np.asarray(values),
    "column": lambda rng, values: numpy_of(values)[:, None],
    "row": lambda rng, values: numpy_of(values)[None],
    "of lists": lambda rng, values: [[value] for value in values],
    "of pairs": lambda rng, values: [[value, value] for value in values],
    "masked": _masked,
    "floats": lambda rng, values: np.asarray(values, dtype=np.float64),
    "float16": lambda rng, values: np.asarray(values, dtype=np.float16),
    "complex": lambda rng, values: np.asarray(values, dtype=complex),
    "dates": lambda rng, values: np.asarray(range(len(values)), dtype="datetime64[D]"),
    "records": lambda rng, values: np.zeros(len(values), dtype=[("a", "i4"), ("b", "f4")]),
    "bytes": lambda rng, values: np.asarray([b"a"] * len(values)),
    "matrix": lambda rng, values: np.asmatrix(np.asarray(values, dtype=np.float64)),
    "Series": lambda rng, values: pd.Series(values),
    "shifted Series": lambda rng, values: pd.Series(values, index=[5] * len(values)),
    "Int64": lambda rng, values: pd.array(values, dtype="Int64"),
    "string": lambda rng, values: pd.Series([str(value) for value in values], dtype="string"),
    "category": lambda rng, values: pd.Series(values).astype("category"),
    "Categorical": lambda rng, values: pd.Categorical(values),
    "Index": lambda rng, values: pd.Index(values),
    "MultiIndex": lambda rng, values: pd.MultiIndex.from_arrays([values, values]),
    "frame": lambda rng, values: pd.DataFrame({"a": values}),
    "two columns": lambda rng, values: pd.DataFrame({"a": values, "b": values}),
    "polars": lambda rng, values: polars.Series(for_polars(values)),
    "polars frame": lambda rng, values: polars.DataFrame({"a": for_polars(values)}),
    "arrow": lambda rng, values: pyarrow.array(values),
    "tensor": lambda rng, values: torch.tensor(values),
    "sparse": lambda rng, values: sparse.csr_matrix(np.asarray(values, dtype=np.float64)),
    "generator": lambda rng, values: (value for value in values),
    "iterator": lambda rng, values: iter(values),
    "map": lambda rng, values: map(str, values),
    "dict": lambda rng, values: dict(enumerate(values)),
    "keys": lambda rng, values: dict.fromkeys(values).keys(),
    "set": lambda rng, values: set(values),
    "deque": lambda rng, values: collections.deque(values),
    "range": lambda rng, values: range(len(values)),
    "nested": lambda rng, values: nested(rng.choice([3, 70, 3000])),
    "0-d": lambda rng, values: np.array(values[0] if values else None),
}


def for_polars(values: Any) -> Any:
    """Without decimals and huge integers: at a signalling NaN polars ends its thread, not the call, and it refuses 10**5000
    in a way that fails itself."""
    return [
        0 if isinstance(value, decimal.Decimal) or (isinstance(value, int) and value.bit_length() > 128) else value
        for value in values
    ]


def container(rng: random.Random, values: list[Any]) -> Any:
    """The values in some container; those that it cannot hold stay a list."""
    try:
        return CONTAINERS[rng.choice(list(CONTAINERS))](rng, values)
    except Exception:  # the container's own refusal, of which each has many
        return values


def odd(rng: random.Random, n: int) -> Any:
    """Any value where a column of n was wanted."""
    if rng.random() < 0.25:
        return scalar(rng)
    length = rng.choice([n, n, n, n, n - 1, n + 1, 0, 1, 2])
    return container(rng, contents(rng, max(0, length)))
