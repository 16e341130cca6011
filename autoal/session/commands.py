"""`autoal query` and `autoal tell`: a session as files in, files out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.markup import escape

from autoal.data import as_rows
from autoal.data.sources import LABEL_COLUMNS, Pictures, read_frame
from autoal.data.texts import is_texts
from autoal.encoders import load_encoder
from autoal.errors import DataMissing, InvalidInput
from autoal.selectors import Query
from autoal.session.exports import read_answers
from autoal.session.folder import is_session
from autoal.session.ids import Ids
from autoal.session.labels import LabelSpace
from autoal.session.session import Session
from autoal.session.state import Told

__all__ = ["outlook", "query", "report", "tell"]

OUTPUTS = (".json", ".csv", ".jsonl")

Folder = Annotated[Path, typer.Argument(help="Folder of the session.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:0.")]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column or field of the ids.", show_default=False)]


def query(
    folder: Folder,
    batch_size: Annotated[int, typer.Option(help="Points to ask for.", min=1)] = 50,
    out: Annotated[
        Path | None, typer.Option(help=".json (Label Studio), .csv or .jsonl; CSV on stdout if not given.")
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(help="The first time: all points, as .npy, .csv, .tsv, .parquet, or a folder of pictures."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="The first time: labels there are, as tell takes them, or .npy with gaps.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The first time: column of a table that holds the labels there are.")
    ] = None,
    drop: Annotated[
        str | None, typer.Option(help="The first time: columns of a table that are no inputs, as url,notes.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Import path of what makes numbers of rows, as package.module:name; again in each call."),
    ] = None,
    id: IdColumn = None,
    classes: Annotated[str | None, typer.Option(help="The first time: all classes there are, as oak,elm.")] = None,
    candidates: Annotated[
        str | None, typer.Option(help="The first time: default, fast, all, or names, as margin,badge.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The first time: classification or regression.")] = None,
    seed: Annotated[int | None, typer.Option(help="The first time: seed of the session.", min=0)] = None,
    audit: Annotated[
        float | None,
        typer.Option(help="The first time: share drawn at random, which says what choosing gains.", min=0, max=0.5),
    ] = None,
    device: Device = None,
    show: Annotated[
        Path | None, typer.Option(help="CSV whose further columns go into the tasks of each id, as text or image.")
    ] = None,
    pending: Annotated[bool, typer.Option("--pending", help="No new batch: what was asked for and is open.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:
    """Ask for the points to label next, and write them as tasks.

    The first call makes the session in FOLDER from --pool; later ones go on, and never ask for a point twice. A .npy
    pool and a folder have to stay where they are; a table is copied. With nothing labeled the first batch is of typical
    points. The model is one that suits the rows; for one of your own use autoal.Session in Python.

    Example: autoal query runs/leaves --pool leaves.npy --batch-size 50 --out tasks.json
    Example: autoal query runs/reviews --pool reviews.csv --id review --target stars --batch-size 20
    """
    if out is not None:
        _check_output(out)
    further = None if show is None else _further_fields(show, id)
    first = {
        "labels": labels,
        "target": target,
        "classes": classes,
        "candidates": candidates,
        "task": task,
        "seed": seed,
        "audit": audit,
        "drop": drop,
    }
    made = None if encoder is None else load_encoder(encoder)
    progress = None if quiet else True
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    if is_session(folder):
        given = [f"--{name}" for name, value in first.items() if value is not None]
        if given:
            raise InvalidInput(f"{folder} holds a session, which fixed {', '.join(given)}; leave that out to go on")
        if pool is not None and pool.suffix != ".npy" and not pool.is_dir():
            raise InvalidInput(f"{folder} holds its pool already; leave --pool out to go on")
        session = Session.open(folder, pool, encoder=made, device=device, progress=progress)
    elif pool is None:
        raise DataMissing(f"{folder} holds no session yet; name all points with --pool to make one")
    else:
        X, ids, y, said = _pool(pool, target, id, [part.strip() for part in drop.split(",")] if drop else [])
        for sentence in said:
            errors.print(escape(sentence))
        named = _class_names(classes)
        if labels is not None:
            if y is not None:
                raise InvalidInput("got --labels and --target; wanted one of them")
            y = _labels(labels, id, X, ids, LabelSpace(task or "classification", named))
        session = Session.create(
            folder, X, y=y, ids=ids, classes=named, candidates=_portfolio(candidates), task=task or "auto",
            search=None if audit is None else {"audit": audit}, random_state=seed, device=device or "auto",
            encoder=made, progress=progress,
        )  # fmt: skip
    asked = session.pending_query() if pending else session.ask(batch_size)
    _deliver(asked, out, further)
    if "cold_start" in asked.diagnostics:
        errors.print(escape(asked.diagnostics["cold_start"]))
    if "audit" in asked.diagnostics:
        errors.print(escape(f"audit: {asked.diagnostics['audit']['says']}"))
    errors.print(escape(f"{len(asked)} points{'' if out is None else f' in {out}'}; {_standing(session)}"))


def tell(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help=".csv, .jsonl, or .json (Label Studio).", show_default=False)],
    id: IdColumn = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the labels; in Label Studio the control's name.", show_default=False)
    ] = None,
    cancelled: Annotated[
        str, typer.Option(help="Why annotations were cancelled: ood where the point is of no class.")
    ] = "cancelled",
    correct: Annotated[bool, typer.Option("--correct", help="Answers may replace earlier ones.")] = False,
) -> None:
    """Take the answers in FILE into a session: labels, and points that were skipped.

    All of them are taken, or none. An export that grows may be told again and again: what is known changes nothing.

    Example: autoal tell runs/leaves export.json
    """
    session = Session.open(folder)
    told = session.tell_file(file, id=id, label=label, cancelled=cancelled, correct=correct)
    Console(soft_wrap=True, highlight=False).print(escape(f"{_said(told)}; {_standing(session)}"))


def outlook(folder: Path, labels: int | None, rule: str | None) -> None:
    """What more labels may bring to a session, as `autoal outlook` says it."""
    session = Session.open(folder)
    found = session.outlook(labels, rule=rule)
    console = Console(soft_wrap=True, highlight=False)
    console.print(escape(found.says))
    console.print(escape(f"rule: {found.rule}: {found.why}"))


def report(folder: Path) -> None:
    """The report of a session, as `autoal report` makes it."""
    session = Session.open(folder)
    console = Console(soft_wrap=True, highlight=False)
    page = session.report()
    console.print(escape(_standing(session)))
    console.print(escape(f"report: {page}; labels: {folder / 'labels.csv'}"))


def _standing(session: Session) -> str:
    status = session.status()
    return ", ".join(f"{status[name]} {name}" for name in ("labeled", "pending", "skipped", "left"))


def _said(told: Told) -> str:
    parts = [f"{count} {name}" for name, count in told._asdict().items() if count]
    return ", ".join(parts) or "no answers"


def _portfolio(candidates: str | None) -> str | list[str]:
    """A portfolio by its name, or a list of strategies."""
    name = candidates or "default"
    return name if name in ("default", "fast", "all") else [part.strip() for part in name.split(",")]


def _class_names(classes: str | None) -> list[Any] | None:
    """Classes as a file of labels would have them: integers where all look like integers."""
    if classes is None:
        return None
    return LabelSpace("classification", None).read([part.strip() for part in classes.split(",")])


def _check_output(path: Path) -> None:
    """Before anything is asked for: a batch that cannot be written would have to be asked for again."""
    if path.suffix not in OUTPUTS:
        raise InvalidInput(f"got --out {str(path)!r}; wanted a file that ends in {', '.join(OUTPUTS)}")
    if not path.absolute().parent.is_dir():
        raise DataMissing(f"the folder of --out {str(path)!r} is not there; make it first")


def _deliver(asked: Query, out: Path | None, further: dict[Any, Any] | None) -> None:
    if out is None:
        typer.echo(asked.to_csv(), nl=False)
    elif out.suffix == ".json":
        known = {name: further[str(name)] for name in asked.ids.tolist() if str(name) in further} if further else None
        asked.to_label_studio(out, data=known)
    elif out.suffix == ".csv":
        asked.to_csv(out)
    else:
        asked.to_jsonl(out)


def _further_fields(path: Path, id: str | None) -> dict[str, dict[str, str]]:
    """Fields of a task by id, written as text."""
    frame = read_frame(path, as_text=True)
    column = id or "id"
    if column not in frame.columns:
        raise InvalidInput(f"{path} has the columns {list(frame.columns)}; wanted {column!r} among them, or --id")
    return {str(row.pop(column)): row for row in frame.to_dict("records")}  # type: ignore[misc]


def _pool(
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


def _labels(path: Path, id: str | None, X: Any, ids: list[Any] | None, space: LabelSpace) -> Any:
    """y of full length from a file of labels: those of a .npy file, or None where the file names no label."""
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except FileNotFoundError as error:
            raise DataMissing(f"{str(path)!r} is not there; check the path") from error
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{str(path)!r} cannot be read as an array of labels ({error})") from error
    answers = [answer for answer in read_answers(path, id=id) if answer.skip is None]
    names = Ids(ids, len(as_rows(X)))
    y = np.full(len(names), None, dtype=object)
    for answer, label in zip(answers, space.read([answer.label for answer in answers]), strict=True):
        row = names.row(answer.id)
        if row is None:
            raise InvalidInput(f"{answer.where}{answer.id!r} is not among the {len(names)} ids of the pool")
        y[row] = label
    return y
