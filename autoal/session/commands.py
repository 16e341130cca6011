"""`autoal query` and `autoal tell`: a session as files in, files out."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from autoal.errors import DataMissing, InvalidInput
from autoal.session.folder import is_session
from autoal.terminal import Console, go_on_with, write_out

if TYPE_CHECKING:  # torch takes seconds to import, and --help should not
    import pandas as pd

    from autoal.selectors import Query
    from autoal.session.looking import Looking
    from autoal.session.state import Told

__all__ = ["check_session", "outlook", "query", "report", "standing", "tell"]

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
        Path | None, typer.Option(help="CSV whose columns say what there is to look at of each id: text, image, ...")
    ] = None,
    files_root: Annotated[
        Path | None, typer.Option(help="Folder below which Label Studio serves local pictures.")
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
    from autoal.data import as_rows
    from autoal.encoders import load_encoder
    from autoal.session.labels import LabelSpace
    from autoal.session.pools import class_names, portfolio, read_labels, read_pool
    from autoal.session.session import Session

    if out is not None:
        _check_output(out)
    further = None if show is None else _further_fields(show, id)
    if files_root is not None and (out is None or out.suffix != ".json"):
        raise InvalidInput("got --files-root, which is for tasks of Label Studio; wanted --out with a .json file too")
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
    same = {"--out": out, "--show": show, "--files-root": files_root, "--encoder": encoder, "--device": device}
    same["--id"] = None if show is None else id
    with _telling_how(folder, batch_size, same):
        if is_session(folder):
            given = [f"--{name}" for name, value in first.items() if value is not None]
            if given:
                raise InvalidInput(f"{folder} holds a session, which fixed {', '.join(given)}; leave that out to go on")
            if pool is not None and pool.suffix != ".npy" and not pool.is_dir():
                raise InvalidInput(f"{folder} holds its pool already; leave --pool out to go on")
            session = Session.open(folder, pool, encoder=made, device=device, progress=progress)
            _check_shown(further, session.ids)
        elif pool is None:
            raise DataMissing(f"{folder} holds no session yet; name all points with --pool to make one")
        else:
            X, ids, y, said = read_pool(pool, target, id, [part.strip() for part in drop.split(",")] if drop else [])
            for sentence in said:
                errors.print(escape(sentence))
            _check_shown(further, range(len(as_rows(X))) if ids is None and further is not None else ids)
            named = class_names(classes)
            if labels is not None:
                if y is not None:
                    raise InvalidInput("got --labels and --target; wanted one of them")
                y = read_labels(labels, id, X, ids, LabelSpace(task or "classification", named))
            session = Session.create(
                folder, X, y=y, ids=ids, classes=named, candidates=portfolio(candidates),
                task=task or "auto",  # type: ignore[arg-type]  # refused by name where it is another word
                search=None if audit is None else {"audit": audit}, random_state=seed, device=device or "auto",
                encoder=made, progress=progress,
            )  # fmt: skip
        asked = session.pending_query() if pending else session.ask(batch_size)
        _deliver(asked, out, further, files_root)
        if "cold_start" in asked.diagnostics:
            errors.print(escape(asked.diagnostics["cold_start"]))
        if "audit" in asked.diagnostics:
            errors.print(escape(f"audit: {asked.diagnostics['audit']['says']}"))
        errors.print(escape(f"{len(asked)} points{'' if out is None else f' in {out}'}; {standing(session)}"))


@contextlib.contextmanager
def _telling_how(folder: Path, batch_size: int, same: dict[str, Any]) -> Iterator[None]:
    """Where what goes on within is stopped, says with which command to go on: once a batch is in the journal, the same
    one would ask for the next, and once a session is made, it would be refused."""
    before = _batches(folder)
    try:
        yield
    finally:  # at its end too: an interrupt may come later still
        now = _batches(folder)
        if now is not None and now != before:
            size = ["--pending"] if now > (before or 0) else ["--batch-size", batch_size]
            options = [part for name, value in same.items() if value is not None for part in (name, value)]
            command = shlex.join(map(str, ["autoal", "query", folder, *size, *options]))
            go_on_with(f"{'the batch is chosen' if now else 'the session is made'}: go on with {command}")


def _batches(folder: Path) -> int | None:
    """How many were asked for so far; None where there is no session."""
    if not is_session(folder):
        return None
    with contextlib.suppress(OSError):
        return (folder / "journal.jsonl").read_bytes().count(b'{"event":"ask",')
    return 0


def tell(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help=".csv, .jsonl or .json.", show_default=False)],
    id: IdColumn = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the labels; in Label Studio the control's name.", show_default=False)
    ] = None,
    cancelled: Annotated[
        str, typer.Option(help="Why annotations were cancelled: ood where the point is of no class.")
    ] = "cancelled",
    annotator: Annotated[
        str | None, typer.Option(help="Who made the file, where it does not say.", show_default=False)
    ] = None,
    on_conflict: Annotated[
        str, typer.Option(help="Where answers of one point differ: fail, skip, majority or dawid-skene.")
    ] = "fail",
    correct: Annotated[bool, typer.Option("--correct", help="Answers may replace earlier ones.")] = False,
) -> None:
    """Take the answers in FILE into a session: labels, and points that were skipped.

    A table that query wrote, filled in; or an export of Label Studio, Prodigy, Argilla or doccano. All of the answers
    are taken, or none. An export that grows may be told again and again: what is known changes nothing.

    Example: autoal tell runs/leaves export.json
    Example: autoal tell runs/leaves export.json --on-conflict majority
    """
    check_session(folder)
    from autoal.session.answering import Answering

    session = Answering.open(folder)
    console = Console(soft_wrap=True, highlight=False)
    told = session.tell_file(
        file, id=id, label=label, cancelled=cancelled, annotator=annotator, correct=correct,
        on_conflict=on_conflict,  # type: ignore[arg-type]  # refused by name where it is another word
    )  # fmt: skip
    console.print(escape(f"{_said(told)}; {standing(session)}"))
    agreement = session.agreement()
    if agreement is not None:
        console.print(escape(agreement.says))


def check_session(folder: Path) -> None:
    """Before torch is loaded. Raises DataMissing where there is no session."""
    if not is_session(folder):
        raise DataMissing(
            f"{folder} holds no session; make one with `autoal query {folder} --pool POOL`, or `autoal label POOL`"
        )


def outlook(folder: Path, labels: int | None, rule: str | None) -> None:
    """What more labels may bring to a session, as `autoal outlook` says it."""
    from autoal.session.session import Session

    session = Session.open(folder)
    found = session.outlook(labels, rule=rule)
    console = Console(soft_wrap=True, highlight=False)
    console.print(escape(found.says))
    console.print(escape(f"rule: {found.rule}: {found.why}"))


def report(folder: Path) -> None:
    """The report of a session, as `autoal report` makes it."""
    from autoal.session.session import Session

    session = Session.open(folder)
    console = Console(soft_wrap=True, highlight=False)
    page = session.report()
    console.print(escape(standing(session)))
    console.print(escape(f"report: {page}; labels: {folder / 'labels.csv'}"))


def standing(session: Looking) -> str:
    """How many points are in what state, in a line."""
    status = session.status()
    return ", ".join(f"{status[name]} {name}" for name in ("labeled", "pending", "skipped", "left"))


SAID = {
    "disagreed": "with different answers",
    "rejected": "rejected (which tells no label)",
    "foreign": "of other tasks (passed over)",
}


def _said(told: Told) -> str:
    parts = [f"{count} {SAID.get(name, name)}" for name, count in told._asdict().items() if count]
    return ", ".join(parts) or "no answers"


def _check_output(path: Path) -> None:
    """Before anything is asked for: a batch that cannot be written would have to be asked for again."""
    if path.suffix not in OUTPUTS:
        raise InvalidInput(f"got --out {str(path)!r}; wanted a file that ends in {', '.join(OUTPUTS)}")
    if not path.absolute().parent.is_dir():
        raise DataMissing(f"the folder of --out {str(path)!r} is not there; make it first")


def _deliver(asked: Query, out: Path | None, further: pd.Series | None, files_root: Path | None) -> None:
    if out is None:
        write_out(asked.to_csv(data=further) or "")
    elif out.suffix == ".json":
        asked.to_label_studio(out, data=further, files_root=files_root)
    elif out.suffix == ".csv":
        asked.to_csv(out, data=further)
    else:
        asked.to_jsonl(out, data=further)


def _further_fields(path: Path, id: str | None) -> pd.Series:
    """What there is to look at by id, a dict of texts for each."""
    import pandas as pd

    from autoal.data.sources import read_frame

    frame = read_frame(path, as_text=True)
    column = id or "id"
    if column not in frame.columns:
        raise InvalidInput(f"{path} has the columns {list(frame.columns)}; wanted {column!r} among them, or --id")
    names = frame.pop(column).tolist()
    if frame.shape[1] == 0:
        raise InvalidInput(f"{path} has no column beside {column!r}; wanted what there is to look at")
    return pd.Series(frame.to_dict("records"), index=names, dtype=object)


def _check_shown(further: pd.Series | None, ids: Iterable[Any] | None) -> None:
    """Before anything is asked for: each point that may be asked for has something to look at."""
    from autoal.tasks import show_of

    if further is not None and ids is not None:
        show_of(list(ids), further)
