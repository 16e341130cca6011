"""Whether a file, or a folder of files, is still what it was: by all of its bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoal.errors import DataMissing, RunError

__all__ = ["check_stamp", "mark_of", "stamp_of"]

Stamp = dict[str, Any]
SMALL = 2**26
"""Bytes up to which a file is read again each time, whatever its date says."""


def stamp_of(path: Path) -> Stamp:
    """Size and time of a file, or of all pictures in a folder, and a digest of every byte of it."""
    return {**_looks(path), "digest": _digest(path)}


def check_stamp(path: Path, stamp: Stamp | None, folder: Path) -> None:
    """Raises RunError where `path` is not what `stamp` says of the pool of the session in `folder`. A large file whose
    size and time are those of then is not read again. None is of a session that kept no stamp."""
    if stamp is None:
        return
    looks = _looks(path)
    same = looks == {key: stamp.get(key) for key in looks}
    if (same and looks["size"] > SMALL) or (looks["size"] == stamp["size"] and _digest(path) == stamp["digest"]):
        return
    raise RunError(
        f"the pool of {folder}, {path}, is not what it was when the session was made ({looks['size']:,} bytes now, "
        f"{stamp['size']:,} then); wanted the same rows in the same order, since labels belong to rows: put the file "
        "of then back, or begin a session anew"
    )


def mark_of(path: Path) -> Any:
    """Something that is another once a file was written to or replaced; of a folder, once files came or went. None
    where there is none."""
    try:
        at = path.stat()
    except OSError:
        return None
    return at.st_ino, at.st_size, at.st_mtime_ns


def _looks(path: Path) -> Stamp:
    try:
        marks = [file.stat() for file in _files(path)]
    except OSError as error:
        raise DataMissing(f"{path} cannot be read ({error.strerror}); put it back") from error
    return {
        "files": len(marks),
        "size": sum(mark.st_size for mark in marks),
        "time": max((mark.st_mtime_ns for mark in marks), default=0),
    }


def _digest(path: Path) -> str:
    found = hashlib.blake2b(digest_size=16)
    for file in _files(path):
        name = file.relative_to(path).as_posix() if file != path else ""
        with open(file, "rb") as opened:
            content = hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        found.update(f"{name}\0{content}\n".encode(errors="surrogateescape"))
    return found.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    from autoal.data.sources import picture_files

    return iter(picture_files(path)) if os.path.isdir(path) else iter([path])
