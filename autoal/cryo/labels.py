"""Windows that were labeled on the page of `autoal label`, as places in micrographs again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.cryo.picker import ENOUGH
from autoal.data.sources import read_frame
from autoal.disk import dumps
from autoal.errors import DataMissing, InvalidInput
from autoal.session import Session
from autoal.session.folder import is_session

__all__ = ["BACKGROUND", "PARTICLE", "Labeled", "read_labels"]

Floats = NDArray[np.floating[Any]]
PARTICLE, BACKGROUND = "particle", "background"
OUT_OF_CLASS = "ood"


@dataclass(frozen=True)
class Labeled:
    """Places (n, 2), rows and columns, by the stem of their micrograph. The marks themselves are not among them."""

    particles: dict[str, Floats]
    background: dict[str, Floats]

    def _counts(self) -> tuple[int, int]:
        return tuple(sum(len(c) for c in part.values()) for part in (self.particles, self.background))  # type: ignore[return-value]

    def enough(self) -> bool:
        """Whether they can say where the threshold is."""
        return min(self._counts()) >= ENOUGH

    def says(self) -> str:
        """In a sentence."""
        particles, background = self._counts()
        more = "" if self.enough() else f"; {ENOUGH} of each would set the threshold"
        return f"{particles} windows were labeled {PARTICLE}, {background} {BACKGROUND}{more}"

    def digest(self) -> str:
        told = [{stem: c.tolist() for stem, c in part.items()} for part in (self.particles, self.background)]
        return hashlib.sha256(dumps(told).encode()).hexdigest()


def read_labels(folder: Path) -> Labeled:
    """Of a folder that `autoal cryo windows` made and whose windows.csv was labeled. What was put aside as none of the
    classes is background: a picker has to know it. Raises DataMissing, InvalidInput."""
    session, places = folder / "windows-session", folder / "places.csv"
    if not places.is_file():
        raise DataMissing(f"{str(folder)!r} holds no places.csv; wanted a folder that `autoal cryo windows` made")
    if not is_session(session):
        raise DataMissing(
            f"the windows in {str(folder)!r} were not labeled yet; autoal label {folder / 'windows.csv'} --show "
            f"{folder / 'pictures'} --target label --classes {PARTICLE},{BACKGROUND}"
        )
    frame = read_frame(places).set_index("id")
    opened = Session.open(session)
    told = {**opened.labeled, **{id: BACKGROUND for id, why in opened.skipped.items() if why == OUT_OF_CLASS}}
    other = sorted({str(label) for label in told.values()} - {PARTICLE, BACKGROUND})
    if other:
        raise InvalidInput(f"{session} has the labels {other[:5]}; wanted {PARTICLE} and {BACKGROUND}")
    found: dict[str, dict[str, list[Floats]]] = {PARTICLE: {}, BACKGROUND: {}}
    for id, label in told.items():
        if id not in frame.index:
            raise InvalidInput(
                f"{session} has a label for {id!r}, which is not in {places}; was the folder made again?"
            )
        place = frame.loc[id]
        if place["kind"] != "mark":
            centre = np.asarray([place["row"], place["column"]], dtype=np.float64)
            found[str(label)].setdefault(str(place["micrograph"]), []).append(centre)
    made = {label: {stem: np.asarray(c) for stem, c in sorted(part.items())} for label, part in found.items()}
    return Labeled(made[PARTICLE], made[BACKGROUND])
