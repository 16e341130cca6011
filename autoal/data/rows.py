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
from autoal.data.arrays import ArrayRows, SparseRows, filled
from autoal.data.concat import ConcatRows
from autoal.data.faces import Faces, Index, row_selector
from autoal.data.frames import ArrayTableRows, FrameRows, is_frame
from autoal.data.items import DatasetRows, ObjectRows
from autoal.data.parts import PartRows, is_parts
from autoal.data.sources import read_rows
from autoal.data.texts import TextRows, is_texts
from autoal.encoders import FittedEncoder
from autoal.encoders.containers import is_polars
from autoal.errors import InvalidInput

__all__ = ["ConcatRows", "Rows", "as_rows", "check_finite"]


@runtime_checkable
class Rows(Protocol):
    """A source of inputs that is read in chunks: see `autoal.data.faces.Faces` for what each of these means."""

    kind: str
    what: str
    encoder: Any

    def __len__(self) -> int: ...

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row of `take`: (d,) or (c, h, w)."""

    @property
    def taken_as(self) -> str: ...

    @property
    def notes(self) -> list[str]: ...

    @property
    def cost(self) -> int: ...

    @property
    def sources(self) -> list[Any]: ...

    @property
    def forms(self) -> tuple[str, ...]: ...

    @property
    def net_forms(self) -> tuple[str, ...]: ...

    def take(self, indices: Index) -> Tensor:
        """float32 (n, *row_shape) on the CPU, the caller's own copy."""

    def native(self, indices: Index) -> Any:
        """The asked rows in the container they came in."""

    def form(self, name: str, indices: Index) -> Any: ...

    def net_form(self, name: str, indices: Index) -> Any: ...

    def encoded(self, indices: Index) -> Tensor: ...

    def encode_as(self, other: Any) -> None: ...

    def use(self, encoder: Any) -> None: ...

    def fitted_encoder(self) -> FittedEncoder: ...

    def fingerprint(self) -> str:
        """Cheap hash of the shape and a few rows, to notice that a run is continued with other data."""


def as_rows(X: Any, what: str = "X") -> Rows:
    """Any accepted container as `Rows`; `what` is its name in messages.

    Accepts ndarrays and lists of numbers (see ArrayRows for the shapes), torch tensors, DataFrames of pandas or polars
    (FrameRows), arrays of strings and objects (ArrayTableRows), texts (TextRows), dicts and tuples of any of these
    (PartRows), scipy sparse matrices, memory-mapped arrays, the path of a `.npy` file (mapped, never loaded whole), of
    a table (.csv, .parquet) or of a folder of pictures, map-style Datasets (DatasetRows), lists of any objects
    (ObjectRows), and anything that already is `Rows`.

    Raises InvalidInput for what cannot be used, DataMissing for a path that is not there.
    """
    try:
        return _as_rows(X, what)
    except RecursionError as error:
        raise InvalidInput(f"got {what} nested too deep; wanted one row a point") from error


def _as_rows(X: Any, what: str) -> Rows:
    if isinstance(X, Faces):
        return X
    if isinstance(X, np.ma.MaskedArray):
        X = filled(X)
    if isinstance(X, np.ndarray):
        if X.ndim == 0:
            raise InvalidInput(f"got {what} as an array without axes, of one {type(X.item()).__name__}; wanted rows")
        return TextRows(X, what) if is_texts(X) else _from_array(X, what)
    if isinstance(X, Tensor):
        if X.layout != torch.strided or X.is_complex():
            raise InvalidInput(
                f"got {what} as a {X.layout} tensor of {X.dtype}; wanted a dense real one: {what}.to_dense()"
            )
        if X.is_meta:
            raise InvalidInput(f"got {what} as a tensor on the meta device, which holds no numbers; wanted data")
        X = X.detach().cpu()
        return ArrayRows((X.float() if X.dtype == torch.bfloat16 else X).numpy(), what)
    if is_frame(X):
        return FrameRows(X, what)
    if isinstance(X, pd.Series | pd.Index | pd.api.extensions.ExtensionArray) or is_polars(X, "Series"):
        if is_texts(X):
            return TextRows(X, what)
        if len(X) and all(isinstance(value, list | tuple | dict | np.ndarray | Tensor) for value in X):
            return ObjectRows(X, what)
        name = type(X).__name__
        wanted = f"{what}.to_frame()" if hasattr(X, "to_frame") else f"pandas.DataFrame({{'x': {what}}})"
        raise InvalidInput(f"got a {name} as {what}; wanted texts, or one row per point: {wanted}")
    if sparse.issparse(X):
        return SparseRows(X, what)
    if isinstance(X, (str, Path)):
        return as_rows(read_rows(Path(X), what), what)
    if is_parts(X):
        return PartRows(X, as_rows, what)
    if isinstance(X, (list, tuple)):
        return _from_list(X, what)
    if hasattr(X, "__getitem__"):
        return _from_dataset(X, what)
    raise InvalidInput(
        f"got {what} of type {type(X).__name__}; wanted an array, a torch tensor, a DataFrame, texts, a dict of "
        "arrays, a map-style Dataset, a scipy sparse matrix, or the path of a .npy file, a table or a folder of images"
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


def _from_array(array: np.ndarray[Any, Any], what: str) -> Rows:
    """An array of numbers, or one of strings or objects of any kind."""
    if array.ndim == 2 and (array.dtype.kind == "U" or type(array.dtype).__name__ == "StringDType"):
        return ArrayTableRows(array, what)
    if array.dtype.kind != "O":
        return ArrayRows(array, what)
    try:
        return ArrayRows(array.astype(np.float64), what, given=array)
    except (TypeError, ValueError, OverflowError):
        return ArrayTableRows(array, what) if array.ndim == 2 else ObjectRows(array, what)


def _from_list(values: Any, what: str) -> Rows:
    if not len(values):
        raise InvalidInput(f"got an empty {type(values).__name__} as {what}; wanted at least one row")
    if is_texts(values):
        return TextRows(values, what)
    try:
        if all(isinstance(value, Tensor) for value in values):
            return ArrayRows(torch.stack(list(values)).detach().cpu().numpy(), what)
        array = np.asarray(values)
    except Exception:  # as many as there are libraries whose values may be in it
        return ObjectRows(values, what)
    return ArrayRows(array, what) if array.dtype.kind in "biuf" else ObjectRows(values, what)


def _from_dataset(dataset: Any, what: str) -> Rows:
    """A data set, whose items are read when needed; one of texts is read now, for texts are told apart together."""
    rows = DatasetRows(dataset, what)
    return TextRows(rows.native(slice(None)), what) if isinstance(rows.item(0), str) else rows
