"""What is wrong with the folder of a run or of a study, and making room for what has to be computed again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from autoal.errors import AutoALError, RunError
from autoal.experiment.cell import cells_of, is_finished
from autoal.experiment.config import parse_config
from autoal.experiment.lines import read_run
from autoal.experiment.store import CellStore, RunStore

__all__ = ["RunFound", "check_run", "set_aside"]


class RunFound(NamedTuple):
    """What a look at a run says, a sentence each, and the cells that cannot be believed."""

    fine: list[str]
    wrong: list[str]
    advice: list[str]
    cells: list[CellStore]


def check_run(folder: Path) -> RunFound:
    """A look at the run, or the study, in `folder`; nothing is written. Raises RunError where there is none."""
    found = RunFound([], [], [], [])
    store = RunStore(folder)
    manifest = store.manifest()
    described = dict(manifest["config"]) if isinstance(manifest.get("config"), dict) else {}
    is_study = described.pop("study", None) is not None
    config = parse_config(described, where=str(folder / "manifest.json"))
    found.fine.append("manifest: it has all that is wanted")
    finished = begun = 0
    for cell in [] if is_study else cells_of(config):
        files = CellStore(store.cells, cell.key, cell.owner(config), plain=manifest.get("format", 1) < 2)
        if not files.path.exists():
            continue
        records = _look(files, found)
        if records is not None:
            finished += is_finished(records)
            begun += bool(records) and not is_finished(records)
            if records and not is_finished(records):
                _check_state(files, len(records) - 1, found)
    if is_study:
        _check_parts(folder, found)
    else:
        found.fine.append(f"cells: {finished} of {len(cells_of(config))} finished, {begun} under way")
        if (folder / "journal.jsonl").exists():
            try:
                found.fine.append(f"journal: {len(read_run(folder))} lines, all as they were written")
            except RunError as error:
                found.wrong.append(str(error))
    if found.cells:
        found.advice.append(
            f"{len(found.cells)} cells cannot be believed: `autoal doctor {folder} --keep` puts their files aside, and "
            "the command that made them computes these anew, and no others"
        )
    return found


def set_aside(found: RunFound) -> list[str]:
    """Renames the files of cells that cannot be believed. Raises RunError where another process computes one."""
    said = []
    for files in found.cells:
        with files.open():
            aside = files.path.with_name(f"{files.path.name}.damaged-{secrets.token_hex(4)}")
            files.path.rename(aside)
            files.clear_states()
            files.timings.unlink(missing_ok=True)
        said.append(f"{files.path} is now {aside.name}; the command that made it computes this cell again")
    return said


def _look(files: CellStore, found: RunFound) -> list[dict[str, object]] | None:
    try:
        return files.look()[0]
    except AutoALError as error:
        found.wrong.append(str(error))
        found.cells.append(files)
        return None


def _check_state(files: CellStore, number: int, found: RunFound) -> None:
    try:
        files.read_state(number)
    except AutoALError as error:
        found.wrong.append(str(error))
        found.cells.append(files)


def _check_parts(folder: Path, found: RunFound) -> None:
    """The base and the trials of a study: what they tried is not in the manifest, so their cells are checked by
    themselves."""
    rounds = cells = 0
    for part in _parts(folder):
        for path in sorted((part / "cells").glob("*.jsonl")):
            if path.name.endswith(".timings.jsonl"):
                continue
            records = _look(CellStore(part / "cells", path.name.removesuffix(".jsonl")), found)
            cells, rounds = cells + 1, rounds + len(records or ())
        if (part / "journal.jsonl").exists():
            try:
                read_run(part)
            except RunError as error:
                found.wrong.append(str(error))
    found.fine.append(f"base and trials: {cells} cells with {rounds} rounds")


def _parts(folder: Path) -> Iterator[Path]:
    yield folder / "base"
    trials = folder / "trials"
    yield from sorted(path for path in trials.iterdir() if path.is_dir()) if trials.is_dir() else ()
