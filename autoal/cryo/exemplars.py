"""Marks of a person made exemplars: checked, at most as many as are wanted, and put right if that is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.cryo.checks import marks_of, refuse_at_border, warn_if_crowded
from autoal.cryo.pictures import prepare
from autoal.cryo.training import Reference
from autoal.cryo.windows import turned_mean
from autoal.errors import AutoALWarning, InvalidInput
from autoal.rng import numpy_rng

__all__ = ["drawn", "for_each", "recentred", "reference"]

Floats = NDArray[np.floating[Any]]
ACROSS = 1.4
"""Diameters of the disc that is compared."""
REACH = 0.2
"""Diameters by which a mark is moved at most: people do not hit the middle, but they hit the particle."""
PULL = 3.0
"""What a move of one diameter costs, in correlation, squared with the distance: where the noise is such that no place
correlates much better than another, the mark stays."""
ROUNDS = 4


def for_each(given: Any, count: int, what: str) -> list[Any]:
    """One array for each of `count` micrographs, None for all where nothing is given. Raises InvalidInput."""
    if given is None:
        return [None] * count
    if isinstance(given, str | dict) or not hasattr(given, "__len__") or len(given) != count:
        raise InvalidInput(f"got {what} for {count} micrographs that are no list of {count} arrays")
    return list(given)


def reference(micrograph: Any, centres: Any, negatives: Any, diameter: float, wanted: float) -> Reference:
    """A micrograph (h, w) and places (n, 2) in it, scaled so that the particle has `wanted` pixels. Raises
    InvalidInput for marks at the border or without number."""
    prepared = prepare(micrograph, diameter, wanted)
    shape = np.shape(micrograph)
    marks = marks_of(centres)
    known = marks_of([] if negatives is None else negatives, "negatives")
    refuse_at_border(marks, (shape[0], shape[1]), diameter, "marks")
    warn_if_crowded(marks, diameter)
    return Reference(prepared.pixels, prepared.inside(marks), prepared.inside(known))


def drawn(references: Sequence[Reference], most: int, seed: int) -> list[Reference]:
    """The references with `most` of their exemplars, drawn at random, where there are more. Raises InvalidInput where
    there are none."""
    counts = [len(one.exemplars) for one in references]
    total = sum(counts)
    if total == 0:
        raise InvalidInput("got no marks; wanted the centres of some particles, about 15")
    if total == 1:
        warnings.warn(
            "got one mark, which can be like its own turns alone: picks are poor; about 15 are wanted",
            AutoALWarning,
            stacklevel=3,
        )
    if total <= most:
        return list(references)
    kept = np.sort(numpy_rng(seed, "cryo exemplars").permutation(total)[:most])
    starts = np.cumsum([0, *counts])
    return [
        Reference(one.pixels, one.exemplars[kept[(kept >= low) & (kept < high)] - low], one.negatives)
        for one, low, high in zip(references, starts[:-1], starts[1:], strict=True)
    ]


def recentred(references: Sequence[Reference], diameter: float) -> list[Reference]:
    """Each exemplar moved, by whole pixels and at most 0.2 diameters from its mark, to where it correlates best with
    the rotational average of the others; again until none moves, four times at most."""
    counts = [len(one.exemplars) for one in references]
    if sum(counts) < 2:
        return list(references)
    owner = np.repeat(np.arange(len(counts)), counts)
    marks = np.concatenate([one.exemplars for one in references])
    reach, side = int(REACH * diameter), 2 * int(np.ceil(ACROSS * diameter / 2)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    moves = np.column_stack([y.ravel(), x.ravel()])[np.hypot(y, x).ravel() <= REACH * diameter]
    price = PULL * (moves**2).sum(axis=1) / diameter**2
    line = np.arange(side) - side // 2
    disc = np.hypot(line[:, None], line[None]) <= ACROSS * diameter / 2
    at = marks.copy()
    for _ in range(ROUNDS):
        means = np.concatenate(
            [turned_mean(one.pixels, at[owner == i], side)[:, disc] for i, one in enumerate(references)]
        )
        total, moved = means.sum(axis=0), at.copy()
        for i, mark in enumerate(marks):
            cut = turned_mean(references[owner[i]].pixels, mark + moves, side, turns=1)[:, disc]
            moved[i] = mark + moves[int(np.argmax(_correlation(cut, total - means[i]) - price))]
        if np.array_equal(moved, at):
            break
        at = moved
    return [Reference(one.pixels, at[owner == i], one.negatives) for i, one in enumerate(references)]


def _correlation(windows: Floats, template: Floats) -> Floats:
    """(n,) of each row of (n, p) with (p,); 0 for what does not vary."""
    windows, template = windows - windows.mean(axis=1, keepdims=True), template - template.mean()
    spread = np.sqrt((windows**2).sum(axis=1) * (template**2).sum())
    return np.divide(windows @ template, spread, out=np.zeros(len(windows)), where=spread > 1e-12)
