"""What users write as y: which entries are missing, and the class of the others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.errors import InvalidInput, shown
from autoal.lazy import is_a

__all__ = [
    "LABEL_COLUMNS",
    "TASKS",
    "check_order",
    "class_numbers",
    "class_table",
    "is_absent",
    "is_missing",
    "label_array",
    "target_array",
    "task_of",
]

TASKS = ("classification", "regression")
LABEL_COLUMNS = ("label", "y", "target", "class")
"""Columns that are taken for labels where nobody says which column holds them."""
MANY = 100
"""Whole floats with more different values than this, most of them seen once or twice, are targets."""


def label_array(y: Any, what: str = "y") -> NDArray[Any]:
    """`y` as a 1-D array of numbers, text or objects; masked entries become None.

    Raises InvalidInput where it is not one label per point.
    """
    if is_a(y, "torch", "Tensor"):
        y = y.detach().cpu().numpy()
    if isinstance(y, np.ma.MaskedArray):
        masked, y = np.ma.getmaskarray(y), y.data.astype(object)
        y[masked] = None
    if is_a(y, "pandas", "DataFrame"):
        y = y.to_numpy()
    if is_a(y, "pandas", "Series", "Index", "Categorical"):
        y = np.asarray(y)
    if isinstance(y, (list, tuple)):
        y = _from_sequence(y)
    if not isinstance(y, np.ndarray):
        raise InvalidInput(f"got {what} of type {type(y).__name__}; wanted an array or a list, one label per point")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InvalidInput(
            f"got {what} of shape {y.shape}; wanted one label per point, (n,): for one-hot labels use "
            f"{what}.argmax(1), and of several targets choose one, {what}[:, 0]"
        )
    if y.dtype.kind == "O" and any(isinstance(value, float | np.floating) and np.isinf(value) for value in y):
        raise InvalidInput(f"{what} holds infinite values; mark missing labels with NaN or None")
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise InvalidInput(f"{what} holds {int(np.isinf(y).sum())} infinite value(s); mark missing labels with NaN")
    if y.dtype.kind == "c":
        raise InvalidInput(f"got {what} of dtype {y.dtype}; wanted class labels")
    return y


def is_missing(y: NDArray[Any], task: str = "classification") -> NDArray[np.bool_]:
    """Where an array from `label_array` holds no label: NaN in floats, -1 in integers, None or NaN in objects.

    In a regression -1 is a target like any other.
    """
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype.kind == "i" and task != "regression":
        return np.asarray(y == -1)
    if y.dtype.kind == "O":
        return np.fromiter((is_absent(value) for value in y), dtype=bool, count=len(y))
    return np.zeros(len(y), dtype=bool)


def task_of(given: NDArray[Any]) -> str:
    """`regression` or `classification`, from the labels that are there, by scikit-learn's `type_of_target` and one
    rule more.

    Integers, text and booleans are classes. Floats are targets where any of them has a fraction; also where they are
    whole, but of more than 100 different values that make up at least half of the labels. Other whole floats are
    classes, because integers next to NaN turn into floats.
    """
    values = given
    if values.dtype.kind == "O":
        if not len(values) or {_kind(value) for value in values} != {"number"}:
            return "classification"
        try:
            values = values.astype(np.float64)
        except OverflowError:  # integers that no float holds
            return "classification"
    if values.dtype.kind != "f":
        return "classification"
    different = len(np.unique(values))
    fractions = bool((values != np.floor(values)).any())
    return "regression" if fractions or different > max(MANY, len(values) / 2) else "classification"


def check_order(X: Any, y: Any) -> None:
    """Raises InvalidInput where `X` and `y` are of pandas, and name the same rows in another order: labels go by place,
    so each would be that of another row."""
    framed = all(is_a(each, "pandas", "DataFrame", "Series") for each in (X, y))
    if not framed or len(X) != len(y) or X.index.equals(y.index):
        return
    if X.index.is_unique and y.index.is_unique and len(X.index.symmetric_difference(y.index)) == 0:
        raise InvalidInput(
            "X and y have the same index in different orders; wanted one order: y.reindex(X.index), or y.to_numpy() "
            "where the places are right"
        )


def target_array(given: NDArray[Any], what: str = "y") -> NDArray[np.float64]:
    """The labels as float64 targets. Raises InvalidInput for text, booleans and anything infinite."""
    kinds = {_kind(value) for value in given.tolist()} if given.dtype.kind == "O" else {given.dtype.kind}
    if not kinds <= {"number", "f", "i", "u"}:
        example = next(value for value in given.tolist() if _kind(value) != "number")
        raise InvalidInput(
            f"{what} holds {shown(example)}; wanted numbers in a regression: for classes use task='classification'"
        )
    try:
        targets = given.astype(np.float64)
    except OverflowError as error:
        raise InvalidInput(f"{what} holds integers too large for a regression target; scale them down") from error
    bad = np.flatnonzero(~np.isfinite(targets))
    if len(bad):
        raise InvalidInput(
            f"{what} holds {len(bad)} infinite target(s) (first {bad[:5].tolist()}); wanted finite numbers"
        )
    return targets


def class_table(
    given: NDArray[Any],
    num_classes: int | None = None,
    classes: Sequence[Any] | None = None,
    what: str = "y",
    from_probs: bool = False,
) -> NDArray[Any]:
    """The user's labels, one for each class number: sorted, but `classes` in the order in which they are named.

    They are the labels seen in `given`, or `classes` where the caller names them all, or 0..num_classes-1 where
    labels are integers. `from_probs`: `num_classes` is the number of columns of probs, and messages say so.
    Raises InvalidInput where that is impossible.
    """
    seen = _distinct(given, what)
    some = shown(seen.tolist()[:10])
    if classes is not None:
        try:
            listed = list(classes)
        except TypeError as error:
            raise InvalidInput(f"got classes of type {type(classes).__name__}; wanted a list of labels") from error
        named = _in_order(label_array(listed, "classes"))
        unknown = [label for label in seen.tolist() if label not in set(named.tolist())]
        if unknown:
            raise InvalidInput(
                f"{what} holds {shown(unknown[:5])}, not among classes={shown(named.tolist()[:10])}; "
                "add them to classes="
            )
        if num_classes is not None and num_classes != len(named):
            raise InvalidInput(f"got num_classes={num_classes} and {len(named)} classes; leave num_classes out")
        return named
    if num_classes is None or num_classes == len(seen):
        return seen
    if from_probs and num_classes < len(seen):
        raise InvalidInput(
            f"probs has {num_classes} columns, but {what} holds {len(seen)} classes ({some}), so there "
            f"are {len(seen)} classes or more; wanted one column per class, in sorted order of the labels"
        )
    if num_classes < len(seen):
        raise InvalidInput(f"got num_classes={num_classes}, but {what} holds {len(seen)} classes: {some}")
    if seen.dtype.kind in "iu" and seen.min() >= 0 and seen.max() < num_classes:
        return np.arange(num_classes)
    if from_probs:
        raise InvalidInput(
            f"probs has {num_classes} columns, but {what} holds {len(seen)} classes that do not say which columns "
            f"they are: {some}; wanted labels that are column numbers, 0..{num_classes - 1}, or a label "
            "of each class"
        )
    raise InvalidInput(
        f"got num_classes={num_classes}, but {what} holds {len(seen)} classes that are not numbers in "
        f"0..{num_classes - 1}: {some}; name them all with classes=[...]"
    )


def _in_order(named: NDArray[Any]) -> NDArray[Any]:
    """The different labels as they were named, the first of each, of the type that `_distinct` gives them."""
    table = _distinct(named, "classes")
    place = {label: position for position, label in enumerate(table.tolist())}
    return table[list(dict.fromkeys(place[label] for label in named.tolist()))]


def class_numbers(given: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Position in `classes` of each label."""
    number = {label: position for position, label in enumerate(classes.tolist())}
    return np.fromiter((number[label] for label in given.tolist()), dtype=np.int64, count=len(given))


def _distinct(given: NDArray[Any], what: str) -> NDArray[Any]:
    """The different labels, sorted, with whole floats as integers."""
    if given.dtype.kind == "f":
        return _whole(np.unique(given).tolist(), what)
    if given.dtype.kind != "O":
        return np.unique(given)
    try:
        labels = list(dict.fromkeys(given.tolist()))
    except TypeError as error:
        raise InvalidInput(f"{what} holds labels that cannot be compared ({error}); use integers or text") from error
    kinds = {_kind(label) for label in labels}
    if len(kinds) > 1:
        raise InvalidInput(
            f"{what} mixes labels of types {', '.join(sorted(kinds))}; "
            f"wanted one type: e.g. [str(label) for label in {what}]"
        )
    try:
        labels = sorted(labels)
    except TypeError:
        labels = sorted(labels, key=str)
    if kinds == {"number"}:
        return _whole(labels, what)
    if kinds <= {"str", "bool"} and not any(isinstance(label, str) and label.endswith("\0") for label in labels):
        return np.asarray(labels)
    return _objects(labels)  # also text that ends in NUL, which an array of text forgets


def _whole(numbers: list[Any], what: str) -> NDArray[Any]:
    """Different real numbers, sorted, as integers. Raises InvalidInput for fractions."""
    fractions = [number for number in numbers if isinstance(number, float | np.floating) and number != np.floor(number)]
    if fractions:
        raise InvalidInput(
            f"{what} holds fractions, e.g. {fractions[0]}: a regression target. "
            "Wanted task='regression' (or 'auto'); for classes use integers or text"
        )
    whole = [int(number) for number in numbers]
    if all(-(2**63) <= number < 2**63 for number in whole):
        return np.asarray(whole, dtype=np.int64)
    return _objects(whole)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _kind(label: Any) -> str:
    """Name of the label's type, with all real numbers as one."""
    if isinstance(label, (bool, np.bool_)):
        return "bool"
    is_number = isinstance(label, (int, float, np.integer, np.floating)) and not isinstance(label, np.timedelta64)
    return "number" if is_number else type(label).__name__


def is_absent(value: Any) -> bool:
    """None, NaN, NaT or pandas.NA."""
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    pd = sys.modules.get("pandas")  # imported by whoever has anything of it
    return value is None or (pd is not None and (value is pd.NA or value is pd.NaT))


def _from_sequence(values: Sequence[Any]) -> NDArray[Any]:
    """A list as an array; as objects where numpy would turn everything into text (["a", nan]) or nest."""
    flat = [value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value for value in values]
    if all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in flat) and flat:
        if len({_kind(value) for value in flat}) == 1:
            array = np.asarray(flat)
            rounded = array.dtype.kind == "f" and not any(isinstance(value, float | np.floating) for value in flat)
            return _objects(flat) if rounded else array  # integers too large for one integer type stay what they are
    if any(isinstance(value, (list, tuple)) for value in flat):
        try:
            return np.asarray(values)
        except ValueError:
            pass
    return _objects(flat)
