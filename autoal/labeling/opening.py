"""From a folder of pictures, a table, texts or an array to a session: made, or opened again."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import nn

from autoal.data import as_rows
from autoal.data.sources import read_frame
from autoal.encoders import load_named, made_without_arguments
from autoal.errors import AutoALWarning, DataMissing, InvalidInput
from autoal.labeling.looks import pictures_by_id
from autoal.labeling.options import Notes, Options, digest_of
from autoal.session import Session
from autoal.session.folder import is_session
from autoal.session.pools import class_names, portfolio, read_pool

__all__ = ["load_model", "open_session"]


def open_session(
    source: Path, folder: Path, options: Options, *, batch_size: int | None, model: str | None
) -> tuple[Session, Notes, list[str]]:
    """The session in `folder`, made from `source` where there is none; and what was taken for what, in sentences.

    Raises InvalidInput for options that another session was made with, and for a source that cannot be read;
    DataMissing where it is not there.
    """
    made = load_model(model) if model is not None else None
    if not is_session(folder):
        return _created(source, folder, options, batch_size, model, made)
    notes = Notes.read(folder)
    notes.check(options, source, model)
    if notes.digest is not None and source != folder and source.is_file() and digest_of(source) != notes.digest:
        warnings.warn(
            f"{source} has changed since {folder} was made, which goes on with the rows of then; to label the new "
            "ones, name another folder with --session",
            AutoALWarning,
            stacklevel=2,
        )
    session = Session.open(folder, model=made)
    if batch_size is not None and batch_size != notes.batch_size:
        notes.batch_size = batch_size
        notes.write()
    return session, notes, []


def load_model(path: str) -> Any:
    """The model at an import path: an estimator, or a function or class that makes a network.

    Raises InvalidInput for a network itself: its first weights are drawn when it is imported, so the process that
    trains would have others than this one, and the next start others again.
    """
    found = load_named(path, "model", "an estimator, or of a function that makes an nn.Module")
    if isinstance(found, nn.Module):
        raise InvalidInput(
            f"got the network {path!r} as model, whose first weights differ from start to start; wanted a function "
            "that makes it: def make(): return ..."
        )
    if isinstance(found, type) and not issubclass(found, nn.Module):
        return made_without_arguments(found, path, "model")
    return found


def _created(
    source: Path, folder: Path, options: Options, batch_size: int | None, model: str | None, made: Any
) -> tuple[Session, Notes, list[str]]:
    if not source.exists():
        raise DataMissing(f"{str(source)!r} is not there; wanted a folder of pictures, .csv, .tsv, .parquet or .npy")
    if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
        raise InvalidInput(f"{folder} lies inside {source}, whose pictures are the pool; name a folder beside it")
    drop = [] if options.text is None else _others(source, options)
    X, ids, y, said = read_pool(source, options.target, options.id_column, drop)
    if drop:
        said.append(f"neither shown nor used: {', '.join(repr(name) for name in drop)}")
    if options.show is not None:
        pictures_by_id(Path(options.show), ids if ids is not None else range(len(as_rows(X))))
    named = class_names(options.classes)
    notes = Notes(
        folder / "label.json",
        source=source.name,
        digest=digest_of(source),
        model=model,
        show=options.show,
        added=named or [],
    )
    session = Session.create(
        folder, X, y=y, ids=ids, classes=named, candidates=portfolio(options.candidates),
        model=made, task=options.task or "auto",  # type: ignore[arg-type]  # refused by name where it is another word
        search=None if options.audit is None else {"audit": options.audit},
        random_state=options.seed,
    )  # fmt: skip
    notes.options = options.given()
    if batch_size is not None:
        notes.batch_size = batch_size
    notes.write()
    return session, notes, said


def _others(source: Path, options: Options) -> list[str]:
    """Columns that are neither the text, the ids nor the labels. Raises InvalidInput where there is no such text."""
    if source.is_dir() or source.suffix == ".npy":
        raise InvalidInput(f"--text names a column of a table, and {source} is none")
    frame = read_frame(source)
    names = [str(name) for name in frame.columns]
    if options.text not in names:
        raise InvalidInput(f"{source} has the columns {names}; wanted --text {options.text!r} among them")
    column = frame.iloc[:, names.index(options.text)]
    if not column.map(lambda value: isinstance(value, str)).any():
        raise InvalidInput(f"the column {options.text!r} of {source} holds no texts; leave --text out to label rows")
    kept = {options.text, options.id_column, options.target}
    if options.id_column is None and column.name != "id" and "id" in names and frame["id"].is_unique:
        kept.add("id")
    return [name for name in names if name not in kept]
