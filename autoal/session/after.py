"""`autoal undo`, `autoal predict` and `autoal suspects`: what there is to do with answers once they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from autoal.session.commands import Folder, check_session, standing
from autoal.terminal import Console, go_on_with, write_out

__all__ = ["predict", "suspects", "undo"]

Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:0.")]
Encoder = Annotated[
    str | None, typer.Option(help="Import path of what makes numbers of rows, where the session was made with one.")
]


def undo(
    folder: Folder,
    count: Annotated[int, typer.Option(help="Answers to take back, the latest first.", min=1)] = 1,
) -> None:
    """Take back the last answers of a session: labels, corrections and skips, one point each.

    A point that was asked for is open again; a corrected one has its earlier label.

    Example: autoal undo runs/leaves
    Example: autoal undo runs/leaves --count 3
    """
    check_session(folder)
    from autoal.session.session import Session

    session = Session.open(folder)
    journal = folder / "journal.jsonl"
    before = journal.stat().st_size
    try:
        undone = session.undo(count)
    finally:
        if journal.stat().st_size > before:
            go_on_with("they are taken back: the same command takes back more")
    labeled, pending, skipped = session.labeled, set(session.pending), session.skipped
    console = Console(soft_wrap=True, highlight=False)
    for name in dict.fromkeys(undone):
        if name in labeled:
            stands = f"labeled {labeled[name]!r} again"
        elif name in skipped:
            stands = f"skipped ({skipped[name]}) again"
        else:
            stands = "open again" if name in pending else "without an answer"
        console.print(escape(f"{name}: {stands}"))
    console.print(escape(f"{len(undone)} taken back; {standing(session)}"))


def predict(
    folder: Folder,
    out: Annotated[Path, typer.Option(help=".csv or .parquet file.", show_default=False)],
    encoder: Encoder = None,
    device: Device = None,
) -> None:
    """Fit the model on all labels, and write what it says of every row: id, label, predicted, confidence, labeled.

    The label is what people said, where they did. The file is written whole, or not at all.

    Example: autoal predict runs/leaves --out predictions.csv
    Example: autoal predict leaves-session --out predictions.parquet
    """
    check_session(folder)
    from autoal.encoders import load_encoder
    from autoal.session.predictions import check_out
    from autoal.session.session import Session

    check_out(out)
    session = Session.open(folder, encoder=None if encoder is None else load_encoder(encoder), device=device)
    frame = session.predict(out)
    labeled = int(frame["labeled"].sum())
    said = f"{len(frame)} rows in {out}, {labeled} of them labeled by people"
    if "confidence" in frame and labeled < len(frame):
        said += f"; median confidence of the others {frame.loc[~frame['labeled'], 'confidence'].median():.2f}"
    Console(soft_wrap=True, highlight=False).print(escape(said))


def suspects(
    folder: Folder,
    count: Annotated[
        int | None,
        typer.Option(help="The most suspicious labels, contradicted or not; all that are, if not given.", min=1),
    ] = None,
    out: Annotated[Path | None, typer.Option(help=".csv or .parquet file; CSV on stdout if not given.")] = None,
    encoder: Encoder = None,
    device: Device = None,
) -> None:
    """Labels that held-out predictions contradict, the most suspicious first: id, label, and what it may be instead.

    Look at them again; then correct with tell --correct. This takes fifteen trainings of the model.

    Example: autoal suspects runs/leaves
    Example: autoal suspects runs/leaves --count 20 --out suspects.csv
    """
    check_session(folder)
    from autoal.encoders import load_encoder
    from autoal.formulas import defused
    from autoal.session.predictions import check_out, write_frame
    from autoal.session.session import Session

    path = None if out is None else check_out(out)
    session = Session.open(folder, encoder=None if encoder is None else load_encoder(encoder), device=device)
    frame = session.suspects(count)
    if path is None:
        write_out(defused(frame).to_csv(index=False, lineterminator="\n"))
    else:
        write_frame(frame, path)
    contradicted, labeled = int(frame["contradicted"].sum()), len(session.labeled)
    if count is None:
        said = f"{contradicted} of {labeled} labels are contradicted"
    else:
        said = f"the {len(frame)} most suspicious of {labeled} labels, {contradicted} of them contradicted"
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        escape(f"{said}{'' if path is None else f'; in {out}'}")
    )
