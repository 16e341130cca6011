"""What the options of a command say: the pool in a file, labels beside it, classes, candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoal.data import as_rows
from autoal.data.labels import LABEL_COLUMNS
from autoal.data.reading import map_array
from autoal.data.sources import Pictures, read_frame
from autoal.data.texts import is_texts
from autoal.errors import InvalidInput
from autoal.session.exports import read_answers
from autoal.session.ids import Ids
from autoal.session.labels import LabelSpace

__all__ = ["class_names", "portfolio", "read_labels", "read_pool"]


def portfolio(candidates: str | None) -> str | list[str]:
    """A portfolio by its name, or a list of strategies."""
    name = candidates or "default"
    return name if name in ("default", "fast", "all") else [part.strip() for part in name.split(",")]


def class_names(classes: str | None) -> list[Any] | None:
    """Classes as a file of labels would have them: integers where all look like integers."""
    if classes is None:
        return None
    return LabelSpace("classification", None).read([part.strip() for part in classes.split(",")])


def read_pool(
    path: Path, target: str | None, id: str | None, drop: list[str]
) -> tuple[Any, list[Any] | None, Any, list[str]]:
    """X, ids and labels in a file of points or a folder of pictures, and what was taken for what, in sentences."""
    if path.suffix == ".npy" or path.is_dir():
        if target is not None or id is not None or drop:
            raise InvalidInput(
                "--target, --id and --drop name columns of a table; for a .npy pool or a folder give --labels"
            )
        if path.is_dir():
            return path, Pictures(path).names, None, [f"the ids are the names of the pictures below {path}"]
        return path, None, None, []
    if path.suffix not in (".csv", ".tsv", ".parquet"):
        raise InvalidInput(f"got {str(path)!r}; wanted .npy, .csv, .tsv, .parquet, or a folder of pictures")
    frame = read_frame(path)
    said = []
    columns = [str(column) for column in frame.columns]
    frame.columns = pd.Index(columns)
    if id is None and target != "id" and "id" not in drop and "id" in columns and frame["id"].is_unique:
        id = "id"
        said.append("the column 'id' is taken for the ids (--id names another, --drop id leaves it out)")
    for option, column in (("--target", target), ("--id", id), *(("--drop", column) for column in drop)):
        if column is not None and column not in columns:
            raise InvalidInput(f"{path} has the columns {columns}; wanted {option} {column!r} among them")
    ids = None if id is None else frame.pop(id).tolist()
    y = None if target is None else frame.pop(target)
    frame = frame.drop(columns=[column for column in drop if column in frame.columns])
    looks = [column for column in frame.columns if column.lower() in LABEL_COLUMNS]
    if looks and y is None:
        if frame[looks[0]].notna().any():
            raise InvalidInput(
                f"the column {looks[0]!r} of {path} looks like labels, and would be an input; wanted --target "
                f"{looks[0]} where it holds those there are, or --drop {looks[0]}"
            )
        frame = frame.drop(columns=looks[:1])
        said.append(f"the column {looks[0]!r} is empty, and was left out")
    if frame.shape[1] == 0:
        raise InvalidInput(f"{path} has no column beside those of ids and labels; wanted the rows themselves too")
    X: Any = frame
    if frame.shape[1] == 1 and is_texts(frame.iloc[:, 0]):
        X = pd.Series(frame.iloc[:, 0].tolist(), dtype=object)
        said.append(f"the rows are the texts of the column {frame.columns[0]!r}")
    return X, ids, None if y is None else y.astype(object).where(y.notna(), None).to_numpy(), said


def read_labels(path: Path, id: str | None, X: Any, ids: list[Any] | None, space: LabelSpace) -> Any:
    """y of full length from a file of labels: those of a .npy file, or None where the file names no label."""
    if path.suffix == ".npy":
        return np.array(map_array(path))
    answers = [answer for answer in read_answers(path, id=id) if answer.skip is None and not answer.rejected]
    names = Ids(ids, len(as_rows(X)))
    y = np.full(len(names), None, dtype=object)
    written = [answer.label for answer in answers]
    for answer, label in zip(answers, space.read(written, typed=path.suffix.lower() != ".csv"), strict=True):
        row = names.row(answer.id)
        if row is None:
            raise InvalidInput(f"{answer.where}{answer.id!r} is not among the {len(names)} ids of the pool")
        y[row] = label
    return y
