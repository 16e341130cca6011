"""What a query answers: which points, how much each was wanted, and why."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoal.errors import InvalidInput
from autoal.selectors.card import card

__all__ = ["Query"]

LISTED = 8
"""Picks shown in a notebook."""
HEAVIEST = 3
"""Candidates named there."""


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

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """The frame as CSV; written whole to `path`, or returned."""
        return _deliver(self.to_frame().to_csv(index=False), path)

    def to_jsonl(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """One JSON object a pick; written whole to `path`, or returned."""
        rows = self.to_frame().to_dict("records")
        return _deliver("".join(json.dumps(_plain(row), default=str) + "\n" for row in rows), path)

    def to_label_studio(
        self, path: str | os.PathLike[str] | None = None, data: Mapping[Any, Any] | None = None
    ) -> str | None:
        """Tasks for Label Studio: a JSON array of `{"data": {"id": ..., "utility": ...}, ...}`, best first.

        `data` maps an id to further fields of the task, for instance `{"image": url}`.
        """
        tasks = []
        for row in self.to_frame().to_dict("records"):
            plain = _plain(row)
            fields = {"id": plain["id"], "index": plain["index"], "utility": plain["utility"]}
            fields.update((data or {}).get(row["id"], {}))
            tasks.append({"data": fields, "meta": {"rank": plain["rank"], "wanted_by": plain["wanted_by"]}})
        return _deliver(json.dumps(tasks, indent=2, default=str) + "\n", path)


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
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, target)
    return None
