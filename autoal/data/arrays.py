"""Rows held in one array: dense (in memory or mapped from a file) or scipy sparse."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoal.data.faces import AS_GIVEN, NUMBERS, Faces, Index, row_selector, rows_of
from autoal.errors import InvalidInput

__all__ = ["ArrayRows", "Index", "SparseRows", "filled", "fingerprint", "row_selector"]

CHANNELS = (1, 3, 4)
FLAT = "them as one row of numbers a picture, bytes in [0, 1]"


def fingerprint(rows: Any, read: Callable[[Any], Tensor] | None = None) -> str:
    """Hash of the shape and of up to 64 evenly spaced rows: cheap, and equal for equal contents in any container.
    `read` gives rows in place of `rows.take`."""
    n = len(rows)
    sample = np.unique(np.linspace(0, n - 1, min(n, 64)).astype(np.int64))
    digest = hashlib.sha256(f"{n}:{tuple(rows.row_shape)}:".encode())
    digest.update(np.ascontiguousarray((read or rows.take)(sample).numpy()).tobytes())
    return digest.hexdigest()[:32]


def filled(array: Any) -> NDArray[Any]:
    """A masked array as a plain one, with NaN or None for what is masked; read as it is, the mask is forgotten."""
    if not np.ma.getmaskarray(array).any():
        return np.asarray(array.data)
    if array.dtype.kind in "biuf":
        return np.asarray(array.astype(np.result_type(array.dtype, np.float32)).filled(np.nan))
    return np.asarray(array.astype(object).filled(None))


class ArrayRows(Faces):
    """Rows of a dense array: (n, d) tabular, (n, h, w) grey images, or (n, h, w, c) / (n, c, h, w) images.

    Channels are last where the last axis is 1, 3 or 4 long and the second is not. `take` gives images as
    (n, c, h, w), and uint8 images as numbers in [0, 1]. The array is read, never copied or changed. `given` is the
    array of objects that the numbers were read from, where they came so.

    Raises InvalidInput for other shapes, for arrays without rows or columns, and for dtypes that are not numbers.
    """

    def __init__(self, array: NDArray[Any], what: str = "X", given: NDArray[Any] | None = None) -> None:
        _check_array(array, what)
        self.array = array
        self.given = array if given is None else given
        self.what = what
        self.is_image = array.ndim > 2
        self.kind = "pictures" if self.is_image else "numbers"
        self.channels_last = array.ndim == 4 and array.shape[3] in CHANNELS and array.shape[1] not in CHANNELS
        self.always_finite = array.dtype.kind in "biu"

    def __len__(self) -> int:
        return int(self.array.shape[0])

    @property
    def row_shape(self) -> tuple[int, ...]:
        shape = tuple(int(size) for size in self.array.shape[1:])
        if len(shape) == 2:
            return (1, *shape)
        return (shape[2], shape[0], shape[1]) if self.channels_last else shape

    def take(self, indices: Index) -> Tensor:
        """float32 (n, ...) on the CPU; always a copy, so that a module that works in place cannot reach the data."""
        part = self.array[row_selector(indices)]
        if self.channels_last:
            part = np.moveaxis(part, 3, 1)
        elif part.ndim == 3:
            part = part[:, None]
        with np.errstate(over="ignore"):  # a float64 too large for float32 becomes inf, which check_finite reports
            values = np.array(part, dtype=np.float32, order="C", copy=True)
        if self.is_image and self.array.dtype == np.uint8:
            values /= 255.0
        return torch.from_numpy(values)

    def native(self, indices: Index) -> NDArray[Any]:
        """The asked rows of the array as they are, of its own type and shape; a copy."""
        return np.asarray(rows_of(self.given, indices))

    @property
    def forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, FLAT, NUMBERS) if self.is_image else (AS_GIVEN, NUMBERS)

    def form(self, name: str, indices: Index) -> NDArray[Any]:
        if name == AS_GIVEN:
            return self.native(indices)
        taken = self.take(indices).numpy()
        return taken.reshape(len(taken), -1).astype(np.float64) if name == FLAT else taken

    @property
    def net_forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, NUMBERS) if self.is_image or self.array.dtype.kind in "iub" else (NUMBERS,)

    def net_form(self, name: str, indices: Index) -> Tensor:
        if name == NUMBERS:
            return self.take(indices)
        values = np.array(self.array[row_selector(indices)], copy=True)
        if values.dtype.kind == "u" and values.dtype != np.uint8:  # torch computes with signed integers
            if values.size and values.max() > np.iinfo(np.int64).max:
                raise InvalidInput(f"{self.what} holds {values.max()}, too large for torch's integers; scale it down")
            values = values.astype(np.int64)
        with np.errstate(over="ignore"):
            return torch.from_numpy(values.astype(np.float32) if values.dtype.kind == "f" else values)

    def encoded(self, indices: Index) -> Tensor:
        if self.kind == "pictures" and self.encoder is None:  # PCA wants channels in one place, whatever the container
            return torch.from_numpy(self.fitted_encoder().transform(self.take(indices).numpy()))
        return super().encoded(indices)

    @property
    def cost(self) -> int:
        return int(np.prod(self.row_shape))

    def fingerprint(self) -> str:
        return fingerprint(self)


class SparseRows(Faces):
    """Rows of a scipy sparse matrix (n, d). `take` makes the asked rows dense, `native` keeps them sparse."""

    is_sparse = True

    def __init__(self, matrix: Any, what: str = "X") -> None:
        if matrix.ndim != 2:
            raise InvalidInput(f"got a sparse {what} of shape {matrix.shape}; wanted a 2-D matrix (rows, columns)")
        if matrix.dtype.kind not in "biuf":
            raise InvalidInput(
                f"got a sparse {what} of dtype {matrix.dtype}; wanted numbers, e.g. {what}.astype('float32')"
            )
        _check_extent(matrix.shape, what)
        self.what = what
        self.matrix, self.format = matrix.tocsr(), matrix.format
        self.always_finite = matrix.dtype.kind in "biu"

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (int(self.matrix.shape[1]),)

    @property
    def cost(self) -> int:
        return int(self.matrix.shape[1])

    def take(self, indices: Index) -> Tensor:
        with np.errstate(over="ignore"):  # as in ArrayRows.take
            return torch.from_numpy(self.matrix[row_selector(indices)].toarray().astype(np.float32))

    def native(self, indices: Index) -> Any:
        """The asked rows in the format they came in."""
        return self.matrix[row_selector(indices)].asformat(self.format)

    def fingerprint(self) -> str:
        return fingerprint(self)


def _check_array(array: NDArray[Any], what: str) -> None:
    if array.dtype.kind not in "biuf":
        raise InvalidInput(
            f"got {what} of dtype {array.dtype}; wanted numbers: use {what}.astype('float32'), or a pandas DataFrame, "
            "which may hold texts, categories and dates too"
        )
    if array.ndim == 1:
        raise InvalidInput(
            f"got a 1-D {what} of shape {array.shape}; wanted one row per point: "
            f"{what}.reshape(-1, 1) where each point is one number, {what}.reshape(1, -1) where it is a single point"
        )
    if not 2 <= array.ndim <= 4:
        raise InvalidInput(
            f"got {what} of shape {array.shape}; wanted (n, d), (n, h, w), (n, h, w, c) or (n, c, h, w); "
            "for rows of another shape pass a torch Dataset, whose items are taken as they are"
        )
    _check_extent(array.shape, what)


def _check_extent(shape: tuple[int, ...], what: str) -> None:
    if shape[0] == 0:
        raise InvalidInput(f"got {what} of shape {tuple(shape)}, without rows; wanted at least one point")
    if 0 in shape:
        raise InvalidInput(f"got {what} of shape {tuple(shape)}, without columns; wanted at least one number per point")
