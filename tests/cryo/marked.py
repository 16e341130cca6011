"""A folder of micrographs all of whose particles are known, from files of coordinates or from masks of discs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from autoal.cryo.files import micrograph_files, read_marks, read_micrograph
from autoal.cryo.peaks import spaced
from autoal.data.sources import IMAGE_SUFFIXES
from autoal.errors import DataMissing, InvalidInput
from tests.cryo import runs

Values = np.ndarray[Any, Any]
TABLES = (".csv", ".tsv", ".star", ".box")
MASK = ("_mask", "-mask")
FULL = 0.8
"""Radii that a disc's middle is away from its edge at least, and from another disc's middle."""
IN_MASK = 0.95


@dataclass(frozen=True)
class Folder:
    """Where micrographs and what is known of them lie, and how they are to be read."""

    micrographs: Path
    marks: Path
    diameter: float
    reference: str | None = None
    """Stem of the micrograph with the exemplars; the first by name where it is not given."""
    unseen: Sequence[str] | None = None
    """Stems of those to be tested on; all others where they are not given."""
    cut: float = 0.0
    """Share of each side that is cut off, where pictures have padded borders."""
    flip_y: bool = False
    bright: bool = False

    def read(self) -> tuple[runs.Set, list[str]]:
        """The micrographs with all their marks, the reference first, and their stems.

        Raises DataMissing and InvalidInput for micrographs without marks, marks beyond the picture, and coordinates
        that lie beside the discs of the mask of the same micrograph.
        """
        if not 0 <= self.cut < 0.4:
            raise InvalidInput(f"got --cut {self.cut:g}; wanted the share of a side that is cut off, from 0 to 0.4")
        files = {file.stem: file for file in micrograph_files(self.micrographs) if not file.stem.lower().endswith(MASK)}
        first = next(iter(files)) if self.reference is None else Path(self.reference).stem
        rest = [stem for stem in files if stem != first]
        names = [first, *(rest if self.unseen is None else [Path(name).stem for name in self.unseen])]
        unknown = [name for name in names if name not in files]
        if unknown or len(set(names)) < max(2, len(names)):
            raise InvalidInput(
                f"{str(self.micrographs)!r} holds {sorted(files)[:5]}, and {unknown or names} was asked for; wanted a "
                "reference and at least one other micrograph, by their names"
            )
        tables = read_marks(self.marks) if self.marks.is_file() else None
        pictures, marks = [], []
        for name in names:
            picture = read_micrograph(files[name])
            known = self._marks(name, picture.shape, tables)
            if not len(known):
                raise InvalidInput(f"{str(self.marks)!r} holds no marks of {name}; wanted all of its particles")
            edge = round(self.cut * min(picture.shape))
            pictures.append(picture[edge : picture.shape[0] - edge, edge : picture.shape[1] - edge])
            shifted = known - edge
            inside = ((shifted >= -0.5) & (shifted <= np.asarray(pictures[-1].shape) - 0.5)).all(axis=1)
            marks.append(shifted[inside])
        return runs.Set(pictures, marks, self.diameter, 1 if self.bright else -1), names

    def _marks(self, name: str, shape: tuple[int, ...], tables: dict[str | None, Values] | None) -> Values:
        if tables is not None:
            if None in tables:
                raise InvalidInput(f"{str(self.marks)!r} does not say which micrograph its marks are in")
            return self._turned(tables.get(name, np.zeros((0, 2))), name, shape)
        if not self.marks.is_dir():
            raise DataMissing(f"{str(self.marks)!r} is not there; wanted a file or a folder of marks")
        table = _only([self.marks / f"{name}{suffix}" for suffix in TABLES])
        endings = MASK if self.marks.resolve() == self.micrographs.resolve() else ("", *MASK)
        mask = _only(
            [self.marks / f"{name}{ending}{suffix}" for ending in endings for suffix in sorted(IMAGE_SUFFIXES)]
        )
        if table is None and mask is None:
            raise DataMissing(
                f"{str(self.marks)!r} holds neither coordinates ({', '.join(name + suffix for suffix in TABLES)}) nor "
                f"a mask ({name}_mask.png and the like) of {name}"
            )
        discs = None if mask is None else read_micrograph(mask)
        if table is None:
            assert discs is not None
            return disc_centres(discs, self.diameter, (shape[0], shape[1]))
        found = read_marks(table)
        centres = self._turned(next(iter(found.values())) if len(found) == 1 else found[name], name, shape)
        if discs is not None:
            at = (centres + 0.5) * np.asarray(discs.shape) / np.asarray(shape[:2]) - 0.5
            at = np.clip(np.round(at).astype(int), 0, np.asarray(discs.shape) - 1)
            share = float(_on(discs)[at[:, 0], at[:, 1]].mean())
            if share < IN_MASK:
                raise InvalidInput(
                    f"{share:.0%} of the marks of {name} lie in the discs of its mask; wanted nearly all: rows are "
                    f"counted from {'above' if self.flip_y else 'below'}, perhaps "
                    f"({'without' if self.flip_y else 'with'} --flip-y)"
                )
        return centres

    def _turned(self, centres: Values, name: str, shape: tuple[int, ...]) -> Values:
        out = np.asarray(centres, dtype=np.float64).copy()
        if self.flip_y:
            out[:, 0] = shape[0] - 1 - out[:, 0]
        beyond = int(((out < -0.5) | (out > np.asarray(shape[:2]) - 0.5)).any(axis=1).sum())
        if beyond:
            raise InvalidInput(f"{beyond} of {len(out)} marks of {name} lie beyond its {shape[0]} x {shape[1]} pixels")
        return out


def disc_centres(mask: Values, diameter: float, shape: tuple[int, int]) -> Values:
    """(n, 2) middles, in a micrograph of `shape`, of the discs of `diameter` of its pixels that a mask shows, which may
    touch, and be smaller than the micrograph: maxima of the distance to the edge. Raises InvalidInput for a mask of
    another form, and for one too small to tell discs apart."""
    factors = np.asarray(mask.shape) / np.asarray(shape)
    radius = diameter / 2 * float(factors.mean())
    if abs(factors[0] / factors[1] - 1) > 0.02 or radius < 4:
        raise InvalidInput(
            f"got a mask of {mask.shape} for a micrograph of {shape}, in which a particle has {2 * radius:.1f} pixels; "
            "wanted one of the same form, and 8 pixels a particle or more"
        )
    far = ndimage.gaussian_filter(ndimage.distance_transform_edt(np.pad(_on(mask), 1, mode="edge"))[1:-1, 1:-1], 1.0)
    at = np.argwhere((far == ndimage.maximum_filter(far, 3)) & (far >= FULL * radius))
    at = at[np.argsort(-far[at[:, 0], at[:, 1]], kind="stable")]
    places: Values = at.astype(np.float64)
    chosen = places[spaced(places, FULL * radius)]
    return (chosen + 0.5) / factors - 0.5


def _on(mask: Values) -> Values:
    """What is bright: a JPEG has grey values between."""
    return mask > (float(mask.min()) + float(mask.max())) / 2 if np.ptp(mask) > 0 else np.zeros(mask.shape, dtype=bool)


def _only(paths: list[Path]) -> Path | None:
    there = [path for path in paths if path.is_file()]
    if len(there) > 1:
        raise InvalidInput(f"{[path.name for path in there]} lie side by side in {there[0].parent}; wanted one of them")
    return there[0] if there else None
