"""Synthetic micrographs with known particles: a function of a seed, nothing to download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoal.errors import InvalidInput, shown
from autoal.rng import numpy_rng

__all__ = ["KINDS", "Synthetic", "synthetic_micrograph"]

Floats = NDArray[np.floating[Any]]
Kind = Literal["blob", "ring", "asym"]
KINDS: tuple[Kind, ...] = ("blob", "ring", "asym")
APART = 1.05
OBJECTS = 25
BAND = 0.15
"""Share of the width that carbon covers."""
VIEWS = 3


@dataclass(frozen=True)
class Synthetic:
    """`pixels` (side, side) float32; `centres` (n, 2) of its particles, `foreign` (k, 2) of what only looks like one;
    `signal` and `noise` as they were added, for a look at the signal-to-noise ratio."""

    pixels: NDArray[np.float32]
    centres: Floats
    foreign: Floats
    signal: Floats
    noise: Floats
    diameter: float

    def snr(self) -> float:
        """Variance of the clean particles inside their discs over the variance of the noise."""
        return float(self.signal[_discs(self.centres, self.diameter, self.signal.shape)].var() / self.noise.var())


def synthetic_micrograph(
    kind: Kind,
    seed: int,
    *,
    snr: float = 0.1,
    confounders: bool = False,
    side: int = 384,
    diameter: float = 24.0,
    particles: int = 60,
) -> Synthetic:
    """A micrograph of bright particles in white noise on a slow background.

    `kind`: "blob" is a Gaussian, "ring" a ring of radius 0.36 diameters, "asym" one of three views of four lobes, at
    any turn. `snr` is the variance of the clean signal inside the particles' discs over that of the noise. With
    `confounders` 25 objects are no particles: discs of ice 1.5 times as bright, small sharp dirt 3 times as bright,
    and halves of particles; and a band of carbon covers the right edge. The three views depend on the kind alone, so
    micrographs of several seeds show the same particles.
    """
    if kind not in KINDS:
        raise InvalidInput(f"got kind={shown(kind)}; wanted one of {', '.join(KINDS)}")
    if not snr > 0:
        raise InvalidInput(f"got snr={shown(snr)}; wanted more than 0")
    rng = numpy_rng(seed, "synthetic micrograph", kind, int(confounders))
    band = round(BAND * side) if confounders else 0
    objects = OBJECTS if confounders else 0
    placed = _places(rng, particles + objects, side, side - band, diameter)
    particles = max(0, len(placed) - objects)
    centres, foreign = placed[:particles], placed[particles:]
    signal, extra = np.zeros((side, side)), np.zeros((side, side))
    for centre in centres:
        _add(signal, centre, _particle(kind, diameter, rng, centre))
    for number, centre in enumerate(foreign):
        _add(extra, centre, _confounder(kind, diameter, rng, centre, number % 3))
    inside = signal[_discs(centres, diameter, signal.shape)]
    noise = rng.normal(size=(side, side)) * np.sqrt(inside.var() / snr if len(inside) else 1.0)
    slow = ndimage.gaussian_filter(rng.normal(size=(side, side)), side / 6, mode="wrap")
    slow *= noise.std() / max(slow.std(), 1e-12)
    if band:
        texture = ndimage.gaussian_filter(rng.normal(size=(side, side)), diameter / 8)
        edge = side - band + 0.1 * band * np.sin(np.arange(side) * 2 * np.pi / side * 2)[:, None]
        cover = np.clip(np.arange(side)[None] - edge, 0, 1)
        extra += cover * (texture / texture.std() * 0.5 + 1.0) * noise.std() * np.sqrt(snr) * 2
    pixels = signal + extra + noise + slow
    return Synthetic(pixels.astype(np.float32), centres, foreign, signal, noise, diameter)


def _places(rng: np.random.Generator, count: int, height: int, width: int, diameter: float) -> Floats:
    """Up to (count, 2) centres by dart throwing, in random order, at least 1.05 diameters apart and half a one from
    the edge."""
    low, high = diameter / 2, np.asarray([height, width]) - 1 - diameter / 2
    out = np.zeros((0, 2))
    for dart in low + rng.random((200 * count, 2)) * (high - low):
        if len(out) == count:
            break
        if not len(out) or np.linalg.norm(out - dart, axis=1).min() >= APART * diameter:
            out = np.vstack([out, dart])
    return out


def _around(centre: Floats, reach: float) -> tuple[Floats, Floats, tuple[int, int]]:
    """Rows and columns from `centre` on a patch of pixels, and the patch's corner."""
    corner = np.floor(centre - reach).astype(int)
    side = int(2 * np.ceil(reach)) + 2
    y, x = np.mgrid[0:side, 0:side]
    return y + corner[0] - centre[0], x + corner[1] - centre[1], (int(corner[0]), int(corner[1]))


Patch = tuple[Floats, tuple[int, int]]


def _particle(kind: str, diameter: float, rng: np.random.Generator, centre: Floats) -> Patch:
    y, x, corner = _around(centre, diameter)
    if kind == "blob":
        return np.exp(-(y**2 + x**2) / (2 * (diameter / 4) ** 2)), corner
    if kind == "ring":
        return np.exp(-((np.hypot(y, x) - 0.36 * diameter) ** 2) / (2 * (0.09 * diameter) ** 2)), corner
    lobes = _views(diameter)[rng.integers(VIEWS)]
    turn = rng.uniform(0, 2 * np.pi)
    turned = lobes[:, :2] @ np.asarray([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    out = np.zeros_like(y)
    for (row, column), (width, height) in zip(turned, lobes[:, 2:], strict=True):
        out += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
    return out, corner


def _views(diameter: float) -> list[Floats]:
    """(4, 4) row, column, width and height of the lobes of each view."""
    rng = numpy_rng(0, "views of the asymmetric particle")
    views: list[Floats] = []
    for _ in range(VIEWS):
        far, way = rng.uniform(0.12, 0.32, 4) * diameter, np.arange(4) * np.pi / 2 + rng.uniform(0, np.pi / 3, 4)
        at = np.column_stack([far * np.sin(way), far * np.cos(way)])
        at -= at.mean(axis=0)
        views.append(np.column_stack([at, rng.uniform(0.09, 0.15, 4) * diameter, rng.uniform(0.6, 1.2, 4)]))
    return views


def _confounder(kind: str, diameter: float, rng: np.random.Generator, centre: Floats, which: int) -> Patch:
    """Ice, dirt, or a broken half."""
    whole, corner = _particle(kind, diameter, rng, centre)
    y, x, _ = _around(centre, diameter)
    top = float(whole.max())
    if which == 0:
        radius = diameter * rng.uniform(0.3, 0.5)
        return 1.5 * top * np.clip(radius - np.hypot(y, x) + 0.5, 0, 1), corner
    if which == 1:
        radius = diameter * rng.uniform(0.06, 0.12)
        return 3.0 * top * np.exp(-(y**2 + x**2) / (2 * radius**2)), corner
    way = rng.uniform(0, 2 * np.pi)
    return whole * (np.sin(way) * y + np.cos(way) * x > 0), corner


def _add(picture: Floats, centre: Floats, patch: Patch) -> None:
    values, (row, column) = patch
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + values.shape[0], picture.shape[0]), min(column + values.shape[1], picture.shape[1])
    picture[top:bottom, left:right] += values[top - row : bottom - row, left - column : right - column]


def _discs(centres: Floats, diameter: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    out = np.zeros(shape, dtype=bool)
    for row, column in centres:
        out |= np.hypot(y - row, x - column) <= diameter / 2
    return out
