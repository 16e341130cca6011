"""Rows in files: an array, a table, or a folder of pictures."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoal.data.labels import LABEL_COLUMNS
from autoal.data.reading import map_array, read_parquet, reading
from autoal.errors import DataMissing, InvalidInput, shown

__all__ = ["IMAGE_SUFFIXES", "Pictures", "picture_files", "read_frame", "read_rows"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
SIZE = 32
DELIMITERS = ",;\t|"


def read_rows(path: Path, what: str = "X") -> Any:
    """The rows in a file or folder: a mapped array of a `.npy`, the frame of a `.csv` or `.parquet` (a Series where it
    has one column of texts), `Pictures` of a folder.

    Raises DataMissing for a path that is not there, InvalidInput for a table with a column of labels in it.
    """
    try:
        path = path.expanduser()
        is_folder = path.is_dir()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a NUL in it, a home that is not there
        raise DataMissing(f"{what}={shown(str(path))} cannot be looked for ({shown(str(error))})") from error
    if is_folder:
        return Pictures(path).pixels()
    if path.suffix not in (".npy", ".csv", ".tsv", ".parquet"):
        raise InvalidInput(
            f"got {what}={str(path)!r}; wanted a .npy, .csv, .tsv or .parquet file, or a folder of pictures (for .npz "
            "see autoal.data.load_dataset); texts are given as a list, also where there is one"
        )
    if not path.is_file():
        raise DataMissing(f"{what}={str(path)!r} is not a file; check the path")
    if path.suffix == ".npy":
        return map_array(path)
    frame = read_frame(path)
    labels = [name for name in frame.columns if str(name).lower() in LABEL_COLUMNS]
    if labels:
        raise InvalidInput(
            f"{str(path)!r} has a column {labels[0]!r}, which looks like labels, and would be an input; read it "
            f"yourself: frame = pandas.read_csv(...); y = frame.pop({labels[0]!r})"
        )
    return frame


def read_frame(path: Path, *, as_text: bool = False) -> pd.DataFrame:
    """A table; of a CSV the delimiter is found (comma, semicolon, tab or bar). Empty cells are gaps, and among numbers
    also what pandas takes for one (NA, null); among texts, labels too, those are texts.

    With `as_text` every cell is text. Raises DataMissing, and InvalidInput for what cannot be read, and for columns of
    one name.
    """
    if not path.is_file():
        raise DataMissing(f"{str(path)!r} is not a file; check the path")
    try:
        if path.suffix == ".parquet":
            frame = read_parquet(path)
        else:
            delimiter = "\t" if path.suffix == ".tsv" else find_delimiter(path)
            header = pd.read_csv(path, sep=delimiter, header=None, nrows=1, dtype=str, keep_default_na=False)
            names = [str(name) for name in header.iloc[0].tolist()]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise InvalidInput(f"{str(path)!r} has more than one column named {twice[:5]}; rename them")
            frame = pd.read_csv(path, sep=delimiter, keep_default_na=False, na_values=[""], dtype=str)
            if not as_text:
                # "NA", "null" and the like are gaps among numbers; among texts they are texts, and may be labels.
                typed = pd.read_csv(path, sep=delimiter)
                for name in frame.columns:
                    if not (pd.api.types.is_object_dtype(typed[name]) or pd.api.types.is_string_dtype(typed[name])):
                        if typed[name].notna().any():
                            frame[name] = typed[name]
    except InvalidInput:
        raise
    except (ValueError, OSError, csv.Error, IndexError) as error:
        raise InvalidInput(f"{str(path)!r} cannot be read as a table ({shown(str(error))})") from error
    if frame.shape[0] == 0:
        raise InvalidInput(f"{str(path)!r} holds no rows; wanted a header and one line for each point")
    return frame


def find_delimiter(path: Path) -> str:
    """What separates the cells of the header: the delimiter it holds most of, outside quotes; a comma where it holds
    none."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        header = file.readline(1_000_000)
    counts = dict.fromkeys(DELIMITERS, 0)
    quoted = False
    for character in header:
        if character == '"':
            quoted = not quoted
        elif not quoted and character in counts:
            counts[character] += 1
    best = max(DELIMITERS, key=counts.__getitem__)
    return best if counts[best] else ","


def picture_files(folder: Path) -> list[Path]:
    """Every picture below a folder, by path. Raises InvalidInput where there is none."""
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not files:
        raise InvalidInput(
            f"{str(folder)!r} holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}); add some, or name another folder"
        )
    return files


class Pictures:
    """The pictures of a folder: their names, and their pixels, resized to one size."""

    def __init__(self, folder: str | Path, size: int = SIZE) -> None:
        self.folder, self.size = Path(folder).expanduser(), size
        self.files = picture_files(self.folder)

    @property
    def names(self) -> list[str]:
        """The path of each, below the folder."""
        return [file.relative_to(self.folder).as_posix() for file in self.files]

    def pixels(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """(n, size, size, 3) uint8. Raises InvalidInput for a file that cannot be decoded."""
        out = np.empty((len(self.files), self.size, self.size, 3), dtype=np.uint8)
        for place, file in enumerate(self.files):
            out[place] = decoded(file, self.size)
        return out


def decoded(file: Path, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(size, size, 3) pixels of one picture. Raises InvalidInput where it cannot be decoded."""
    from PIL import Image

    with reading(file, "a picture", "remove or convert it"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
