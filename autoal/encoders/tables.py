"""Tables to numbers: which columns count is decided here, most of the encoding is skrub's."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoal.encoders.columns import (
    CATEGORIES,
    OUT_CONSTANT,
    OUT_COUNTER,
    OUT_DISTINCT,
    OUT_EMPTY,
    OUT_OBJECTS,
    Column,
    read_column,
)
from autoal.encoders.containers import as_pandas
from autoal.encoders.scaling import Standard
from autoal.encoders.texts import TextEncoder
from autoal.errors import InvalidInput

__all__ = ["TableEncoder"]

TEXT_COLUMNS = 30
STRING_COLUMNS = 10
FARTHEST = 10.0
"""Standard deviations at which a value ends: one far value, or one rare category, must not outweigh all else."""

_SINGULAR = {OUT_EMPTY: "it holds no value at all", OUT_CONSTANT: "it holds one value only"}
_SINGULAR |= {OUT_COUNTER: "it merely counts the rows"}
_SINGULAR |= {OUT_OBJECTS: "it holds values that are neither numbers, texts nor dates"}
_PLURAL = {OUT_DISTINCT: "nearly every value is different and they are neither text nor dates"}

MOST_NAMED = 8


class TableEncoder:
    """A pandas or polars DataFrame (n, d) as float32 (n, D).

    Numbers, also those written as text, are standardised; dates become their parts and the time that has passed;
    columns of few values are one-hot, of many values a few components of their characters; texts the components of
    `TextEncoder`. Every column of the result has mean 0 and standard deviation 1 and ends at 10 of them; gaps, and
    categories not seen in the fit, stand at the mean. `notes` says which columns are left out, and why.

    Raises InvalidInput where no column remains that tells rows apart, for complex numbers, and for other columns in
    `transform` than in the fit.
    """

    def __init__(self, native: Any, what: str = "X") -> None:
        self._what = what
        frame = as_pandas(native, what)
        if 0 in frame.shape:
            raise InvalidInput(f"got {what} of shape {frame.shape}; wanted at least one row and one column")
        self._names = list(frame.columns)
        found = [read_column(frame.iloc[:, place], str(name)) for place, name in enumerate(self._names)]
        self.notes = _notes(found)
        self._columns = {place: column for place, column in enumerate(found) if column.kind != "out"}
        if not self._columns:
            raise InvalidInput(
                f"got {what} without a column that tells its rows apart: {'; '.join(self.notes)}; add a column of "
                "numbers, categories, dates or texts, or pass encoder="
            )
        values = self._read(frame)
        self._seen = {
            place: set(values[place][values[place] != None].tolist())  # noqa: E711  elementwise
            for place, column in self._columns.items()
            if column.kind == "category"
        }
        self._texts = {
            place: TextEncoder(_filled(values[place], ""), TEXT_COLUMNS, column.name)
            for place, column in self._columns.items()
            if column.kind == "text"
        }
        plain = self._plain(values)
        self._vectorizer = _vectorizer(plain) if plain.shape[1] else None
        self._standard = Standard(self._blocks(values, plain), FARTHEST)

    def transform(self, native: Any) -> NDArray[np.float32]:
        """(n, D)."""
        frame = self._aligned(as_pandas(native, self._what))
        if not len(frame):
            return np.zeros((0, len(self._standard.mean)), dtype=np.float32)
        values = self._read(frame)
        return self._standard.apply(self._blocks(values, self._plain(values)))

    def _aligned(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with its columns in the order of the fit."""
        names = list(frame.columns)
        if names == self._names:
            return frame
        missing = [name for name in self._names if name not in names]
        if missing or len(set(self._names)) < len(self._names) or len(set(names)) < len(names):
            raise InvalidInput(
                f"got {self._what} with columns {names[:MOST_NAMED]}; wanted those seen before: "
                f"{self._names[:MOST_NAMED]}" + (f", of which {missing[:MOST_NAMED]} are missing" if missing else "")
            )
        return frame[self._names]

    def _read(self, frame: pd.DataFrame) -> dict[int, NDArray[Any]]:
        return {place: column.read(frame.iloc[:, place]) for place, column in self._columns.items()}

    def _plain(self, values: dict[int, NDArray[Any]]) -> pd.DataFrame:
        """The frame for skrub: names that cannot clash, and dtypes that leave it nothing to guess."""
        columns: dict[str, Any] = {}
        for place, column in self._columns.items():
            if column.kind == "date":
                columns[f"date {place}"] = pd.Series(values[place])
            elif column.kind in ("category", "strings"):
                known = self._known(place, values[place])
                # A gap stands as the first category for now, and at the mean once it is encoded.
                kept = _filled(known, min(self._seen[place]) if place in self._seen else "")
                columns[f"{column.kind} {place}"] = pd.Series(kept, dtype=object).astype("category")
        return pd.DataFrame(columns)

    def _known(self, place: int, strings: NDArray[Any]) -> NDArray[Any]:
        """Strings with None for a category that the fit did not see."""
        if place not in self._seen:
            return strings
        seen = self._seen[place]
        return np.array([text if text in seen else None for text in strings], dtype=object)

    def _blocks(self, values: dict[int, NDArray[Any]], plain: pd.DataFrame) -> NDArray[np.float64]:
        """(n, D) before it is standardised, NaN for gaps."""
        # Numbers, and of dates the seconds, go past skrub: its float32 puts moments two minutes apart on one, and it
        # takes 5 ms a column.
        blocks: list[NDArray[Any]] = [
            (_seconds(values[place]) if column.kind == "date" else values[place])[:, None]
            for place, column in self._columns.items()
            if column.kind in ("number", "date")
        ]
        if self._vectorizer is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # skrub's, about what was settled before it
                made = self._vectorizer.transform(plain)
            encoded = made.to_numpy(dtype=np.float32).copy()
            place_of = {name: number for number, name in enumerate(made.columns)}
            for source, outputs in self._vectorizer.input_to_outputs_.items():
                kind, _, place = source.partition(" ")
                if kind in ("category", "strings"):
                    gaps = self._known(int(place), values[int(place)]) == None  # noqa: E711  elementwise
                    for output in outputs:
                        encoded[gaps, place_of[output]] = np.nan
            blocks.append(encoded)
        for number, encoder in self._texts.items():
            block = encoder.transform(_filled(values[number], ""))
            block[values[number] == None] = np.nan  # noqa: E711  elementwise
            blocks.append(block)
        return np.concatenate(blocks, axis=1, dtype=np.float64)


def _vectorizer(plain: pd.DataFrame) -> Any:
    """skrub's TableVectorizer, fitted on the rows in an order that their contents decide."""
    skrub = importlib.import_module("skrub")  # it brings no types
    order = np.argsort(pd.util.hash_pandas_object(plain, index=False).to_numpy(), kind="stable")
    vectorizer = skrub.TableVectorizer(
        cardinality_threshold=CATEGORIES + 1,
        high_cardinality=skrub.StringEncoder(n_components=STRING_COLUMNS, random_state=0),
        datetime=skrub.DatetimeEncoder(add_total_seconds=False),
        drop_null_fraction=None,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # skrub's, about what was settled before it
        vectorizer.fit(plain.iloc[order].reset_index(drop=True))
    return vectorizer


def _filled(strings: NDArray[Any], text: str) -> NDArray[Any]:
    return np.array([text if value is None else value for value in strings], dtype=object)


def _seconds(moments: NDArray[Any]) -> NDArray[np.float64]:
    """Since 1970, NaN for NaT."""
    made = moments.astype("datetime64[us]").astype(np.int64).astype(np.float64) / 1e6
    made[np.isnat(moments)] = np.nan
    return made


def _notes(found: list[Column]) -> list[str]:
    notes = []
    for kind, words in (("text", "text"), ("date", "dates"), ("number", "numbers")):
        # Numbers as numbers and dates as dates need no word; what was inferred from text does.
        names = [column.name for column in found if column.kind == kind and (column.written or kind == "text")]
        if names:
            notes.append(f"{_named(names)} {'is' if len(names) == 1 else 'are'} read as {words}")
    first = [column.name for column in found if any(form.startswith("%m/%d") for form in column.formats)]
    if first:
        notes.append(f"of dates in {_named(first)} the first number is read as the month")
    for reason in dict.fromkeys(column.reason for column in found if column.kind == "out"):
        names = [column.name for column in found if column.reason == reason]
        if len(names) == 1:
            notes.append(f"{_named(names)} was left out of distances: {_SINGULAR.get(reason, reason)}")
        else:
            notes.append(f"{_named(names)} were left out of distances: {_PLURAL.get(reason, reason)}")
    return notes


def _named(names: list[str]) -> str:
    listed = ", ".join(repr(name) for name in names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        listed += f" and {len(names) - MOST_NAMED} more"
    return f"column {listed}" if len(names) == 1 else f"columns {listed}"
