"""Coordinates as STAR, the table format of Relion and its kin; written and read here, so that no extra is needed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoal.data.reading import reading
from autoal.errors import InvalidInput

__all__ = ["read_star", "star_text"]

COLUMNS = ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit")


def star_text(micrograph: str, centres: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]]) -> str:
    """The block `data_` with a loop over picks: x is the column, y the row."""
    if any(sign in micrograph for sign in "\"'\n\r"):
        raise InvalidInput(f"got a micrograph named {micrograph!r}, which STAR cannot hold; rename it, or write CSV")
    name = f'"{micrograph}"' if any(sign.isspace() for sign in micrograph) or micrograph[:1] in "_#$;" else micrograph
    head = ["data_", "", "loop_", *(f"_{column} #{i}" for i, column in enumerate(COLUMNS, start=1))]
    rows = [f"{name} {c[1]:.4f} {c[0]:.4f} {s:.6f}" for c, s in zip(centres, scores, strict=True)]
    return "\n".join([*head, *rows]) + "\n\n"


def read_star(path: Path) -> pd.DataFrame:
    """The first loop with coordinates in a STAR file, as texts; columns lose their underscore. Raises InvalidInput."""
    with reading(path, "STAR"):
        lines = path.read_text(encoding="utf-8").splitlines()
    at, seen = 0, []
    while at < len(lines):
        at += 1
        if lines[at - 1].strip() != "loop_":
            continue
        names = []
        while at < len(lines) and lines[at].strip().startswith("_"):
            names.append(lines[at].split()[0][1:])
            at += 1
        rows = []
        while at < len(lines) and lines[at].strip() and not lines[at].strip().startswith(("data_", "loop_", "#")):
            try:
                cells = shlex.split(lines[at])
            except ValueError:
                cells = lines[at].split()
            if len(cells) != len(names):
                raise InvalidInput(
                    f"{str(path)!r}, line {at + 1}: {len(cells)} values for the {len(names)} columns of its loop"
                )
            rows.append(cells)
            at += 1
        if {"rlnCoordinateX", "rlnCoordinateY"} <= set(names):
            return pd.DataFrame(rows, columns=names)
        seen += names
    raise InvalidInput(
        f"{str(path)!r} has no loop with rlnCoordinateX and rlnCoordinateY"
        + (f", but {seen[:10]}" if seen else "")
        + "; wanted a STAR file of coordinates"
    )
