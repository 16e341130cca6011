"""The user's own data: a table with a label column, or a folder of images with one subfolder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from autoal.data.labeled_data import LabeledData
from autoal.data.labels import LABEL_COLUMNS, class_numbers, class_table, is_missing, label_array
from autoal.data.sources import IMAGE_SUFFIXES, decoded, read_frame
from autoal.errors import InvalidInput, UnknownName

__all__ = ["read_image_folder", "read_table"]


def read_table(path: Path, label: str | None = None) -> LabeledData:
    """A `.csv` or `.parquet` file; `label` names the column of labels, by default the first of LABEL_COLUMNS there is.

    An empty label is missing (-1 in `y`). Raises InvalidInput, listing the columns, where there is no such column.
    """
    frame = read_frame(path)
    columns = [str(column) for column in frame.columns]
    frame.columns = pd.Index(columns)
    found = [label] if label is not None else [column for column in LABEL_COLUMNS if column in columns]
    if not found or found[0] not in columns:
        if label is not None:
            said = UnknownName("column", label, columns, f"{str(path)!r} has the columns {columns}")
            raise InvalidInput(f"{said}; name one with label=")
        raise InvalidInput(
            f"{str(path)!r} has the columns {columns}; wanted the labels in one named {', '.join(LABEL_COLUMNS)}, or "
            "the name of theirs, with label="
        )
    column = frame.pop(found[0])
    # read_csv makes whole numbers with a gap into floats, and text into objects with NaN; both say "missing" alike.
    missing = column.isna().to_numpy()
    values = label_array(column[~missing])
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        return LabeledData(path.stem, frame, column.to_numpy(dtype=np.float64), None)
    present = values[~is_missing(values)]
    classes = class_table(present)
    numbers = np.full(len(column), -1, dtype=np.int64)
    labeled = np.flatnonzero(~missing)[~is_missing(values)]
    numbers[labeled] = class_numbers(present, classes)
    return LabeledData(path.stem, frame, numbers, classes)


def read_image_folder(path: Path, size: int = 32) -> LabeledData:
    """A folder with one subfolder of images per class, each image resized to (size, size) and made RGB.

    `X` is (n, size, size, 3) uint8, in the order of class and file name. Raises InvalidInput where there are no
    classes, a class without images, or a file that cannot be decoded.
    """
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise InvalidInput(f"{str(path)!r} has no subfolders; wanted one for each class, with its images inside")
    pictures, numbers = [], []
    for number, folder in enumerate(folders):
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise InvalidInput(
                f"{str(folder)!r} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}); add some, or remove it"
            )
        for file in files:
            pictures.append(decoded(file, size))
            numbers.append(number)
    classes = np.asarray([folder.name for folder in folders])
    return LabeledData(path.name, np.stack(pictures), np.asarray(numbers, dtype=np.int64), classes)
