"""Files that are whole or absent whenever a process dies: atomic writes, journals of JSON lines, locks.

Locks are `flock` on files that begin with a dot; they end with their process, also when it is killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autoal.errors import RunError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: nothing guards against two writers in one folder
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "append_bytes",
    "append_line",
    "clear_leftovers",
    "cut_torn",
    "differences",
    "digest",
    "dumps",
    "folder_whole",
    "loads",
    "locked",
    "read_jsonl",
    "sync_folder",
    "write_atomic",
    "written_whole",
]

Record = dict[str, Any]
LEFTOVER = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
"""Name of a partial file, as `_beside` makes it."""
DAY_S = 86_400.0


def write_atomic(path: Path, content: str | bytes, sync: bool = True, folder: bool = True) -> None:
    """Writes a file so that it is either the old one or the whole new one, whenever the process dies; with `sync`,
    also where the machine does. Without `folder` it may then be the old one for a moment longer."""
    data = content.encode() if isinstance(content, str) else content
    temporary = _beside(path)
    with open(temporary, "xb") as file:  # of ours alone: no link that somebody put there is written through
        try:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    if sync and folder:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Puts the names in a folder on the disk: of files that were made, renamed or removed there. Where the system
    cannot do that it does it by itself, sooner or later."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it becomes `path` at the end, and is gone where anything fails before."""
    temporary = _beside(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_whole(path: Path) -> Iterator[Path]:
    """A folder beside `path` to write into; it becomes `path`, which is not there or empty, at the end, and is gone
    where anything fails before. A kill leaves it, hidden, under a name of its own."""
    path = Path(os.path.abspath(path))
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.mkdir()
        yield made
        for each in made.rglob("*"):
            if each.is_dir():
                sync_folder(each)
        sync_folder(made)
        os.rename(made, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Removes the partial files that killed writers left in a folder: by their exact form, and a day old at least,
    since one that is being written is there for a moment."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if LEFTOVER.fullmatch(path.name) and time.time() - path.lstat().st_mtime > DAY_S:
                path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    # Process numbers alone would do on one machine, but not on several that share a folder.
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def dumps(record: Any) -> str:
    """One line of JSON; numbers that are not finite become null, since JSON has none."""
    return json.dumps(_plain(record), separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy and torch
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text, where it has one meaning. Raises ValueError for what is no JSON, for a key that is
    there twice and for numbers that JSON or a float lacks, RecursionError for what is nested too deep."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)[:60]!r} is there twice")
    return made


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def digest(content: bytes) -> str:
    """32 hexadecimal digits that are others for any other bytes (BLAKE2b)."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def append_line(path: Path, record: Any, sync: bool = True) -> None:
    """Adds one line of JSON to a file; with `sync`, it is on the disk when this returns."""
    append_bytes(path, dumps(record).encode() + b"\n", sync)


def append_bytes(path: Path, line: bytes, sync: bool = True) -> None:
    """Adds to the end of a file all of `line` or, where the disk is full, nothing; then raises OSError."""
    fresh = not path.exists()
    with open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            left = memoryview(line)
            while left:
                left = left[file.write(left) or 0 :]
            if sync:
                os.fsync(file.fileno())
        except BaseException:  # an interrupt too: what there is of it would be taken for what a kill left
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise
    if fresh and sync:
        sync_folder(path.parent)


def read_jsonl(path: Path, remedy: str = "delete it to compute this cell again") -> tuple[list[Record], int]:
    """The whole lines of a file and how many bytes they take; a last line without a newline, which a process that was
    killed had not finished, is left out.

    Raises RunError, which says what to do (`remedy`), where a line that has its newline cannot be read: it was whole
    once, and what it said was relied on.
    """
    if not path.exists():
        return [], 0
    *lines, _torn = path.read_bytes().split(b"\n")
    records: list[Record] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = loads(line)
            if not isinstance(record, dict):
                raise ValueError("no object")
        except (ValueError, RecursionError) as error:
            raise RunError(
                f"{path}, line {number} of {len(lines)} cannot be read, though it was written whole; the file was "
                f"changed from outside: {remedy}"
            ) from error
        records.append(record)
    return records, sum(len(line) + 1 for line in lines)


def cut_torn(path: Path, good: int) -> Path | None:
    """Cuts off what follows the first `good` bytes, which goes to the end of a file beside it; gives that file's path,
    None where there was nothing to cut. The caller sees to it that nobody else writes."""
    if not path.exists() or path.stat().st_size <= good:
        return None
    with open(path, "r+b") as file:
        file.seek(good)
        torn = file.read()
        if not torn:
            return None
        aside = path.with_name(path.name + ".torn")
        with open(aside, "ab") as kept:
            kept.write(torn + b"\n")
            kept.flush()
            os.fsync(kept.fileno())
        file.truncate(good)
        os.fsync(file.fileno())
    return aside


@contextlib.contextmanager
def locked(
    path: Path,
    wait_s: float,
    message: str,
    *,
    shared: bool = False,
    poll_s: float = 0.1,
    remedy: str = "choose another folder with --out",
    in_turn: bool = False,
) -> Iterator[None]:
    """Holds a lock on `path`, which ends with the process: exclusive, or together with others that share it.

    With `in_turn`, whoever waits comes before the one that has just had it and wants it again; otherwise one process
    that works without a pause keeps all others out.

    The folder has to be there: a lock on one that was moved away would guard nothing, in a new empty one. Raises
    RunError where another has it for more than `wait_s` seconds, or where nothing can be written or locked.
    """
    deadline = time.monotonic() + wait_s
    with contextlib.ExitStack() as held, contextlib.ExitStack() as queue:
        if in_turn:
            queue.enter_context(_locked(path.with_name(f"{path.name}.turn"), deadline, message, False, 0.01, remedy))
            poll_s = 0.01  # nobody else does
        held.enter_context(_locked(path, deadline, message, shared, poll_s, remedy))
        queue.close()
        yield


@contextlib.contextmanager
def _locked(path: Path, deadline: float, message: str, shared: bool, poll_s: float, remedy: str) -> Iterator[None]:
    try:
        opened = open(path, "a+")
    except OSError as error:
        raise RunError(f"nothing can be written into {path.parent} ({error.strerror}); {remedy}") from error
    with opened as file:
        while fcntl is not None:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise RunError(message) from error
                time.sleep(poll_s)
            except OSError as error:
                raise RunError(
                    f"the file system of {path.parent} has no file locks ({error.strerror}); choose a folder on "
                    "another with --out, one for each shard, and put them together with `autoal merge`"
                ) from error
        yield


def differences(old: Any, new: Any, where: str) -> list[str]:
    """Lines such as `config.rounds: was 10, now 12`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [line for key in keys for line in differences(old.get(key), new.get(key), f"{where}.{key}")]
    return [] if old == new else [f"{where}: was {_short(old)}, now {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
