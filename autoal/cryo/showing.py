"""A window in its surroundings, as a picture for people."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.cryo.pictures import grey, prepare
from autoal.cryo.windows import windows

__all__ = ["surroundings"]

Floats = NDArray[np.floating[Any]]
DIAMETER = 60.0
"""Pixels that the particle takes in the picture."""
ACROSS = 6
"""Diameters that the picture shows."""
WINDOW = 1.4
REACH = 2.5
"""Units of noise from middle grey to black and to white."""


def surroundings(micrograph: Any, centres: Floats, diameter: float) -> Iterator[bytes]:
    """PNG of each place (n, 2): six diameters of the micrograph, with a frame about the window in the middle and
    marks at its sides, so that what is asked about is plain and what lies beneath it stays as it is."""
    from PIL import Image, ImageDraw

    prepared = prepare(grey(micrograph), diameter, DIAMETER)
    side = round(ACROSS * DIAMETER)
    half = WINDOW * DIAMETER / 2
    for middle in prepared.inside(centres):
        cut = windows(prepared.pixels, middle[None], side)[0]
        shown = np.clip(127.5 + cut / REACH * 127.5, 0, 255).astype(np.uint8)
        picture = Image.fromarray(shown).convert("RGB")
        draw, centre = ImageDraw.Draw(picture), side / 2 - 0.5
        box = (centre - half, centre - half, centre + half, centre + half)
        draw.rectangle(box, outline=(255, 176, 0), width=2)
        made = io.BytesIO()
        picture.save(made, format="PNG")
        yield made.getvalue()
