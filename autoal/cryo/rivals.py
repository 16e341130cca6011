"""What cryoMAE is measured against: a rotationally averaged template, and blobs of the right size."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from autoal.cryo.peaks import ScoreMap
from autoal.cryo.pictures import Prepared, prepare
from autoal.cryo.windows import turned_mean
from autoal.errors import InvalidInput

__all__ = ["Template", "laplacian"]

Floats = NDArray[np.floating[Any]]
SCALED = 23.0
ACROSS = 1.4
"""Diameters of the disc that is compared."""


class Template:
    """Normalised cross-correlation with the rotational average of exemplars, over a disc of 1.4 diameters."""

    def __init__(self, diameter: float, micrograph: Any, centres: Floats) -> None:
        self.diameter = diameter
        prepared = prepare(micrograph, diameter, SCALED)
        half = int(np.ceil(ACROSS * SCALED / 2))
        y, x = np.mgrid[-half : half + 1, -half : half + 1]
        disc = np.hypot(y, x) <= ACROSS * SCALED / 2
        mean = turned_mean(prepared.pixels, prepared.inside(centres), 2 * half + 1).mean(axis=0)
        self.disc = disc.astype(np.float64)
        self.template = np.where(disc, mean - mean[disc].mean(), 0.0)

    def score(self, micrograph: Any) -> ScoreMap:
        """Correlation, -1 to 1, at every pixel of the scaled picture; 0 where the picture does not vary."""
        prepared = prepare(micrograph, self.diameter, SCALED)
        half = len(self.disc) // 2
        padded = np.pad(prepared.pixels.astype(np.float64), half, mode="symmetric")
        count = self.disc.sum()
        total = signal.fftconvolve(padded, self.disc, mode="valid")  # the disc and its mirror are one
        squares = signal.fftconvolve(padded**2, self.disc, mode="valid")
        along = signal.fftconvolve(padded, self.template[::-1, ::-1], mode="valid")
        spread = np.sqrt(np.maximum(squares - total**2 / count, 0) * (self.template**2).sum())
        values = np.divide(along, spread, out=np.zeros_like(along), where=spread > 1e-6 * max(spread.max(), 1e-12))
        return _map(values, prepared, np.shape(micrograph))


def laplacian(diameter: float, micrograph: Any, sign: Literal[1, -1]) -> ScoreMap:
    """Laplacian of a Gaussian of sigma `diameter` / (2 sqrt 2): high on blobs of that size, bright ones where `sign` is
    1, dark ones where it is -1."""
    if sign not in (1, -1):
        raise InvalidInput(f"got sign={sign!r}; wanted 1 for bright particles, -1 for dark ones")
    prepared = prepare(micrograph, diameter, SCALED)
    values = ndimage.gaussian_laplace(prepared.pixels.astype(np.float64), SCALED / (2 * np.sqrt(2)), mode="reflect")
    return _map(-sign * values, prepared, np.shape(micrograph))


def _map(values: Floats, prepared: Prepared, shape: tuple[int, ...]) -> ScoreMap:
    rows, columns = (np.arange(side, dtype=np.float64) for side in values.shape)
    outer = [prepared.outside(np.column_stack([line, line]))[:, axis] for axis, line in enumerate((rows, columns))]
    return ScoreMap(values, outer[0], outer[1], (shape[0], shape[1]))
