"""What is wrong with the folder of a session, what can be saved, and going on from that."""

from __future__ import annotations

import secrets
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from autoal.disk import dumps, loads, write_atomic
from autoal.errors import AutoALError, AutoALWarning, RunError
from autoal.journal import Damage, Journal, whole_lines
from autoal.session.folder import Folder
from autoal.session.ids import Ids
from autoal.session.labels import LabelSpace
from autoal.session.state import State, checked_state

__all__ = ["Found", "check_session", "keep_session"]


class Found(NamedTuple):
    """What a look at a folder says, a sentence each."""

    fine: list[str]
    wrong: list[str]
    advice: list[str]


class _Whole(NamedTuple):
    """The beginning of a journal that can be believed."""

    records: list[dict[str, Any]]
    state: State
    error: AutoALError | None
    """Why it ends there, where it does not end with the journal."""


def check_session(path: Path) -> Found:
    """A look at the session in `path`; nothing is written. Raises DataMissing where there is none."""
    from autoal.session.inputs import load_inputs

    folder, found = Folder(path), Found([], [], [])
    try:
        manifest = folder.manifest()
        ids, space = _names(folder, manifest)
    except RunError as error:
        return found._replace(wrong=[str(error)])
    found.fine.append("manifest: it has all that is wanted")
    whole = _whole(folder, ids, space)
    state = whole.state
    counts = (
        f"{len(whole.records)} lines, {len(state.labels)} labels, {len(state.skipped)} skipped points, "
        f"{len(state.asks)} batches"
    )
    if whole.error is None:
        found.fine.append(f"journal: {counts}, every line as it was written")
    else:
        found.wrong.append(str(whole.error))
        found.advice.append(
            f"can be saved: {counts}. Better is the journal of a backup; without one, `autoal doctor {path} --keep` "
            "goes on from these lines, and keeps what is there now beside them"
        )
    if whole.error is None and not folder.lines.read().sealed and whole.records:
        found.fine.append("journal: of a version that wrote no hashes, so that a change in it may not show")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", AutoALWarning)
            folder.load(state.checkpoint, None, state.saved)
        lacks = [str(warning.message) for warning in said if issubclass(warning.category, AutoALWarning)]
        found.fine.append(f"checkpoint: {lacks[0] if lacks else state.checkpoint + ' can be read'}")
    except AutoALError as error:
        found.wrong.append(f"checkpoint: {error}")
    if manifest["data"]["kind"] == "outside":
        found.fine.append("pool: not in the folder; pass it to Session.open, which compares it")
    else:
        try:
            load_inputs(manifest["data"], path)
            found.fine.append("pool: the same rows as at the beginning")
        except AutoALError as error:
            found.wrong.append(f"pool: {error}")
    return found


def keep_session(path: Path) -> list[str]:
    """Goes on from the lines that can be believed: the journal is written anew with these, what there was goes to a
    file beside it, and labels in lines behind the damage into one that can be told.

    Raises RunError where another process is at work, DataMissing where there is no session.
    """
    folder = Folder(path)
    manifest = folder.manifest()
    ids, space = _names(folder, manifest)
    with folder.lock():
        whole = _whole(folder, ids, space)
        if whole.error is None:
            return [f"{folder.journal} is whole; nothing was changed"]
        said = []
        content = folder.journal.read_bytes() if folder.journal.exists() else b""
        name = f"journal.jsonl.damaged-{secrets.token_hex(4)}"
        if content:
            write_atomic(path / name, content)
            said.append(f"what there was is kept in {path / name}")
        later = _later(content, len(whole.records), ids, space)
        if later:
            lines = [dumps({"id": known, "label": label}) + "\n" for known, label in later.items()]
            write_atomic(path / f"{name}.answers.jsonl", "".join(lines))
            said.append(
                f"{len(later)} labels stand in lines behind the damage; look at them, and tell them again where they "
                f"are right: autoal tell {path} {path / name}.answers.jsonl --correct"
            )
        fresh = path / f".{name}.new"
        anew = Journal(fresh, folder.lines.owner, folder.remedy, head=None)
        try:
            fresh.touch()
            for record in whole.records:
                anew.append(record, sync=False)
            (path / "journal.head").unlink(missing_ok=True)
            write_atomic(folder.journal, fresh.read_bytes())
        finally:
            fresh.unlink(missing_ok=True)
        folder.lines.anew()
    kept = f"goes on from {len(whole.records)} lines: {len(whole.state.labels)} labels, {len(whole.state.asks)} batches"
    return [kept, *said]


def _names(folder: Folder, manifest: dict[str, Any]) -> tuple[Ids, LabelSpace]:
    return folder.ids(manifest), LabelSpace(manifest["task"], manifest["classes"])


def _whole(folder: Folder, ids: Ids, space: LabelSpace) -> _Whole:
    """As much of the journal as can be believed. Where the lines are whole and of another manifest, all of them: what
    they say is checked against the ids and classes of this one."""
    error: AutoALError | None = None
    try:
        records = folder.read()[0]
    except Damage as damage:
        error = damage
        content = folder.journal.read_bytes() if folder.journal.exists() else b""
        records = whole_lines(content, folder.journal, folder.lines.owner)
        if not records:
            records = whole_lines(content, folder.journal, None)
    except RunError as missing:
        error, records = missing, []
    try:
        state = checked_state(records, ids, space, folder.journal, folder.remedy)
    except Damage as damage:
        records = records[: damage.line - 1]
        state = checked_state(records, ids, space, folder.journal, folder.remedy)
        error = error or damage
    return _Whole(records, state, error)


def _later(content: bytes, lines: int, ids: Ids, space: LabelSpace) -> dict[Any, Any]:
    """Labels in lines behind the first so many, id -> label, as far as a line can be read by itself."""
    found: dict[Any, Any] = {}
    for line in content.split(b"\n")[lines:-1]:
        try:
            record = loads(line)
            for key in ("of", "line", "hash"):
                record.pop(key, None)
            if record["event"] == "tell":
                checked_state([record], ids, space, Path("line"), "")
                found.update(zip(record["ids"], record["labels"], strict=True))
        except (AutoALError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return found
