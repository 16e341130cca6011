"""Where inputs come from: one protocol over arrays, tensors, frames, files, data sets and sparse matrices."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from autoal.compute import chunks
from autoal.data.arrays import ArrayRows, Index, SparseRows, fingerprint, row_selector
from autoal.data.frames import FrameRows
from autoal.data.items import DatasetRows
from autoal.errors import DataMissing, InvalidInput

__all__ = ["ConcatRows", "Rows", "as_rows", "check_finite"]


@runtime_checkable
class Rows(Protocol):
    """A source of inputs that is read in chunks."""

    def __len__(self) -> int: ...

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row: (d,) or (c, h, w)."""

    def take(self, indices: Index) -> Tensor:
        """float32 (n, *row_shape) on the CPU, the caller's own copy."""

    def native(self, indices: Index) -> Any:
        """(n, d) float64 array or sparse matrix, for scikit-learn; images are flattened."""

    def fingerprint(self) -> str:
        """Cheap hash of the shape and a few rows, to notice that a run is continued with other data."""


class ConcatRows:
    """The rows of `first`, then those of `second`; both must have the same shape."""

    def __init__(self, first: Rows, second: Rows, what: tuple[str, str] = ("X", "X_pool")) -> None:
        if tuple(first.row_shape) != tuple(second.row_shape):
            raise InvalidInput(
                f"rows of {what[0]} have shape {tuple(first.row_shape)}, rows of {what[1]} {tuple(second.row_shape)}; "
                "wanted the same columns in both"
            )
        self.first, self.second = first, second
        self.always_finite = all(getattr(part, "always_finite", False) for part in (first, second))

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return tuple(self.first.row_shape)

    def take(self, indices: Index) -> Tensor:
        numbers = self._numbers(indices)
        late = numbers >= len(self.first)
        out = torch.empty(len(numbers), *self.row_shape)
        mask = torch.from_numpy(late)
        if not late.all():
            out[~mask] = self.first.take(numbers[~late])
        if late.any():
            out[mask] = self.second.take(numbers[late] - len(self.first))
        return out

    def native(self, indices: Index) -> Any:
        numbers = self._numbers(indices)
        late = numbers >= len(self.first)
        parts = [self.first.native(numbers[~late]), self.second.native(numbers[late] - len(self.first))]
        back = np.argsort(np.concatenate([np.flatnonzero(~late), np.flatnonzero(late)]))
        if any(sparse.issparse(part) for part in parts):
            return sparse.vstack(parts).tocsr()[back]
        return np.concatenate(parts)[back]

    def fingerprint(self) -> str:
        return fingerprint(self)

    def _numbers(self, indices: Index) -> np.ndarray[Any, np.dtype[np.int64]]:
        selector = row_selector(indices)
        return np.arange(len(self))[selector] if isinstance(selector, slice) else selector


def as_rows(X: Any, what: str = "X") -> Rows:
    """Any accepted container as `Rows`; `what` is its name in messages.

    Accepts ndarrays and lists (see ArrayRows for the shapes), torch tensors, DataFrames (FrameRows), scipy sparse
    matrices, memory-mapped arrays, the path of a `.npy` file (mapped, never loaded whole), map-style Datasets
    (DatasetRows), and anything that already is `Rows`.

    Raises InvalidInput for what cannot be used, DataMissing for a path that is not there.
    """
    if isinstance(X, Rows):
        return X
    if isinstance(X, np.ndarray):
        return ArrayRows(X, what)
    if isinstance(X, Tensor):
        if X.layout != torch.strided or X.is_complex():
            raise InvalidInput(
                f"got {what} as a {X.layout} tensor of {X.dtype}; wanted a dense real one: {what}.to_dense()"
            )
        X = X.detach().cpu()
        return ArrayRows((X.float() if X.dtype == torch.bfloat16 else X).numpy(), what)
    if isinstance(X, pd.DataFrame):
        return FrameRows(X, what)
    if isinstance(X, pd.Series):
        raise InvalidInput(f"got a pandas Series as {what}; wanted one row per point: {what}.to_frame()")
    if sparse.issparse(X):
        return SparseRows(X, what)
    if isinstance(X, (str, Path)):
        return _mapped(Path(X), what)
    if isinstance(X, (list, tuple)):
        return ArrayRows(_from_list(X, what), what)
    if hasattr(X, "__getitem__"):
        return DatasetRows(X, what)
    raise InvalidInput(
        f"got {what} of type {type(X).__name__}; wanted an array, a torch tensor, a DataFrame, a map-style Dataset, "
        "a scipy sparse matrix or the path of a .npy file"
    )


def check_finite(rows: Rows, indices: Tensor | None = None, what: str = "X") -> None:
    """Raises InvalidInput where rows[indices] (default: all) hold NaN or infinite values, naming the first of them.

    Reads in chunks. Integer data needs no look, and items of a Dataset are checked when they are read.
    """
    if getattr(rows, "always_finite", False):
        return
    numbers = np.arange(len(rows)) if indices is None else row_selector(indices)
    assert isinstance(numbers, np.ndarray)
    bad: list[int] = []
    for part in chunks(len(numbers), 8.0 * math.prod(rows.row_shape)):
        finite = rows.take(numbers[part]).flatten(1).isfinite().all(dim=1).numpy()
        bad += numbers[part][~finite].tolist()
    if bad:
        raise InvalidInput(
            f"{len(bad)} of {len(numbers)} rows of {what} hold NaN or infinite values (first rows {bad[:5]}); "
            "fill them in or drop those rows"
        )


def _mapped(path: Path, what: str) -> ArrayRows:
    if path.suffix != ".npy":
        raise InvalidInput(
            f"got {what}={str(path)!r}; wanted a .npy file (for .csv and .npz see autoal.data.load_dataset)"
        )
    if not path.is_file():
        raise DataMissing(f"{what}={str(path)!r} is not a file; check the path, or write it with numpy.save")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise InvalidInput(
            f"{str(path)!r} cannot be read as an array of numbers ({error}); save it with numpy.save"
        ) from error
    return ArrayRows(array, what)


def _from_list(values: Any, what: str) -> np.ndarray[Any, Any]:
    try:
        if values and all(isinstance(value, Tensor) for value in values):
            return torch.stack(list(values)).detach().cpu().numpy()
        return np.asarray(values)
    except (ValueError, RuntimeError) as error:
        raise InvalidInput(
            f"got {what} as a list whose rows differ in length; wanted the same columns in each"
        ) from error
