"""Pictures to numbers: pixels, then few principal components."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.encoders.containers import as_array
from autoal.encoders.reduction import Reduction
from autoal.errors import InvalidInput

__all__ = ["PictureEncoder"]

MOST_COLUMNS = 64
FIT_ROWS = 5000
FIT_BYTES = 512 * 2**20
"""Size of the pixels, as float32, that the components are computed from."""

CHUNK_BYTES = 64 * 2**20


class PictureEncoder:
    """Pictures (n, h, w), (n, h, w, c) or (n, c, h, w) as float32 (n, D), D at most 64, n - 1 and the pixels.

    uint8 counts from 0 to 1, other numbers as they are; a missing or infinite pixel takes the mean of its place.
    The components come from at most 5000 pictures, drawn by a checksum; one scale for all columns makes the mean
    squared length of a row D. Pictures are read in chunks, so memory does not grow with their number.

    Raises InvalidInput for other shapes or dtypes, for no pictures, and for pictures of another size later on.
    """

    def __init__(self, native: Any, what: str = "X") -> None:
        self.notes: list[str] = []
        self._what = what
        pictures = _checked(native, what)
        if 0 in pictures.shape:
            raise InvalidInput(f"got {what} of shape {pictures.shape}; wanted at least one picture and one pixel")
        self._shape = pictures.shape[1:]
        pixels = int(np.prod(self._shape))
        # A checksum orders them as well as chance would, and alike for the same pictures in another order.
        keys = np.array([zlib.crc32(np.ascontiguousarray(one).tobytes()) for one in pictures], dtype=np.uint32)
        most = min(FIT_ROWS, max(2 * MOST_COLUMNS, FIT_BYTES // (4 * pixels)))
        chosen = np.argsort(keys, kind="stable")[:most]
        rows = _pixels(pictures[chosen])
        self._means = _means(rows)
        self._reduction = Reduction(_filled(rows, self._means), MOST_COLUMNS)
        if self._reduction.flat:
            self.notes.append(f"the pictures of {what} cannot be told apart: all are the same")

    def transform(self, native: Any) -> NDArray[np.float32]:
        """(n, D)."""
        pictures = _checked(native, self._what)
        if pictures.shape[1:] != self._shape:
            raise InvalidInput(
                f"got pictures of shape {pictures.shape[1:]}; wanted {self._shape}, as in those before: resize them"
            )
        made = np.zeros((len(pictures), self._reduction.size), dtype=np.float32)
        step = max(1, CHUNK_BYTES // (4 * len(self._means)))
        for start in range(0, len(pictures), step):
            rows = _filled(_pixels(pictures[start : start + step]), self._means)
            made[start : start + step] = self._reduction.apply(rows)
        return made


def _checked(native: Any, what: str) -> NDArray[Any]:
    try:
        pictures = as_array(native)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"got {what} that is no array of pictures ({error}); wanted one size for all") from error
    if pictures.dtype.kind not in "biuf":
        raise InvalidInput(f"got pictures of dtype {pictures.dtype}; wanted numbers: uint8 or float32")
    if pictures.ndim not in (3, 4):
        raise InvalidInput(f"got {what} of shape {pictures.shape}; wanted (n, h, w), (n, h, w, c) or (n, c, h, w)")
    return pictures


def _pixels(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """(n, d), a copy."""
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes inf, which is filled
        rows = pictures.reshape(len(pictures), -1).astype(np.float32)
    if pictures.dtype == np.uint8:
        rows /= np.float32(255.0)
    return rows


def _means(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the finite values of each pixel, 0 where there are none."""
    finite = np.isfinite(rows)
    if finite.all():
        return rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    total = np.where(finite, rows, 0.0).sum(axis=0, dtype=np.float64)
    return (total / np.maximum(1, finite.sum(axis=0))).astype(np.float32)


def _filled(rows: NDArray[np.float32], means: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows` with the means where they are not finite; in place."""
    gaps = ~np.isfinite(rows)
    if gaps.any():
        rows[gaps] = np.broadcast_to(means, rows.shape)[gaps]
    return rows
