"""`autoal serve`: annotators stay in Label Studio, and the next batch is there by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from autoal.errors import DataMissing, InvalidInput
from autoal.terminal import Console

if TYPE_CHECKING:  # torch takes seconds to import, and --help should not
    from autoal.labeling.serving import Say

__all__ = ["serve"]

KEY = "LABEL_STUDIO_API_KEY"


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder of the session.", show_default=False)],
    label_studio: Annotated[str, typer.Option(help="Its address, as http://localhost:8080.", show_default=False)],
    project: Annotated[int | None, typer.Option(help="Number of the project, as in its address.", min=1)] = None,
    create: Annotated[
        str | None,
        typer.Option(help="Title of a project of its own, made where there is none yet.", show_default=False),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help=f"File that holds the API key; the variable {KEY} if not given.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Points to ask for at a time.", min=1)] = 20,
    refill: Annotated[
        int | None,
        typer.Option(help="Fewer open tasks than this, and more follow; a quarter of a batch if not given.", min=1),
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Labels after which it ends.", min=1)] = None,
    classes: Annotated[
        str | None, typer.Option(help="What can be chosen, as oak,elm, where the session does not know.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Control that holds the label, where the project has several.", show_default=False),
    ] = None,
    on_conflict: Annotated[
        str, typer.Option(help="Of annotators who differ: fail (left until they agree), skip, majority, dawid-skene.")
    ] = "fail",
    cancelled: Annotated[
        str, typer.Option(help="Why annotations were cancelled: ood where the point is of no class.")
    ] = "cancelled",
    guesses: Annotated[bool, typer.Option(help="Show what the model takes each point for.")] = True,
    show: Annotated[
        Path | None, typer.Option(help="CSV with the ids and what there is to look at, as text or image.")
    ] = None,
    files_root: Annotated[
        Path | None,
        typer.Option(help="LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT; the folder above the pictures if not given."),
    ] = None,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2)] = 5.0,
    webhook: Annotated[
        int | None, typer.Option(help="Port of 127.0.0.1 on which Label Studio rings; 0: any free.", min=0, max=65535)
    ] = None,
    webhook_url: Annotated[
        str | None, typer.Option(help="Address of that port as Label Studio sees it.", show_default=False)
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="One look: take what is answered, add what is due, end.")
    ] = False,
    encoder: Annotated[
        str | None, typer.Option(help="Import path of the session's encoder, as package.module:name.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:0.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only what needs somebody.")] = False,
) -> None:
    """Put Label Studio in front of a session: batches go in as tasks, answers come back, and the next batch follows.

    It goes on until every point is labeled, or until Ctrl-C; the same command goes on from there. Either side may be
    stopped at any moment: no task is added twice, and no answer is lost. The key never goes on the command line.

    Example: autoal serve runs/leaves --label-studio http://localhost:8080 --create leaves --classes oak,elm
    Example: autoal serve runs/leaves --label-studio http://localhost:8080 --project 3 --budget 500
    """
    if (project is None) == (create is None):
        raise InvalidInput("wanted one of --project N and --create TITLE: the project that the tasks go into")
    if webhook_url is not None and webhook is None:
        raise InvalidInput("got --webhook-url without --webhook PORT; wanted the port that it leads to")
    key = _key(api_key_file)
    from autoal.data.sources import read_frame
    from autoal.encoders import load_encoder
    from autoal.labeling.serving import ServeOptions
    from autoal.labeling.setting_up import serve_session
    from autoal.session import Session
    from autoal.session.votes import check_on_conflict

    session = Session.open(folder, encoder=None if encoder is None else load_encoder(encoder), device=device)
    check_on_conflict(on_conflict, session.task)
    options = ServeOptions(
        batch_size=batch_size, refill=refill, budget=budget, interval_s=interval, cancelled=cancelled,
        on_conflict=on_conflict, guesses=guesses, files_root=None if files_root is None else str(files_root),
        show=None if show is None else read_frame(show, as_text=True),
    )  # fmt: skip
    say = _teller(quiet)
    with _ends_cleanly(say):
        serve_session(
            session, label_studio, key, project=project, create=create, label=label, options=options, webhook=webhook,
            classes=None if classes is None else [part.strip() for part in classes.split(",")],
            webhook_url=webhook_url, once=once, say=say,
        )  # fmt: skip


def _key(file: Path | None) -> str:
    if file is None:
        key = os.environ.get(KEY, "")
        if not key.strip():
            raise InvalidInput(
                f"got no API key; put it into the variable {KEY}, or into a file that --api-key-file names. In Label "
                "Studio it is the Personal Access Token (or Legacy Token) on the page Account & Settings"
            )
        return key
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{str(file)!r} holds no API key ({error}); wanted the key alone, as text") from error
    except OSError as error:
        raise DataMissing(f"{str(file)!r} cannot be read ({error.strerror}); wanted a file with the API key") from error


def _teller(quiet: bool) -> Say:
    console = Console(stderr=True, soft_wrap=True, highlight=False)

    def say(words: str) -> None:
        if not quiet:
            console.print(escape(f"{time.strftime('%H:%M:%S')}  {words}"))

    return say


@contextlib.contextmanager
def _ends_cleanly(say: Say) -> Iterator[None]:
    """Ctrl-C and a polite kill end the command as they would a server: what was taken is in the journal."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # who presses it twice wants out
        say("stopped; what was answered is kept, and the same command goes on from there")
    finally:
        signal.signal(signal.SIGTERM, before)
