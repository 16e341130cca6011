"""What a column of a table holds: numbers, dates, categories, strings, texts, or nothing that distances can use."""

from __future__ import annotations

import datetime
import decimal
import enum
import os
import re
import uuid
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from autoal.encoders.texts import SPACELESS
from autoal.errors import InvalidInput

__all__ = ["Column", "read_column"]

CATEGORIES = 40
"""Up to so many different values a column is one-hot encoded; above, its values are compared as strings."""

NEARLY_ALL = 0.95
FEWEST_ROWS = 20
"""Below, that all values differ says nothing: a column of ten cities may well have ten values."""

MISSING = frozenset("|na|n/a|#n/a|<na>|nan|-nan|null|none|nil|?|-|--|...".split("|"))
"""How a gap is written as text, in lower case: what pandas reads as one, and what people type."""

OUT_EMPTY = "they hold no value at all"
OUT_CONSTANT = "they hold one value only"
OUT_COUNTER = "they merely count the rows"
OUT_DISTINCT = "nearly every value is different and it is neither text nor a date"
OUT_OBJECTS = "they hold values that are neither numbers, texts nor dates"

TRUE_FALSE = {"true": 1.0, "false": 0.0}


@dataclass
class Column:
    """One column as `read_column` found it; `read` gives other rows of it in the same form.

    `kind` is "number", "date", "category" (few values, one-hot), "strings" (many values that repeat), "text", or
    "out" for a column that is left out, with the `reason`.
    """

    name: str
    kind: str
    reason: str = ""
    separators: tuple[str, str] = (".", "")
    """Decimal and thousands separators of numbers that were written as text."""
    written: bool = False
    """Whether numbers or dates came as text."""
    formats: list[str] = field(default_factory=list)
    zone: Any = None
    levels: dict[str, float] = field(default_factory=dict)
    """Place of each level of an ordered category."""

    def read(self, column: pd.Series[Any]) -> NDArray[Any]:
        """(n,) float64 with NaN in gaps for "number", datetime64 with NaT for "date", else objects, str or None."""
        if self.kind == "number":
            return self._numbers(column)
        if self.kind == "date":
            return _moments(column, self.formats, self.zone)
        return _strings(column)

    def _numbers(self, column: pd.Series[Any]) -> NDArray[np.float64]:
        if isinstance(column.dtype, pd.CategoricalDtype):
            if self.levels:
                return np.array([self.levels.get(str(value), np.nan) for value in column.astype(object)], dtype=float)
            column = column.astype(object)
        plain = _plain_numbers(column)
        if plain is not None:
            return plain
        values = column.to_numpy(dtype=object)
        return np.array([_number(value, self.separators) for value in values], dtype=np.float64)


def read_column(column: pd.Series[Any], name: str) -> Column:
    """What `column` holds. Its order of rows does not matter.

    Raises InvalidInput for complex numbers.
    """
    column = _dense(column)
    if column.isna().all():
        return Column(name, "out", OUT_EMPTY)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _category(column, name)
    if types.is_complex_dtype(column.dtype):
        raise InvalidInput(f"column {name!r} holds complex numbers; wanted real ones: take parts or magnitudes")
    if _plain_numbers(column) is not None:
        whole = types.is_integer_dtype(column.dtype)
        return _numeric(Column(name, "number"), column, whole=whole)
    if isinstance(column.dtype, pd.PeriodDtype) or types.is_datetime64_any_dtype(column.dtype):
        return _dated(Column(name, "date", zone=getattr(column.dtype, "tz", None)), column)
    return _objects(column, name)


def _category(column: pd.Series[Any], name: str) -> Column:
    present = column.dropna()
    levels = list(column.cat.categories)
    if column.cat.ordered and len(set(map(str, levels))) == len(levels):
        if present.nunique() < 2:
            return Column(name, "out", OUT_CONSTANT)
        return Column(name, "number", levels={str(level): float(place) for place, level in enumerate(levels)})
    distinct = present.nunique()
    if distinct > CATEGORIES or _nearly_unique(distinct, len(present)):
        # Nobody meant so many as categories: a reader that makes one of each text column did.
        return read_column(column.astype(object), name)
    return Column(name, "out", OUT_CONSTANT) if distinct < 2 else Column(name, "category")


def _numeric(made: Column, column: pd.Series[Any], whole: bool) -> Column:
    values = made.read(column)
    values = values[np.isfinite(values)]
    if not len(values):
        return Column(made.name, "out", OUT_EMPTY)
    if values.min() == values.max():
        return Column(made.name, "out", OUT_CONSTANT)
    n = len(column)
    if whole and n >= FEWEST_ROWS and len(values) == n and values.max() - values.min() == n - 1:
        if len(np.unique(values)) == n:
            return Column(made.name, "out", OUT_COUNTER)
    return made


def _dated(made: Column, column: pd.Series[Any]) -> Column:
    moments = made.read(column)
    distinct = len(np.unique(moments[~np.isnat(moments)]))
    return made if distinct > 1 else Column(made.name, "out", OUT_CONSTANT if distinct else OUT_EMPTY)


def _objects(column: pd.Series[Any], name: str) -> Column:
    """A column of strings, or of whatever Python objects."""
    present = column.dropna().astype(object)
    kinds = set(map(type, present))
    if any(issubclass(kind, complex | np.complexfloating) for kind in kinds):
        raise InvalidInput(f"column {name!r} holds complex numbers; wanted real ones: take parts or magnitudes")
    if all(issubclass(kind, _NUMBERS) for kind in kinds):
        whole = all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds)
        return _numeric(Column(name, "number"), column, whole)
    if all(issubclass(kind, _DATES) for kind in kinds):
        zones = sorted({str(getattr(value, "tzinfo", None)) for value in present})
        zone = None if len(zones) > 1 else getattr(present.iloc[0], "tzinfo", None)
        return _dated(Column(name, "date", zone=zone), column)
    if all(issubclass(kind, _SPANS) for kind in kinds):
        return _numeric(Column(name, "number"), column, whole=False)
    if not all(issubclass(kind, _NAMES + _NUMBERS + _DATES + _SPANS) for kind in kinds):
        return Column(name, "out", OUT_OBJECTS)
    strings = [value for value in _strings(column) if value is not None]
    if not strings:
        return Column(name, "out", OUT_EMPTY)
    return _written(strings, column, name)


def _written(strings: list[str], column: pd.Series[Any], name: str) -> Column:
    """A column of strings, by what is written in them."""
    counts = Counter(strings)
    distinct = sorted(counts)
    if len(distinct) == 1:
        return Column(name, "out", OUT_CONSTANT)
    separators = _separators(counts)
    if separators is not None:
        whole = all(re.fullmatch(r"[+-]?\d+", text) for text in distinct)
        return _numeric(Column(name, "number", separators=separators, written=True), column, whole)
    formats = _date_formats(distinct)
    if formats:
        return _dated(Column(name, "date", formats=formats, written=True), column)
    unique = _nearly_unique(len(distinct), len(strings))
    # Sentences that come again and again are answers to choose from, e.g. "neither agree nor disagree".
    if (len(distinct) > CATEGORIES or len(distinct) > len(strings) / 2) and _is_text(distinct):
        return Column(name, "text")
    if unique:
        return Column(name, "out", OUT_DISTINCT)
    return Column(name, "category" if len(distinct) <= CATEGORIES else "strings")


def _nearly_unique(distinct: int, present: int) -> bool:
    return present >= FEWEST_ROWS and distinct >= NEARLY_ALL * present


# Values: numbers


_NUMBERS = (bool, int, float, decimal.Decimal, np.bool_, np.integer, np.floating)
_DATES = (datetime.date, pd.Timestamp, np.datetime64, pd.Period)
_SPANS = (datetime.time, datetime.timedelta, np.timedelta64, pd.Interval)
_NAMES = (str, uuid.UUID, os.PathLike, enum.Enum)


def _dense(column: pd.Series[Any]) -> pd.Series[Any]:
    dtype: Any = column.dtype
    return column.astype(dtype.subtype) if isinstance(dtype, pd.SparseDtype) else column


def _plain_numbers(column: pd.Series[Any]) -> NDArray[np.float64] | None:
    """(n,) of a column whose dtype says that it holds numbers or durations, NaN in gaps; None for other dtypes."""
    column = _dense(column)
    kind = column.dtype
    if types.is_complex_dtype(kind):
        return None
    if types.is_bool_dtype(kind) and not isinstance(kind, pd.CategoricalDtype):
        return np.asarray(column.astype("boolean").to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    if types.is_timedelta64_dtype(kind):
        return column.dt.total_seconds().to_numpy(dtype=np.float64)
    if types.is_numeric_dtype(kind):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if isinstance(kind, pd.IntervalDtype):
        return np.array([_number(value, (".", "")) for value in column], dtype=np.float64)
    return None


_MARKS = re.compile(r"[\s\u00a0\u202f€$£¥%]+")
_TIME = re.compile(r"(\d{1,3}):(\d{2})(?::(\d{2}(?:[.,]\d+)?))?")
_FORMS = {
    (".", ""): re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"),
    (".", ","): re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})*(\.\d*)?|[+-]?\d+(\.\d*)?"),
    (",", ""): re.compile(r"[+-]?(\d+,?\d*|,\d+)(e[+-]?\d+)?"),
    (",", "."): re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})*(,\d*)?|[+-]?\d+(,\d*)?"),
    (".", "'"): re.compile(r"[+-]?[1-9]\d{0,2}('\d{3})*(\.\d*)?|[+-]?\d+(\.\d*)?"),
    ("t", ""): _TIME,
}
"""How numbers are written, by decimal and thousands separators, the first that fits wins. "t" is a time of day."""

_GROUPED_SPACES = re.compile(r"(?<=\d)[ \u00a0\u202f](?=\d{3}(\D|$))")


def _bare(text: str) -> str:
    """A number without its currency, percent sign, and the spaces between thousands."""
    text = text.strip().lower().replace("\u2212", "-")
    text = _GROUPED_SPACES.sub("", text)
    head, tail = re.match(r"[\s\u00a0\u202f€$£¥%]*", text), re.search(r"[\s\u00a0\u202f€$£¥%]*$", text)
    return text[head.end() if head else 0 : tail.start() if tail else None]


def _separators(counts: Counter[str]) -> tuple[str, str] | None:
    """How these strings write numbers, None where they do not: a few that are none, 1 in 20, are read as gaps."""
    bare = {text: _bare(text) for text in counts}
    if any(re.fullmatch(r"0\d+", text) for text in bare.values()):
        # A leading zero is kept by codes and never by quantities: postcodes, article numbers, "007".
        return None
    total = sum(counts.values())
    for separators, form in _FORMS.items():
        fitting = sum(count for text, count in counts.items() if form.fullmatch(bare[text]))
        if fitting == total or (total >= FEWEST_ROWS and fitting >= NEARLY_ALL * total):
            return separators
    return None


def _number(value: Any, separators: tuple[str, str]) -> float:
    """One value as a number, NaN where it is none."""
    if isinstance(value, bool | int | float | decimal.Decimal | np.number | np.bool_) and not isinstance(
        value, complex
    ):
        try:
            return float(value)
        except (OverflowError, ValueError):  # an int beyond float64, or a signalling NaN
            return float("nan")
    if isinstance(value, datetime.time):
        return value.hour * 3600.0 + value.minute * 60.0 + value.second + value.microsecond / 1e6
    if isinstance(value, datetime.timedelta | np.timedelta64):
        return float(pd.Timedelta(value).total_seconds())
    if isinstance(value, pd.Interval):
        return _number(value.mid, separators) if np.isfinite(_number(value.mid, separators)) else float("nan")
    if not isinstance(value, str):
        return float("nan")
    text = _bare(value)
    if not _FORMS[separators].fullmatch(text):
        return float("nan")
    decimal_mark, thousands = separators
    if decimal_mark == "t":
        hours, minutes, seconds = _TIME.fullmatch(text).groups()  # type: ignore[union-attr]
        return int(hours) * 3600.0 + int(minutes) * 60.0 + float((seconds or "0").replace(",", "."))
    text = text.replace(thousands, "") if thousands else text
    return float(text.replace(decimal_mark, "."))


# Values: dates


_LIKE_DATE = re.compile(
    r"(?i)(?=.{6,40}$)(?=.*\d)(\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?|(\w{3,9},? )?\d{1,2}[-. ]+[a-z]{3,9}[-., ]+\d{2,4}"
    r"|[a-z]{3,9}\.? (\d{1,2},? )?\d{4})([t ,].*)?"
)
_OTHER_FORMATS = ("%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%y", "%b %Y", "%B %Y", "%d. %B %Y")
_SAMPLE = 60


def _date_formats(distinct: list[str]) -> list[str]:
    """The formats, in the order in which to try them, that read these strings as dates; none if they are no dates."""
    if sum(bool(_LIKE_DATE.fullmatch(text)) for text in distinct) < NEARLY_ALL * len(distinct):
        return []
    from pandas.tseries.api import guess_datetime_format

    places = np.unique(np.linspace(0, len(distinct) - 1, _SAMPLE).astype(np.int64))
    candidates: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # about days that cannot be months, which is what is being found out
        for place in places:
            # Month first for slashes, as in the United States, unless another reading fits better; day first elsewhere.
            for dayfirst in (True, False) if re.match(r"\d{1,2}[-.]", distinct[place]) else (False, True):
                # Only the year may come first and be followed by the day: nobody writes that.
                dayfirst = dayfirst and not re.match(r"\d{4}", distinct[place])
                candidates.append(guess_datetime_format(distinct[place], dayfirst=dayfirst) or "")
    candidates = [one for one in dict.fromkeys([*candidates, *_OTHER_FORMATS]) if one and one != "%Y"]
    read = {one: _parsed(distinct, one).notna().to_numpy() for one in candidates}
    formats, done = [], np.zeros(len(distinct), dtype=bool)
    while candidates:
        best = max(candidates, key=lambda one: int((read[one] & ~done).sum()))  # of equals the first
        if not (read[best] & ~done).any():
            break
        formats.append(best)
        done |= read[best]
        candidates.remove(best)
    enough = done.all() or (len(distinct) >= FEWEST_ROWS and done.mean() >= NEARLY_ALL)
    return formats if enough else []


def _parsed(texts: list[str] | pd.Series[Any], form: str) -> pd.Series[Any]:
    """Dates in `form`, without a time zone, NaT elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # Several offsets in one column can only be told as UTC; a single one is moved there too, which moves all alike.
        read = pd.to_datetime(pd.Series(texts, dtype=object), format=form, errors="coerce", utc=True)
    return read.dt.tz_localize(None)


def _moments(column: pd.Series[Any], formats: list[str], zone: Any) -> NDArray[Any]:
    """(n,) datetime64 without a time zone, in the zone of the fit; NaT where there is no date."""
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if not types.is_datetime64_any_dtype(column.dtype):
        values = column.astype(object)
        if formats:
            texts = pd.Series(_strings(values), dtype=object)
            distinct = texts.dropna().unique()
            known = pd.Series(pd.NaT, index=distinct, dtype="datetime64[us]")
            for form in formats:
                read = _parsed(list(distinct), form).to_numpy().astype("datetime64[us]")
                known[:] = np.where(known.isna(), read, known.to_numpy())
            return texts.map(known).to_numpy().astype("datetime64[us]")
        stamps = [_stamp(value, zone) for value in values]
        return np.array(stamps, dtype="datetime64[us]")
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert(zone or "UTC").dt.tz_localize(None)
    return column.to_numpy().astype("datetime64[us]")


def _stamp(value: Any, zone: Any) -> np.datetime64:
    """One date object, NaT where it is none."""
    if isinstance(value, pd.Period):
        value = value.to_timestamp()
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[us]")
    if value is None or value is pd.NaT or value is pd.NA or not isinstance(value, datetime.date):
        return np.datetime64("NaT", "us")
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(zone or datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


# Values: texts


def _strings(column: pd.Series[Any]) -> NDArray[Any]:
    """(n,) objects: each value as str without spaces around it, None where it is missing or written as a gap."""
    made = np.empty(len(column), dtype=object)
    gaps = column.isna().to_numpy()
    for row, value in enumerate(column.astype(object)):
        if gaps[row]:
            continue
        text = value.strip() if isinstance(value, str) else str(value)
        if text.lower() not in MISSING:
            made[row] = text
    return made


_WORD = re.compile(r"[^\W\d_]+(['\u2019.-][^\W\d_]+)*")
_EDGES = "\"'()[]{}<>.,;:!?*&#@-\u201c\u201d\u2018\u2019\u00ab\u00bb\u2026\u2013\u2014\u00bf\u00a1"
_FILE_TAIL = re.compile(r"\.[A-Za-z]\w{1,4}$")


def _words(text: str) -> list[str]:
    """The words of a text: no numbers, codes, paths or file names. Unspaced scripts count two characters a word."""
    found = []
    for part in re.split(r"[\s,;|]+", text):
        bare = part.strip(_EDGES)
        if _WORD.fullmatch(bare) and len(bare) > 1 and not _FILE_TAIL.search(bare):
            found.append(bare)
    spaceless = SPACELESS.findall(text)
    if len(spaceless) >= 2:
        pairs = ["".join(spaceless[i : i + 2]) for i in range(0, len(spaceless) - 1, 2)]
        found = [word for word in found if not SPACELESS.search(word)] + pairs
    return found


def _is_text(distinct: list[str]) -> bool:
    """Whether these strings are made of words that tell something: sentences, titles, lists of tags.

    Words that nearly all strings have are a template ("scan of leaf 17"), and count for nothing. At least 3 of the
    others in half of the strings make a text, and 2 where words come back in other strings, which surnames do not.
    """
    words = [_words(text) for text in distinct]
    rows_with = Counter(word.lower() for row in words for word in set(row))
    if len(distinct) >= FEWEST_ROWS:
        common = {word for word, count in rows_with.items() if count >= NEARLY_ALL * len(distinct)}
        words = [[word for word in row if word.lower() not in common] for row in words]
    typical = float(np.median([len(row) for row in words]))
    if typical < 2:
        return False
    flat = [word for row in words for word in row]
    shared = sum(rows_with[word.lower()] > 1 for word in flat) / len(flat)
    capital = sum(word[:1].isupper() for word in flat) / len(flat)
    like_names = capital > 0.9 and not any(SPACELESS.search(word) for word in flat)
    if typical >= 3:
        return not (like_names and shared < (0.75 if typical <= 3 else 0.5 if typical <= 4 else 0.0))
    return len(distinct) >= FEWEST_ROWS and shared >= 0.6 and not like_names
