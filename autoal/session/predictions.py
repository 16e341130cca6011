"""What the session's model says of every row of the pool, as a frame and as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoal.compute import chunks
from autoal.data import Rows
from autoal.disk import written_whole
from autoal.errors import DataMissing, InvalidInput, RunError, shown
from autoal.formulas import defused
from autoal.session.fitting import Trained
from autoal.session.ids import Ids
from autoal.session.state import State

__all__ = ["check_out", "predictions", "write_frame"]

FILES = (".csv", ".parquet")
BLOCK = 4 * 2**20
"""Bytes of probabilities held at once, of all rows together one class number and one probability each."""


def check_out(out: str | os.PathLike[str]) -> Path:
    """Before anything is trained. Raises InvalidInput for a name of another kind of file, DataMissing where the folder
    is not there."""
    try:
        path = Path(out)
    except TypeError as error:
        raise InvalidInput(f"got out={shown(out)}; wanted the path of a .csv or .parquet file") from error
    if path.suffix.lower() not in FILES:
        raise InvalidInput(f"got the file {str(path)!r}; wanted one that ends in {' or '.join(FILES)}")
    if path.is_dir():
        raise InvalidInput(f"got {str(path)!r}, which is a folder; wanted a file")
    if not path.absolute().parent.is_dir():
        raise DataMissing(f"the folder of {str(path)!r} is not there; make it first")
    return path


def predictions(rows: Rows, model: Trained, state: State, ids: Ids) -> pd.DataFrame:
    """One row for each of the pool, in its order: id, label, predicted, confidence, labeled; see Session.predict."""
    table, n = model.known.table, len(rows)
    said = np.empty(n, dtype=np.float32 if table is None else np.int64)
    confidence = np.empty(n, dtype=np.float64)
    for part in chunks(n, 4.0 * max(model.known.num_classes, 1), BLOCK):
        found = model.says(rows, np.arange(part.start, part.stop)).numpy()
        if table is None:
            said[part] = found
        else:
            said[part] = found.argmax(axis=1)
            confidence[part] = np.exp(found.max(axis=1).astype(np.float64))
    if table is None:
        predicted = pd.Series(said.astype(np.float64))
    else:
        named = table if table.dtype.kind in "iub" else np.asarray(table.tolist(), dtype=object)
        predicted = pd.Series(named[said], dtype=named.dtype)
    columns = {
        "id": pd.Series(ids.of(range(n)), dtype=object if ids.given is not None else None),
        "label": _labels(predicted, state),
        "predicted": predicted,
        "confidence": np.minimum(confidence, 1.0),
        "labeled": np.isin(np.arange(n), list(state.labels)),
    }
    if table is None or not model.has_probabilities:
        del columns["confidence"]
    return pd.DataFrame(columns)


def _labels(predicted: pd.Series[Any], state: State) -> pd.Series[Any]:
    """What people said where they did, missing where they said that a row is of no class, else what is predicted."""
    label = predicted.copy()
    if state.rejected:
        if label.dtype.kind == "i":
            label = label.astype("Int64")
        elif label.dtype.kind == "b":
            label = label.astype("boolean")
        label.iloc[state.rejected] = None if label.dtype.kind == "O" else pd.NA
    if state.labels:
        label.iloc[list(state.labels)] = list(state.labels.values())
    return label


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Whole, or not at all. Raises RunError where it cannot be written."""
    try:
        with written_whole(path) as partial:
            if path.suffix.lower() == ".csv":
                defused(frame).to_csv(partial, index=False, lineterminator="\n", chunksize=10_000)
            else:
                frame.to_parquet(partial, index=False)
    except OSError as error:
        raise RunError(f"{str(path)!r} cannot be written ({error.strerror or error}); choose another file") from error
