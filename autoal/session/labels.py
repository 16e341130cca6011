"""Labels as people tell them, as plain values that JSON keeps exactly."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.data.indices import index_array
from autoal.data.labels import class_table, is_absent, is_missing, label_array, task_of
from autoal.errors import InvalidInput, UnknownName, shown
from autoal.session.ids import is_text
from autoal.session.names import spelled

__all__ = ["Label", "LabelSpace", "first_labels", "nearly_alike"]

Label = str | int | bool | float
LONGEST = 200
"""Characters of an unknown class in a message."""


class LabelSpace:
    """What a label may be: a class (text, an integer or a truth value) or, in a regression, a number.

    `classes` names all there are, or is None where more may turn up.
    """

    def __init__(self, task: str, classes: Sequence[Label] | None) -> None:
        self.task = task
        self.classes = None if classes is None else tuple(classes)

    @staticmethod
    def of(task: str, classes: Any) -> LabelSpace:
        """The space of what a user passed. Raises InvalidInput for classes that cannot be labels."""
        if classes is None:
            return LabelSpace(task, None)
        if task == "regression":
            raise InvalidInput("got classes= in a regression, which has none; leave it out, or task='classification'")
        if not isinstance(classes, Iterable) or isinstance(classes, str | bytes | Mapping | Set):
            raise InvalidInput(f"got classes={shown(classes)}; wanted a list of them, in an order")
        try:
            listed = list(classes)
        except TypeError as error:  # arrays without an axis say that they can be iterated over
            raise InvalidInput(f"got classes={shown(classes)}; wanted a list of them, in an order") from error
        values = label_array(listed, "classes")
        named = class_table(values, what="classes").tolist()
        # In the order in which they were given, which is that of the columns of probs.
        plain = list(dict.fromkeys(LabelSpace(task, named).plain(name) for name in values.tolist()))
        if len(plain) < 2:
            raise InvalidInput(f"got classes={plain}; wanted two or more")
        return LabelSpace(task, plain)

    def plain(self, value: Any, like: Label | None = None) -> Label:
        """`value` as the journal keeps it; of the type of `like`, a label that is known already.

        Raises InvalidInput for what cannot be a label here, UnknownName for a class that is not among `classes`.
        """
        value = _single(value)
        if is_absent(value) or (isinstance(value, str) and not value):
            raise InvalidInput("the label is missing; leave the point out until it has one, or skip it")
        if self.task == "regression":
            number = _as_float(value)
            if not math.isfinite(number):
                raise InvalidInput(f"got the label {shown(value)}; wanted a finite number, since this is a regression")
            return number
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str):
            value = str.__str__(value)  # of a subclass, as of numpy or an enum, the text itself
            if not is_text(value):
                raise InvalidInput(f"got the label {shown(value)}; wanted text without NUL and lone surrogates")
        elif isinstance(value, int) and not isinstance(value, bool):
            value = int(value)
            if not -(2**63) <= value < 2**63:
                raise InvalidInput(f"got the label {shown(value, 40)}; wanted an integer of 64 bits, or text")
        elif not isinstance(value, bool):
            raise InvalidInput(f"got the label {shown(value)}; wanted a class: text or an integer")
        example = self.classes[0] if self.classes else like
        if example is not None and type(example) is not type(value):
            raise InvalidInput(
                f"got the label {shown(value)} ({type(value).__name__}), but labels so far are "
                f"{type(example).__name__}, e.g. {shown(example)}; wanted one type: skip the point, write the label as "
                "the others are, or begin a session whose classes= (--classes) name all there are, and tell it the "
                "labels.csv of this one's report"
            )
        if self.classes is not None and value not in self.classes:
            brief = shown(value) if isinstance(value, str) and len(value) > LONGEST else value
            raise UnknownName("class", brief, map(str, self.classes))
        if self.classes is None and value == -1 and not isinstance(value, bool):
            raise InvalidInput(
                "got the label -1, which marks a missing one; leave the point out, or name -1 in classes="
            )
        return value

    def read(self, texts: Sequence[Any], like: Label | None = None, *, typed: bool = False) -> list[Any]:
        """Labels of a file: text becomes a number in a regression, and an integer where classes are integers; where
        nothing is known yet, where all of the file look like integers, unless the file is `typed`, as JSON is: there
        "1" is text. What is no text is left as it is."""
        example = self.classes[0] if self.classes else like
        written = [text for text in texts if isinstance(text, str)]
        if self.task == "regression":
            return [_number(text) if isinstance(text, str) else text for text in texts]
        if isinstance(example, bool):
            truth = {"true": True, "false": False}
            return [truth.get(text.lower(), text) if isinstance(text, str) else text for text in texts]
        integers = isinstance(example, int) or (example is None and not typed and all(map(_is_integer, written)))
        return [
            int(float(text)) if integers and isinstance(text, str) and _is_integer(text) else text for text in texts
        ]


def nearly_alike(new: Iterable[Label], known: Iterable[Label]) -> list[tuple[str, str]]:
    """Pairs of classes that differ only in how they are written: each of `new` that is not `known`, with another."""
    seen: dict[str, str] = {}
    pairs = []
    known_names = [label for label in dict.fromkeys(known) if isinstance(label, str)]
    fresh = [label for label in dict.fromkeys(new) if isinstance(label, str) and label not in set(known_names)]
    for name in (*known_names, *fresh):
        other = seen.setdefault(spelled(name), name)
        if other != name and name in fresh:
            pairs.append((other, name))
    return pairs


def first_labels(y: Any, labeled: Any, n: int, task: str) -> tuple[str, NDArray[np.int64], list[Any]]:
    """The task, and rows and labels of what was labeled before a session began.

    `y` is missing where unlabeled (NaN, -1 or None), as in `AutoAL.fit_query`, or `labeled` says which rows have a
    label. `task` "auto" is what the labels look like, and a classification where there are none.
    Raises InvalidInput where `y` does not fit n rows.
    """
    if y is None:
        if labeled is not None:
            raise InvalidInput("got labeled=, but no y; wanted both or y alone")
        return ("classification" if task == "auto" else task), np.zeros(0, dtype=np.int64), []
    values = label_array(y)
    if labeled is not None:
        rows = index_array(labeled, n, "labeled")
        if len(values) not in (len(rows), n):
            raise InvalidInput(f"got y of length {len(values)}; wanted {len(rows)}, as many as labeled=, or {n}")
        given = values[rows] if len(values) == n else values
    else:
        if len(values) != n:
            raise InvalidInput(f"got y of length {len(values)} for {n} rows; wanted {n}, or labeled= with its rows")
        rows = np.flatnonzero(~is_missing(values, task))
        given = values[rows]
    return (task_of(given) if task == "auto" else task), rows, given.tolist()


def _single(value: Any) -> Any:
    """Python's value for one of numpy, pandas or torch; anything else as it is."""
    item = getattr(value, "item", None)
    if not callable(item) or isinstance(value, type):
        return value
    try:
        return item()
    except Exception as error:  # each kind of array has its own
        raise InvalidInput(f"got the label {shown(value)}; wanted one value") from error


def _as_float(value: Any) -> float:
    """NaN for what is no number, and infinity for what no float can hold."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_integer(text: str) -> bool:
    """As people and tables write integers: 7, -1, and 7.0 where a column had gaps; 007 is text."""
    return re.fullmatch(r"-?(0|[1-9][0-9]{0,14})(\.0+)?", text.strip()) is not None


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
