"""The labeled points and the pool of one round, and the one place that converts between index spaces.

Three ways to count points:

- *user index*: row of the X the user passed (of `X_pool` in the three-array form);
- *row*: row of `Pool.rows`, the same as the user index except that in the three-array form the
  labeled rows come first;
- *position*: 0..N-1, counts the points that may be asked for, in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoal.data.indices import id_array, id_ranks, index_array
from autoal.data.labels import (
    TASKS,
    check_order,
    class_numbers,
    class_table,
    is_missing,
    label_array,
    target_array,
    task_of,
)
from autoal.data.notes import Quiet
from autoal.data.rows import ConcatRows, Rows, as_rows
from autoal.errors import InvalidInput, PoolExhausted, shown

__all__ = ["Pool", "labeled_part"]


@dataclass(frozen=True, eq=False)
class Pool:
    """Labeled points and pool of one round; N points may be asked for, L are labeled.

    Pool and labeled points are in the order of their ids, so permuting the rows together with the ids changes nothing
    that is computed from them.
    """

    rows: Rows
    """All inputs, n of them."""
    classes: NDArray[Any] | None
    """(C,) the user's labels, sorted; class number c stands for classes[c]. None in a regression."""
    labeled: Tensor
    """(L,) int64, row of each labeled point."""
    labels: Tensor
    """(L,) int64, class number of each labeled point; float64, its target, in a regression."""
    unlabeled: Tensor
    """(N,) int64, row of each pool point."""
    ids: NDArray[Any]
    """The user's ids, one for each user index."""
    ranks: Tensor
    """(n,) int64, place of each row when rows are sorted by id."""
    costs: Tensor | None = None
    """(N,) float64, price of each label, or None where all cost the same."""
    offset: int = 0
    """Row of user index 0: the number of labeled rows in the three-array form, else 0."""
    rejected: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """(R,) int64, row of each point that was asked for and belongs to none of the classes."""
    label_notes: tuple[str, ...] = ()
    single: bool = False
    """Whether targets came in single precision, in which an estimator should get them."""

    @classmethod
    def build(
        cls,
        X: Any,
        y: Any,
        X_pool: Any = None,
        *,
        labeled: Any = None,
        pool: Any = None,
        ids: Sequence[Hashable] | NDArray[Any] | None = None,
        exclude: Any = None,
        rejected: Any = None,
        costs: Any = None,
        num_classes: int | None = None,
        classes: Sequence[Any] | None = None,
        from_probs: bool = False,
        task: str = "classification",
    ) -> Pool:
        """The pool behind what a user passed.

        With `X_pool` (the three-array form) X and y are the labeled points, all of them, and users count rows of
        `X_pool`. Without it X is everything, and either y is as long as X with missing entries marked (NaN in
        floats, -1 in integers, None or NaN in objects, or a mask), or `labeled` says which rows have a label: then
        y has one entry for each of them, or is as long as X and only y[labeled] is read (so -1 may be a class).

        `task` is `classification`, `regression`, or `auto`: what `autoal.data.labels.task_of` says of the labels, and
        classification where `num_classes` or `classes` are given. In a regression -1 is a target, and only NaN or
        None mark a missing one.

        `pool` says which rows may be asked for (default: all), `exclude` which may not; a labeled row is never in
        the pool. `rejected` names rows that were asked for and belong to none of the classes: they are not in the pool
        either, but informative. All these and `labeled` are row numbers or boolean masks. `ids` are any distinct
        hashables, one per user index; `costs` are positive prices, likewise. `num_classes` or `classes` (all labels)
        name classes that have no label yet; `from_probs` says that `num_classes` was counted in precomputed
        probabilities.

        Raises InvalidInput for anything that does not fit together, PoolExhausted where nothing is left to ask for.
        """
        if task not in ("auto", *TASKS):
            raise InvalidInput(f"got task={task!r}; wanted 'auto', 'classification' or 'regression'")
        named = num_classes is not None or classes is not None
        if task == "regression" and named:
            raise InvalidInput(
                "got classes or class probabilities in a regression, which has none; leave classes= and probs= out, "
                "or pass task='classification'"
            )
        if task == "auto" and named:
            task = "classification"
        if X_pool is None:
            rows, offset = as_rows(X), 0
            check_order(X, y)
            labeled_rows, given = labeled_part(y, len(rows), labeled, task)
            n_user = len(rows)
        else:
            if labeled is not None:
                raise InvalidInput(
                    "got labeled= together with X_pool; with X_pool, X and y are the labeled points, all of them"
                )
            rows, offset = _stacked(X, X_pool)
            given = _complete_labels(y, offset)
            labeled_rows, n_user = np.arange(offset), len(rows) - offset
        task = task_of(given) if task == "auto" else task
        table: NDArray[Any] | None = None
        labels: NDArray[Any]
        if task == "regression":
            labels = target_array(given)
            if len(labels) < 2:
                raise InvalidInput("got one labeled point; wanted at least two: label a few more, drawn at random")
        else:
            table = class_table(given, num_classes, classes, from_probs=from_probs)
            labels = class_numbers(given, table)
        if table is not None and len(set(given.tolist())) < 2:
            raise InvalidInput(
                f"all {len(given)} labels are {shown(given.tolist()[0])}; wanted at least two classes: label a few "
                "more points, drawn at random (in integer y -1 marks a missing label; pass labeled= where it is "
                "a class)"
            )

        id_values = id_array(ids, n_user)
        ranks = np.concatenate([np.arange(offset), offset + id_ranks(id_values, ids is None)])
        open_rows = np.zeros(len(rows), dtype=bool)
        open_rows[(np.arange(n_user) if pool is None else index_array(pool, n_user, "pool")) + offset] = True
        open_rows[labeled_rows] = False
        if exclude is not None:
            open_rows[index_array(exclude, n_user, "exclude") + offset] = False
        refused = np.zeros(0, dtype=np.int64)
        if rejected is not None:
            if table is None:
                raise InvalidInput("got rejected= in a regression, which has no classes; use exclude= for such rows")
            refused = index_array(rejected, n_user, "rejected") + offset
            both = np.intersect1d(refused, labeled_rows) - offset
            if len(both):
                raise InvalidInput(
                    f"rows {both[:5].tolist()} are rejected and have a label; wanted one or the other: a rejected row "
                    "belongs to none of the classes"
                )
            open_rows[refused] = False
        unlabeled = np.flatnonzero(open_rows)
        if len(unlabeled) == 0:
            raise PoolExhausted(
                f"no point left to ask for: {len(rows)} rows, {len(labeled_rows)} labeled, the rest excluded or "
                "outside pool=; mark missing labels in y "
                + ("(NaN or None; -1 is a target)" if table is None else "(NaN, -1 or None)")
                + ", or pass labeled= with their rows"
            )
        unlabeled = unlabeled[np.argsort(ranks[unlabeled])]
        order = np.argsort(ranks[labeled_rows])
        return cls(
            rows=rows,
            classes=table,
            labeled=torch.from_numpy(labeled_rows[order]),
            labels=torch.from_numpy(labels[order]),
            unlabeled=torch.from_numpy(unlabeled),
            ids=id_values,
            ranks=torch.from_numpy(ranks),
            costs=None if costs is None else _prices(costs, n_user, unlabeled - offset),
            offset=offset,
            rejected=torch.from_numpy(refused[np.argsort(ranks[refused])]),
            label_notes=_label_notes(y, labeled, X_pool, table),
            single=table is None and given.dtype == np.float32,
        )

    def __len__(self) -> int:
        return len(self.unlabeled)

    @property
    def num_classes(self) -> int:
        """C, from the label space; a class may have no labeled point yet. 0 in a regression."""
        return 0 if self.classes is None else len(self.classes)

    @property
    def notes(self) -> list[str]:
        """What was inferred from rows and labels, one sentence each."""
        return [*self.label_notes, *self.rows.notes]

    @property
    def task(self) -> str:
        return TASKS[self.classes is None]

    @property
    def num_user_rows(self) -> int:
        """How many user indices there are: rows of X, or of X_pool in the three-array form."""
        return len(self.rows) - self.offset

    def user_indices(self, positions: Any) -> NDArray[np.int64]:
        """(b,) user index of each position."""
        positions = positions.detach().cpu() if isinstance(positions, Tensor) else positions
        rows = self.unlabeled.numpy()[np.asarray(positions, dtype=np.int64)]
        return np.asarray(rows - self.offset)

    def user_ids(self, positions: Any) -> NDArray[Any]:
        """(b,) id of each position."""
        return np.asarray(self.ids[self.user_indices(positions)])

    def position_of(self, user_indices: Any) -> Tensor:
        """(b,) int64 position of each user index. Raises InvalidInput for one that may not be asked for."""
        wanted = index_array(user_indices, self.num_user_rows, "user_indices", distinct=False)
        table = np.full(self.num_user_rows, -1, dtype=np.int64)
        table[self.unlabeled.numpy() - self.offset] = np.arange(len(self))
        positions = table[wanted]
        if (positions < 0).any():
            raise InvalidInput(
                f"rows {wanted[positions < 0][:5].tolist()} are not in the pool: labeled, excluded or outside pool="
            )
        return torch.from_numpy(positions)

    def scatter(self, values: Any) -> NDArray[np.float64]:
        """(n_user,) float64 with `values` (N,) at the pool's user indices, NaN elsewhere."""
        values = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        if values.shape != (len(self),):
            raise InvalidInput(f"got values of shape {values.shape}; wanted ({len(self)},), one for each pool point")
        out = np.full(self.num_user_rows, np.nan)
        out[self.unlabeled.numpy() - self.offset] = values
        return out

    def pool_keys(self) -> Tensor:
        """(N,) int64, ascending: the rank of each pool point's id among all ids, the same in every round over one X.

        In the three-array form the labeled rows count first, so keys move when labeled rows are added.
        """
        return self.ranks[self.unlabeled]

    def labeled_keys(self) -> Tensor:
        """(L,) int64, ascending, distinct from every pool key; see `pool_keys`."""
        return self.ranks[self.labeled]


def labeled_part(y: Any, n: int, labeled: Any, task: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Rows that have a label, and their labels."""
    values = label_array(y)
    if labeled is None:
        if len(values) != n:
            raise InvalidInput(
                f"got y of length {len(values)} for {n} rows; wanted {n} with missing labels marked (NaN, -1 or None), "
                "or pass labeled= with the rows that y belongs to"
            )
        rows = np.flatnonzero(~is_missing(values, task))
        if len(rows) == 0:
            raise InvalidInput(
                "y holds no label; wanted at least two points, and two classes where there are any: label a few first, "
                "drawn at random"
            )
        return rows, values[rows]
    rows = index_array(labeled, n, "labeled")
    if len(rows) == 0:
        raise InvalidInput(
            "labeled= is empty; wanted the rows that have a label: label a few points first, drawn at random"
        )
    if len(values) not in (len(rows), n):
        raise InvalidInput(
            f"got y of length {len(values)}; wanted {len(rows)} (one per entry of labeled=) or {n} (one per row)"
        )
    given = values[rows] if len(values) == n else values
    return rows, _refuse_gaps(given, "y[labeled]")


def _label_notes(y: Any, labeled: Any, X_pool: Any, table: NDArray[Any] | None) -> tuple[str, ...]:
    """What was made of y, in sentences; that -1 is missing is what is asked for, unless few are."""
    if table is None or labeled is not None or X_pool is not None:
        return ()
    values = label_array(y)
    if values.dtype.kind != "i" or not (values == -1).any():
        return ()
    missing, count = int((values == -1).sum()), len(values)
    if 2 * missing < count and 0 in table.tolist() and 1 in table.tolist() and len(table) == 2:
        return (
            f"y holds -1 in {missing} of {count} rows, beside 0 and 1, and these were read as not labeled; where -1 is "
            "a class, pass labeled= with the rows that have a label",
        )
    return (Quiet(f"-1 in y was read as not labeled yet ({missing} of {count} rows)"),)


def _complete_labels(y: Any, n: int) -> NDArray[Any]:
    """Labels of the labeled rows in the three-array form: as many as rows, none missing."""
    values = label_array(y)
    if len(values) != n:
        raise InvalidInput(
            f"got y of length {len(values)} for {n} labeled rows; with X_pool, y has one label per row of X"
        )
    if n == 0:
        raise InvalidInput("no labeled rows; label a few points first, drawn at random")
    return _refuse_gaps(values, "y")


def _refuse_gaps(values: NDArray[Any], what: str) -> NDArray[Any]:
    gaps = np.zeros(len(values), dtype=bool) if values.dtype.kind == "i" else is_missing(values)
    if gaps.any():
        raise InvalidInput(
            f"{int(gaps.sum())} of {len(values)} entries of {what} are missing (first "
            f"{np.flatnonzero(gaps)[:5].tolist()}); wanted a label for each; leave rows without one out"
        )
    return values


def _stacked(X: Any, X_pool: Any) -> tuple[Rows, int]:
    """Labeled rows, then pool rows, and where the latter begin."""
    first, second = as_rows(X, "X"), as_rows(X_pool, "X_pool")
    return ConcatRows(first, second), len(first)


def _prices(costs: Any, n_user: int, pool: NDArray[np.int64]) -> Tensor:
    """(N,) costs in pool order; those of other rows are not looked at."""
    try:
        given = np.asarray(costs.detach().cpu() if isinstance(costs, Tensor) else costs)
        if given.dtype.kind == "c" or (isinstance(costs, np.ma.MaskedArray) and np.ma.getmaskarray(costs).any()):
            raise TypeError("complex or masked")
        values = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"costs cannot be read as numbers ({error}); wanted {n_user} positive prices") from error
    if values.shape != (n_user,):
        raise InvalidInput(f"got costs of shape {values.shape}; wanted ({n_user},), one price for each row")
    chosen = values[pool]
    bad = ~(np.isfinite(chosen) & (chosen > 0))
    if bad.any():
        raise InvalidInput(
            f"{int(bad.sum())} costs of pool rows are not positive numbers (rows {pool[bad][:5].tolist()}); "
            "wanted prices above 0"
        )
    return torch.from_numpy(chosen)
