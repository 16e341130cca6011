"""What a query answers: which points, how much each was wanted, and why."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoal.disk import write_atomic
from autoal.errors import InvalidInput
from autoal.formulas import defused
from autoal.selectors.card import card
from autoal.tasks import Show, distinct_names, label_config, looks_of, show_of, tasks_of
from autoal.tasks.showing import READ

__all__ = ["Query"]

LISTED = 8
"""Picks shown in a notebook."""
HEAVIEST = 3
"""Candidates named there."""
COLUMNS = ("rank", "index", "id", "utility", "wanted_by")
"""Of the frame."""


@dataclass(frozen=True, eq=False)
class Query:
    """A frozen value that acts as an index array: `y[query]`, `len(query)`, iteration, `np.asarray(query)`."""

    indices: np.ndarray
    """(b,) int64 rows of the user's pool, best first."""
    ids: np.ndarray
    """(b,) the user's ids of those rows (row numbers where none were given)."""
    utilities: np.ndarray
    """(n,) float64, one for each row of the user's pool, higher is more wanted; NaN where it could not be asked for."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """candidate -> weight used for this batch, summing to 1."""
    votes: Mapping[str, np.ndarray] = field(default_factory=dict)
    """candidate -> (b,) bool: whether the candidate alone would have bought that pick."""
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    """Losses, gate, seconds per stage, peak bytes, candidates dropped and why."""
    show: Show | None = None
    """What there is to look at of each pick, where that is known."""
    classes: Sequence[Any] = ()
    """The labels there may be, as far as they are known, in an order; for whoever labels."""
    task: str = "classification"
    """Or "regression"."""

    def __post_init__(self) -> None:
        for array in (self.indices, self.ids, self.utilities, *self.votes.values()):
            array.setflags(write=False)
        for name in ("weights", "votes", "diagnostics"):
            object.__setattr__(self, name, _Frozen(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices.tolist())

    def __getitem__(self, item: Any) -> Any:
        return self.indices[item]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        out = self.indices if dtype is None else self.indices.astype(dtype)
        return out.copy() if copy or out is self.indices else out

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Query):
            return NotImplemented
        return (
            np.array_equal(self.indices, other.indices)
            and np.array_equal(self.ids, other.ids)
            and np.array_equal(self.utilities, other.utilities, equal_nan=True)
            and dict(self.weights) == dict(other.weights)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.indices[:6])) + (", ..." if len(self) > 6 else "")
        return f"Query({len(self)} points: [{shown}])"

    def _repr_html_(self) -> str:
        """For notebooks: the first picks, who wanted them, and what was said on the way."""
        heaviest = sorted(self.weights.items(), key=lambda pair: -pair[1])[:HEAVIEST]
        facts = [("heaviest candidates", ", ".join(f"{name} {weight:.2f}" for name, weight in heaviest))]
        audit = self.diagnostics.get("audit") or {}
        said = [f"audit: {audit['says']}"] if "says" in audit else []
        rows = self.to_frame().head(LISTED)
        more = [(f"and {len(self) - LISTED} more", "", "")] if len(self) > LISTED else []
        return card(
            f"{len(self)} points to label" if len(self) != 1 else "1 point to label",
            facts if heaviest else [],
            [*([self.diagnostics["cold_start"]] if "cold_start" in self.diagnostics else []), *said],
            ("id", "utility", "wanted by"),
            [
                *zip(rows["id"], rows["utility"].map("{:.3g}".format), rows["wanted_by"], strict=True),
                *more,
            ],
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a pick: rank, index, id, utility, and which candidates wanted it."""
        wanted = [", ".join(name for name, vote in self.votes.items() if vote[i]) for i in range(len(self))]
        mixed = self.ids.dtype.kind == "O"
        ids = pd.Series(self.ids, dtype=object) if mixed else self.ids  # as they are, not guessed at
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(self) + 1),
                "index": self.indices,
                "id": ids,
                "utility": self.utilities[self.indices],
                "wanted_by": wanted,
            }
        )

    def to_csv(self, path: str | os.PathLike[str] | None = None, data: Any = None) -> str | None:
        """A table to be filled in: the frame, what there is to look at, and an empty column `label`; written whole to
        `path`, or returned. `Session.tell_file` reads it back, and passes over what has no label yet.
        Text that a spreadsheet would run as a formula begins with an apostrophe, which `tell_file` takes away again.

        `data` says what there is to look at, by id, as in `to_label_studio`; by default `show`.
        """
        frame, rows = self.to_frame(), self._looked_at(data)
        for name in dict.fromkeys(name for row in rows for name in row):
            frame[name] = pd.Series([row.get(name) for row in rows], dtype=object)
        return _deliver(defused(frame).assign(label="").to_csv(index=False), path)

    def to_jsonl(self, path: str | os.PathLike[str] | None = None, data: Any = None) -> str | None:
        """One JSON object a pick, with what there is to look at (as in `to_csv`) and a `label` that is null; written
        whole to `path`, or returned."""
        rows = self.to_frame().to_dict("records")
        lines = [
            json.dumps({**_plain(row), **fields, "label": None}, default=str)
            for row, fields in zip(rows, self._looked_at(data), strict=True)
        ]
        return _deliver("".join(line + "\n" for line in lines), path)

    def to_label_studio(
        self,
        path: str | os.PathLike[str] | None = None,
        data: Any = None,
        *,
        predictions: Any = None,
        files_root: str | os.PathLike[str] | None = None,
        classes: Iterable[Any] | None = None,
    ) -> str | None:
        """Tasks for Label Studio, best first: a JSON array of `{"data": {"id": ..., "utility": ...}, ...}`.

        `data` says what there is to look at, by id: a dict of id to fields (`{"image": url}`) or to one value, a frame
        with a column `id` or the ids as its index, or a Series; by default `show`. `predictions` (a frame with id,
        label and confidence, or a dict) are shown as the model's. Local pictures are served by Label Studio itself,
        below `files_root`. See `autoal.tasks.tasks_of`.

        Beside `path` the labeling configuration of the project is written, as `<path>.xml`, where there is something to
        look at and two `classes` or more are known (by default those of the session): paste it into Settings, Labeling
        Interface, Code. Raises InvalidInput where a pick has nothing to look at in `data`.
        """
        show = self.show if data is None else show_of(self.ids, data)
        regression = self.task == "regression"
        root = None if files_root is None else Path(files_root)
        tasks = tasks_of(self, show, predictions, files_root=root, regression=regression)
        named = list(self.classes if classes is None else classes)
        if (
            path is not None
            and show is not None
            and len(show)
            and (regression or classes is not None or len(named) > 1)
        ):
            config = label_config(named, looks_of(show), regression=regression)
            _deliver(config, Path(path).with_suffix(".xml"))
        return _deliver(json.dumps(tasks, indent=2, default=str) + "\n", path)

    def _looked_at(self, data: Any) -> list[dict[str, Any]]:
        """Fields of each pick, none of them called as a column of ours."""
        show = self.show if data is None else show_of(self.ids, data)
        if show is None:
            return [{} for _ in range(len(self))]
        called = distinct_names(show.names, (*COLUMNS, *READ))
        return [{called[name]: value for name, value in fields.items()} for fields in show.fields]


class _Frozen(dict[Any, Any]):
    """A dict, so that json and pickle take it, that refuses to be changed."""

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a Query cannot be changed; make a dict of this first: dict(query.weights)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> Any:
        return type(self), (dict(self),)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value.item() if isinstance(value, np.generic) else value for key, value in row.items()}


def _deliver(text: str, path: str | os.PathLike[str] | None) -> str | None:
    """Written under another name first, so that the file is whole or absent."""
    if path is None:
        return text
    try:
        data = text.encode()
    except UnicodeEncodeError as error:  # file names that were no text, as Python reads them
        raise InvalidInput(
            f"ids hold text that no UTF-8 file can hold (a lone surrogate: "
            f"{error.object[max(0, error.start - 9) : error.end]!r}); to_jsonl and to_label_studio write it escaped"
        ) from error
    write_atomic(Path(path), data)
    return None
