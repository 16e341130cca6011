"""Files of the field: micrographs as MRC, pictures or arrays; marks in, picks out, as STAR, CSV or BOX."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoal.cryo.pictures import grey
from autoal.cryo.star import read_star, star_text
from autoal.data.reading import map_array, memory_there, reading
from autoal.data.sources import IMAGE_SUFFIXES, read_frame
from autoal.disk import write_atomic
from autoal.errors import DataMissing, InvalidInput, shown
from autoal.formulas import defused

__all__ = ["FORMATS", "MICROGRAPHS", "MRC", "micrograph_files", "read_marks", "read_micrograph", "write_picks"]

Floats = NDArray[np.floating[Any]]
MRC = frozenset({".mrc", ".mrcs"})
MICROGRAPHS = MRC | {".npy"} | IMAGE_SUFFIXES
FORMATS = ("star", "csv", "box")
NAMES = {
    "row": ("row", "y", "y-coordinate", "y_coord", "_rlncoordinatey", "rlncoordinatey"),
    "column": ("column", "col", "x", "x-coordinate", "x_coord", "_rlncoordinatex", "rlncoordinatex"),
    "micrograph": ("micrograph", "image_name", "image", "name", "_rlnmicrographname", "rlnmicrographname"),
}


def micrograph_files(path: Path) -> list[Path]:
    """Every micrograph directly in a folder, by name, or the one file. Raises DataMissing, InvalidInput."""
    if path.is_file():
        if path.suffix.lower() not in MICROGRAPHS:
            raise InvalidInput(f"got {str(path)!r}; wanted {', '.join(sorted(MICROGRAPHS))}, or a folder of them")
        return [path]
    if not path.is_dir():
        raise DataMissing(f"{str(path)!r} is not there; wanted a micrograph, or a folder of them")
    files = sorted(
        file
        for file in path.iterdir()
        if file.is_file() and file.suffix.lower() in MICROGRAPHS and not file.name.startswith(".")
    )
    if not files:
        raise InvalidInput(f"{str(path)!r} holds no micrographs ({', '.join(sorted(MICROGRAPHS))})")
    twice = sorted({file.stem for file in files if sum(other.stem == file.stem for other in files) > 1})
    if twice:
        raise InvalidInput(
            f"{str(path)!r} has several files named {twice[:5]}; picks are named by them: move some away"
        )
    return files


def read_micrograph(path: Path) -> NDArray[np.float64]:
    """(h, w) of an `.mrc`, a `.npy` or a picture, whose colours are averaged. Row 0 is the first of the file.

    Raises DataMissing, and InvalidInput for what cannot be read or holds several pictures. MRC needs `mrcfile`
    (pip install 'autoal[cryo]').
    """
    if not path.is_file():
        raise DataMissing(f"{str(path)!r} is not there; wanted a micrograph")
    suffix = path.suffix.lower()
    with reading(path, "a micrograph"):
        values = _mrc(path) if suffix in MRC else map_array(path) if suffix == ".npy" else _picture(path)
    return grey(values, path.name)


def _mrc(path: Path) -> NDArray[Any]:
    try:
        import mrcfile
    except ImportError as error:
        raise InvalidInput(
            f"{path.name} is an MRC file, which needs mrcfile; pip install 'autoal[cryo]', or convert it to .npy"
        ) from error
    with open(path, "rb") as file:
        _check_mrc(path, file.read(1024))
    with warnings.catch_warnings(record=True) as said, mrcfile.open(path, permissive=True) as mrc:
        warnings.simplefilter("always")
        data = None if mrc.data is None else np.array(mrc.data)
    if data is None:
        why = f" ({said[0].message})" if said else ""
        raise InvalidInput(f"{str(path)!r} cannot be read as MRC{why}")
    if data.ndim == 3 and data.shape[0] == 1:
        data = data[0]
    if data.ndim != 2:
        raise InvalidInput(
            f"{str(path)!r} holds {data.shape}; wanted one micrograph: average the frames of a movie first"
        )
    if data.dtype.kind == "c":
        raise InvalidInput(f"{str(path)!r} holds complex numbers, a transform; wanted a micrograph")
    return data


def _picture(path: Path) -> NDArray[Any]:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS, before = None, Image.MAX_IMAGE_PIXELS  # micrographs are that large
    try:
        with Image.open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise InvalidInput(f"{str(path)!r} holds {picture.n_frames} pictures; wanted one")  # type: ignore[attr-defined]
            _fits(path, picture.width * picture.height * 3)
            values = np.asarray(picture.convert("RGB") if picture.mode in ("P", "RGBA", "LA", "CMYK") else picture)
    finally:
        Image.MAX_IMAGE_PIXELS = before
    return values.mean(axis=2) if values.ndim == 3 else values


def _check_mrc(path: Path, head: bytes) -> None:
    """Raises InvalidInput where the head of an MRC file claims more numbers than there are bytes. What is no MRC file
    at all is said by who reads it."""
    if len(head) < 1024 or head[:2] in (b"\x1f\x8b", b"BZ"):  # none, or one that is packed
        return
    shape = np.frombuffer(head[:12], dtype="<i4" if head[212:213] != b"\x11" else ">i4").tolist()
    if not 0 <= math.prod(shape) <= 2 * path.stat().st_size:  # two values a byte at most
        raise InvalidInput(
            f"{str(path)!r} cannot be read as MRC: its head claims {shown(shape[::-1])} values, and it has "
            f"{path.stat().st_size:,} bytes"
        )


def _fits(path: Path, size: int) -> None:
    """Raises InvalidInput where so many bytes of pixels are more than memory has."""
    there = memory_there()
    if there is not None and size > there:
        raise InvalidInput(
            f"{str(path)!r} holds {size:,} bytes of pixels, and memory has {there:,}; wanted a smaller one"
        )


def read_marks(path: Path) -> dict[str | None, Floats]:
    """Marks by the stem of their micrograph, (n, 2) rows and columns; under None where the file does not say which.

    A CSV with the columns row and column, or x and y (also X-Coordinate, Y-Coordinate, as CryoPPP has them), and
    perhaps `micrograph`; a STAR file with rlnCoordinateX and rlnCoordinateY; a BOX file: corner and size.
    Raises DataMissing, InvalidInput.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataMissing(f"{str(path)!r} is not there; wanted a file of marks: .csv, .tsv, .star or .box")
    if suffix == ".box":
        return {None: _box(path)}
    if suffix == ".star":
        frame = read_star(path)
    elif suffix in (".csv", ".tsv"):
        frame = read_frame(path)
    else:
        raise InvalidInput(f"got {str(path)!r}; wanted a file of marks: .csv, .tsv, .star or .box")
    lower = {str(name).strip().lower(): name for name in frame.columns}
    found = {part: next((lower[name] for name in names if name in lower), None) for part, names in NAMES.items()}
    if found["row"] is None or found["column"] is None:
        raise InvalidInput(
            f"{str(path)!r} has the columns {[str(name) for name in frame.columns]}; wanted row and column, or x and y"
        )
    numbers = [pd.to_numeric(frame[found[part]], errors="coerce") for part in ("row", "column")]
    centres = np.column_stack([values.to_numpy(dtype=np.float64) for values in numbers])
    wrong = np.flatnonzero(~np.isfinite(centres).all(axis=1))
    if len(wrong):
        raise InvalidInput(f"{str(path)!r} has no number for row or column in its line {int(wrong[0]) + 1} of marks")
    if found["micrograph"] is None:
        return {None: centres}
    stems = np.asarray([Path(str(name)).stem for name in frame[found["micrograph"]]])
    return {str(stem): centres[stems == stem] for stem in dict.fromkeys(stems.tolist())}


def _box(path: Path) -> Floats:
    with reading(path, "a BOX file", "wanted x y width height a line"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.loadtxt(io.StringIO(path.read_text(encoding="utf-8")), ndmin=2, usecols=(0, 1, 2, 3))
    return np.column_stack([values[:, 1] + values[:, 3] / 2 - 0.5, values[:, 0] + values[:, 2] / 2 - 0.5])


def write_picks(path: Path, form: str, micrograph: str, centres: Floats, scores: Floats, diameter: float) -> None:
    """Writes picks of one micrograph, whole or not at all. "star": as Relion reads them; "csv": micrograph, row,
    column, score; "box": corner and size of a box of 1.4 diameters."""
    if form not in FORMATS:
        raise InvalidInput(f"got format={shown(form)}; wanted one of {', '.join(FORMATS)}")
    if form == "star":
        text = star_text(micrograph, centres, scores)
    elif form == "csv":
        rows = {"micrograph": micrograph, "row": centres[:, 0], "column": centres[:, 1], "score": scores}
        text = defused(pd.DataFrame(rows)).to_csv(index=False, float_format="%.4f")
    else:
        side = max(1, round(1.4 * diameter))
        corners = np.round(centres - (side - 1) / 2).astype(int)
        text = "".join(f"{column}\t{row}\t{side}\t{side}\n" for row, column in corners)
    write_atomic(path, text)
