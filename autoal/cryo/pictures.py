"""A micrograph made ready: scaled so that the particle has a known size, background away, noise of unit scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from autoal.errors import InvalidInput, shown

__all__ = ["Prepared", "check_diameter", "grey", "prepare"]

Floats = NDArray[np.floating[Any]]
STEPS = 1024
"""Grey levels in one unit of noise: coarser than the rounding of any arithmetic before it, so that a micrograph in
other units gives the very same numbers."""
SMOOTHING = 0.06
SMALLEST = 4.0
"""Pixels of a diameter below which there is nothing to see of a particle."""


@dataclass(frozen=True)
class Prepared:
    """`pixels` (h, w) float32 in units of the noise, clipped to +-5, with the particle `diameter` pixels across."""

    pixels: NDArray[np.float32]
    diameter: float
    factors: tuple[float, float]
    """Pixels here for one pixel there, of rows and of columns."""

    def inside(self, centres: Floats) -> Floats:
        """(n, 2) rows and columns here of those in the micrograph; whole numbers are middles of pixels."""
        return (np.asarray(centres, dtype=np.float64) + 0.5) * np.asarray(self.factors) - 0.5

    def outside(self, centres: Floats) -> Floats:
        """The way back."""
        return (np.asarray(centres, dtype=np.float64) + 0.5) / np.asarray(self.factors) - 0.5


def grey(micrograph: Any, what: str = "micrograph") -> NDArray[np.float64]:
    """(h, w) float64 of an array or tensor. Raises InvalidInput for another shape, for what is no number, and for
    numbers that are not finite."""
    values = micrograph.detach().cpu().numpy() if isinstance(micrograph, torch.Tensor) else np.asarray(micrograph)
    if values.ndim != 2 or min(values.shape, default=0) < 1:
        hint = "; average the frames of a movie first" if values.ndim == 3 else ""
        raise InvalidInput(f"got {what} of shape {values.shape}; wanted one grey picture (rows, columns){hint}")
    if values.dtype.kind not in "buif":
        raise InvalidInput(f"got {what} of type {values.dtype}; wanted real numbers")
    out = values.astype(np.float64)
    bad = int((~np.isfinite(out)).sum())
    if bad:
        row, column = np.argwhere(~np.isfinite(out))[0]
        raise InvalidInput(
            f"got {what} with {bad} values that are not finite, the first at row {row}, column {column}; fill them in "
            "(the median of the micrograph is harmless)"
        )
    return out


def check_diameter(diameter: Any, shape: tuple[int, ...] | None = None) -> float:
    """`diameter` as a float. Raises InvalidInput unless it is a number of pixels that can be right for a picture of
    `shape`."""
    number = isinstance(diameter, int | float | np.integer | np.floating) and not isinstance(diameter, bool)
    if not number or not math.isfinite(float(diameter)) or float(diameter) < SMALLEST:
        raise InvalidInput(
            f"got diameter={shown(diameter)}; wanted that of a particle in pixels of the micrograph, "
            f"{SMALLEST:.0f} or more"
        )
    if shape is not None and float(diameter) > min(shape) / 2:
        raise InvalidInput(
            f"got diameter={float(diameter):g} for a micrograph of {shape[0]} x {shape[1]} pixels; wanted at most half "
            "of its shorter side: it is counted in pixels of the micrograph, not in Angstrom"
        )
    return float(diameter)


def prepare(micrograph: Any, diameter: float, wanted: float, what: str = "micrograph") -> Prepared:
    """Scaled so that `diameter` becomes about `wanted` pixels, less a Gaussian of one diameter, smoothed with 0.06
    diameters, in units of the median absolute deviation. A picture of one value becomes 0 everywhere."""
    pixels = grey(micrograph, what)
    check_diameter(diameter, pixels.shape)
    middle = np.median(pixels)
    pixels = pixels - middle
    scale = np.abs(pixels).max()
    if scale > 0:
        pixels /= scale
    size = tuple(max(1, round(side * wanted / diameter)) for side in pixels.shape)
    factors = (size[0] / pixels.shape[0], size[1] / pixels.shape[1])
    if size != pixels.shape:
        made = F.interpolate(torch.from_numpy(pixels)[None, None], size, mode="bilinear", antialias=True)
        pixels = made[0, 0].numpy()
    pixels = pixels - ndimage.gaussian_filter(pixels, wanted)
    pixels = ndimage.gaussian_filter(pixels, SMOOTHING * wanted)
    pixels -= np.median(pixels)
    spread = float(np.median(np.abs(pixels))) * 1.4826
    # Rounding of the arithmetic above is about 1e-16; what varies less does not vary.
    pixels = pixels / spread if spread > 1e-12 else np.zeros_like(pixels)
    steps = np.round(np.clip(pixels, -5, 5) * STEPS) / STEPS
    return Prepared(steps.astype(np.float32), wanted, factors)
