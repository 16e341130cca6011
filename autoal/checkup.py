"""`autoal doctor RUN`: what is wrong with a folder of ours, and what can be saved."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from autoal.errors import DataMissing
from autoal.terminal import Console

__all__ = ["check_folder"]


def check_folder(folder: Path, keep: bool) -> bool:
    """Prints what is wrong with the session, run or study in `folder`; with `keep`, goes on from what can be saved.
    Gives whether all is well.

    Raises DataMissing where there is none of these.
    """
    from autoal.session.folder import is_session

    if not folder.is_dir():
        raise DataMissing(f"{folder} is not a folder; wanted that of a session, a run or a study")
    said: list[str] = []
    if is_session(folder) or not (folder / "manifest.json").exists() or _looks_like_session(folder):
        from autoal.session.doctor import check_session, keep_session

        found = check_session(folder)
        if keep and found.wrong:
            said = keep_session(folder)
        fine, wrong, advice = found
    else:
        from autoal.experiment.doctor import check_run, set_aside
        from autoal.study.doctor import check_log

        run = check_run(folder)
        check_log(folder, run)
        if keep:
            said = set_aside(run)
        fine, wrong, advice, _ = run
    console = Console(highlight=False, soft_wrap=True)
    for line in fine:
        console.print(escape(f"ok: {line}"))
    for line in wrong:
        console.print(f"[red]wrong:[/] {escape(line)}")
    for line in said or advice:
        console.print(escape(line))
    return not wrong or bool(said)


def _looks_like_session(folder: Path) -> bool:
    return (folder / "checkpoints").is_dir() and not (folder / "cells").exists()
