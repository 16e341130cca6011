"""What can be wrong with micrographs, marks and settings, said at the door."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from autoal.cryo.peaks import inside
from autoal.errors import AutoALWarning, InvalidInput, shown

__all__ = ["check_parameters", "each", "marks_of", "refuse_at_border", "warn_if_crowded"]

Floats = NDArray[np.floating[Any]]
LISTED = 5
# name: smallest, largest; whole numbers where both are
RANGES: Mapping[str, tuple[float, float]] = {
    "exemplars": (1, 10**6), "steps": (1, 10**9), "batch": (2, 10**6), "crop": (8, 1024), "patch": (2, 512),
    "width": (4, 10**5), "depth": (1, 100), "heads": (1, 1000),
    "lr": (1e-12, 10.0), "lam": (0.0, 1e6), "tau": (1e-3, 1e3), "pi": (0.0, 0.99), "near": (0.0, 1.0),
    "mask_ratio": (0.01, 0.99), "stride": (0.01, 1.0),
}  # fmt: skip


def check_parameters(given: Mapping[str, Any]) -> None:
    """Raises InvalidInput for a setting of CryoMAE out of its range."""
    for name, (low, high) in RANGES.items():
        value = given[name]
        kinds = (int, np.integer) if isinstance(low, int) else (int, float, np.integer, np.floating)
        right = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
        if not right or not low <= value <= high:
            what = "a whole number" if isinstance(low, int) else "a number"
            raise InvalidInput(f"got {name}={shown(value)}; wanted {what} from {low:g} to {high:g}")
    crop, patch, width, heads = (int(given[name]) for name in ("crop", "patch", "width", "heads"))
    if crop % patch or crop == patch or crop % 2:
        raise InvalidInput(f"got crop={crop} and patch={patch}; wanted an even crop of several whole patches")
    if width % 4 or width % heads:
        raise InvalidInput(f"got width={width} and heads={heads}; wanted a width that 4 and the heads divide")
    if given["similarity"] not in ("mean", "top3"):
        raise InvalidInput(f"got similarity={shown(given['similarity'])}; wanted 'mean' or 'top3'")
    if not isinstance(given["recentre"], bool | np.bool_):
        raise InvalidInput(f"got recentre={shown(given['recentre'])}; wanted True or False")
    seed = given["random_state"]
    if seed is not None and (not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0):
        raise InvalidInput(f"got random_state={shown(seed)}; wanted a whole number from 0 on, or None")


def each(micrographs: Any) -> tuple[list[Any], bool]:
    """One micrograph, or several, as a list; and whether it was one."""
    if isinstance(micrographs, np.ndarray | torch.Tensor):
        return (list(micrographs), False) if micrographs.ndim == 3 else ([micrographs], True)
    if isinstance(micrographs, Sequence) and not isinstance(micrographs, str) and len(micrographs):
        if np.ndim(micrographs[0]) == 1:  # one picture as a list of rows
            return [np.asarray(micrographs)], True
        return list(micrographs), False
    raise InvalidInput(
        f"got micrographs of type {type(micrographs).__name__}; wanted a picture (rows, columns), or several"
    )


def marks_of(centres: Any, what: str = "centres") -> Floats:
    """(n, 2) float64 of rows and columns. Raises InvalidInput for another shape or what is not finite."""
    try:
        values = np.asarray(centres, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"got {what} that are no numbers ({error}); wanted (n, 2) rows and columns") from error
    if values.size == 0:
        return np.zeros((0, 2))
    if values.ndim != 2 or values.shape[1] != 2:
        raise InvalidInput(f"got {what} of shape {values.shape}; wanted (n, 2): row and column of each")
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise InvalidInput(f"got {what} that are not finite, the first at place {first}")
    return values


def refuse_at_border(centres: Floats, shape: tuple[int, int], diameter: float, what: str) -> None:
    """Raises InvalidInput, naming them, for marks nearer to the border than half a diameter, or beyond it."""
    wrong = np.flatnonzero(~inside(centres, shape, diameter / 2))
    if len(wrong):
        names = ", ".join(f"{i} at ({centres[i, 0]:.1f}, {centres[i, 1]:.1f})" for i in wrong[:LISTED])
        more = f" and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
        raise InvalidInput(
            f"got {what} {names}{more} (row, column) within half a diameter ({diameter / 2:.1f} pixels) of the border "
            f"of a micrograph of {shape[0]} x {shape[1]}; leave them out, or check that rows come first, that the "
            "marks were not made on a picture of another size, and whether rows are counted from below"
        )


def warn_if_crowded(centres: Floats, diameter: float) -> None:
    """A warning where marks lie nearer together than particles can: the diameter is of another picture, perhaps."""
    close = len(cKDTree(centres).query_pairs(diameter / 2)) if len(centres) else 0
    if close:
        warnings.warn(
            f"{close} pairs of marks lie within half a diameter ({diameter / 2:.1f} pixels) of one another, as "
            "particles do not: is diameter in pixels of this micrograph, and is no mark there twice?",
            AutoALWarning,
            stacklevel=3,
        )
