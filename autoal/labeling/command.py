"""`autoal label`: a session and a page to label on, in one command."""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from autoal.errors import AutoALWarning, DataMissing, InvalidInput, UnknownName
from autoal.labeling.options import Options
from autoal.labeling.page_server import Server, open_browser
from autoal.session.folder import is_session
from autoal.terminal import Console

if TYPE_CHECKING:
    from autoal.labeling.desk import Desk

__all__ = ["label"]

SUFFIXES = (".csv", ".tsv", ".parquet", ".npy")
First = "The first time: "


def label(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of pictures, .csv, .tsv, .parquet, .npy, or a session.", show_default=False),
    ],
    session: Annotated[
        Path | None, typer.Option(help="Folder of the session; NAME-session beside SOURCE if not given.")
    ] = None,
    text: Annotated[str | None, typer.Option(help=First + "column of a table that holds the texts.")] = None,
    classes: Annotated[
        str | None, typer.Option(help=First + "all classes there are, as oak,elm; else they are named in the page.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Points in a batch; 20 if not given.", min=1)] = None,
    id: Annotated[str | None, typer.Option("--id", help=First + "column of a table that names the rows.")] = None,
    target: Annotated[
        str | None, typer.Option(help=First + "column of a table that holds the labels there are.")
    ] = None,
    task: Annotated[str | None, typer.Option(help=First + "classification or regression.")] = None,
    show: Annotated[
        Path | None,
        typer.Option(help=First + "folder of pictures to look at, one for each row, named by its id."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Import path of an estimator, or of what makes a network, as package.module:name; each time."
        ),
    ] = None,
    candidates: Annotated[
        str | None, typer.Option(help=First + "default, fast, all, or names, as margin,badge.")
    ] = None,
    audit: Annotated[
        float | None,
        typer.Option(help=First + "share drawn at random, which says what choosing gains.", min=0, max=0.5),
    ] = None,
    seed: Annotated[int | None, typer.Option(help=First + "seed of the session.", min=0)] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port on 127.0.0.1; the first free one from 8642 on if not given.", min=0, max=65535),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Label SOURCE on a page in your browser, the most useful points first.

    The session lies in a folder beside SOURCE; the same command goes on with it, whatever happened to the last one.
    Each answer is on the disk before the next point shows. The model trains meanwhile, in a process of its own. The
    page is served to this machine alone, and nothing leaves it.

    Example: autoal label pictures/
    Example: autoal label reviews.csv --text sentence --classes good,bad --batch-size 20
    Example: autoal label features.parquet --id name --show pictures/
    """
    began = time.perf_counter()
    folder = _folder_of(source, session)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if not is_session(folder):
        _check_source(source)
        _check_columns(source, {"--text": text, "--id": id, "--target": target})
    pictures = None if show is None else str(show.absolute())
    options = Options(text, classes, candidates, id, target, task, seed, audit, pictures)
    server = Server(port)
    typer.echo(server.url)
    console.print(f"session: {escape(str(folder))}; Ctrl-C ends this, and every answer is kept")
    if browser:
        open_browser(server.url)
    failed: list[BaseException] = []
    desks: list[Desk] = []

    def work() -> None:
        try:
            desks.append(_desk(source, folder, options, batch_size, model, console))
            server.place.take(desks[0])
            seconds = time.perf_counter() - began
            console.print(escape(f"{desks[0].standing()}; ready after {seconds:.1f} s"))
        except BaseException as error:
            failed.append(error)
            server.stop_serving()

    threading.Thread(target=work, daemon=True).start()
    server.run()
    if failed:
        raise failed[0]
    if desks:
        desks[0].close()
        again = f"go on with: autoal label {folder}; report: autoal report {folder}"
        console.print(escape(f"{desks[0].standing()}; {again}"))


def _folder_of(source: Path, session: Path | None) -> Path:
    if is_session(source):
        if session is not None and session != source:
            raise InvalidInput(f"{source} is a session itself; leave --session out")
        return source
    whole = source.absolute()
    name = whole.resolve().name if whole.name in ("", "..") else whole.name
    stem = name if whole.is_dir() else Path(name).stem
    return session or whole.parent / f"{stem}-session"


def _check_source(source: Path) -> None:
    """What can be said before torch is there."""
    if not source.exists():
        raise DataMissing(f"{str(source)!r} is not there; wanted a folder of pictures, or {', '.join(SUFFIXES)}")
    if not source.is_dir() and source.suffix not in SUFFIXES:
        raise InvalidInput(f"got {str(source)!r}; wanted a folder of pictures, or {', '.join(SUFFIXES)}")


def _check_columns(source: Path, named: Mapping[str, str | None]) -> None:
    """The same of a table's header: else a page would open, and close again once torch is there."""
    if source.is_dir() or source.suffix not in (".csv", ".tsv"):
        return
    with open(source, encoding="utf-8-sig", errors="replace", newline="") as file:
        header, further = file.readline(1_000_000), file.readline(1_000_000)
    if not header.strip() or not further:
        raise InvalidInput(f"{str(source)!r} holds no rows; wanted a header and one line for each point")
    for option, name in named.items():
        if name is not None and name not in header:
            names = [each.strip().strip('"') for each in re.split(r"[,;\t|]", header)]
            raise UnknownName(f"column {option}", name, names, f"the columns of {str(source)!r} are {names}")


def _desk(
    source: Path, folder: Path, options: Options, batch_size: int | None, model: str | None, console: Console
) -> Desk:
    from autoal.labeling.chooser import InProcess
    from autoal.labeling.desk import Desk, first_batch
    from autoal.labeling.opening import open_session

    session, notes, said = open_session(source, folder, options, batch_size=batch_size, model=model)
    for sentence in said:
        console.print(escape(sentence))
    first_batch(session, notes.batch_size)

    def warn(message: str) -> None:
        warnings.warn(message, AutoALWarning, stacklevel=2)

    return Desk(session, notes, InProcess(folder, notes.batch_size, model, warn))
