"""Square windows of a prepared micrograph, turned or straight; beyond its border the picture is mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["grid", "slices", "turned_mean", "windows"]

Floats = NDArray[np.floating[Any]]
TURNS = 36


def windows(
    pixels: Floats, middles: Floats, side: int, *, angles: Floats | None = None, flips: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """(n, side, side) windows with their middle, between pixels where `side` is even, at each of `middles` (n, 2).

    Bilinear. `angles` (n,) in radians turn them about the middle, `flips` (n,) mirror them first.
    """
    middles = np.asarray(middles, dtype=np.float64)
    n = len(middles)
    along = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(along, along, indexing="ij")
    turned = np.zeros(n) if angles is None else np.asarray(angles, dtype=np.float64)
    mirror = np.ones(n) if flips is None else np.where(flips, -1.0, 1.0)
    cosine, sine = np.cos(turned)[:, None, None], np.sin(turned)[:, None, None]
    x_n = mirror[:, None, None] * x
    rows = middles[:, 0, None, None] + cosine * y + sine * x_n
    columns = middles[:, 1, None, None] - sine * y + cosine * x_n
    return ndimage.map_coordinates(pixels, [rows, columns], order=1, mode="reflect", output=np.float32)


def turned_mean(pixels: Floats, middles: Floats, side: int, turns: int = TURNS) -> NDArray[np.float64]:
    """(n, side, side) windows about `middles` (n, 2), each the mean over so many turns: its rotational average."""
    angles = np.tile(np.arange(turns) * 2 * np.pi / turns, len(middles))
    cut = windows(pixels, np.repeat(np.asarray(middles, dtype=np.float64), turns, axis=0), side, angles=angles)
    return cut.reshape(len(middles), turns, side, side).mean(axis=1, dtype=np.float64)


def grid(shape: tuple[int, ...], stride: int) -> tuple[Floats, Floats]:
    """Rows and columns of the middles of the windows that `slices` gives, `stride` pixels apart."""
    return tuple(np.arange(0, length + 1, stride) - 0.5 for length in shape)  # type: ignore[return-value]


def slices(pixels: Floats, side: int, stride: int, at_once: int) -> Iterator[NDArray[np.float32]]:
    """The windows about every point of `grid`, row by row, at most about `at_once` of them together; without
    interpolation."""
    half = side // 2
    padded = np.pad(pixels, half, mode="symmetric")
    every = sliding_window_view(padded, (side, side))[::stride, ::stride]
    rows = max(1, at_once // every.shape[1])
    for start in range(0, len(every), rows):
        yield np.ascontiguousarray(every[start : start + rows]).reshape(-1, side, side)
