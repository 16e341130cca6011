"""Journals of JSON lines in which every change shows: each line carries its number and a hash over all before it.

```text
{"event":"tell", ... ,"of":"<owner>","line":1,"hash":"<32 hex digits>"}
{"event":"ask", ... ,"line":2,"hash":"<32 hex digits>"}
```
The hash (BLAKE2b, 16 bytes) covers the hash of the line before and the line itself, up to the hash. The first line
says whose the journal is: the session, or the cell of a run. So a line that was changed, taken out, doubled, moved or
brought from elsewhere is found where it is. A few bytes beside the journal, its *head*, say how many lines there were
after the latest one was written, so that lines missing at the end are found too. Nothing here is secret: it shows what
disks, tools and slips of the hand do, and no forgery.

Lines of versions that wrote no hashes may stand at the beginning: they are read as they are, and the first line with a
hash covers them from then on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from autoal.disk import append_bytes, digest, dumps, loads, write_atomic
from autoal.errors import RunError, shown

__all__ = ["Damage", "Journal", "Read", "owner_of", "read_lines", "split_journals", "whole_lines"]

Record = dict[str, Any]
SEAL = re.compile(rb'(?:,"of":"([0-9a-f]{32})")?,"line":(\d{1,15}),"hash":"([0-9a-f]{32})"\}')
"""How a line ends."""
LOOK = 128
"""Bytes at the end of a line in which its seal is."""


class Damage(RunError):
    """A journal that is not what was written: `line` (from 1) is the first that is wrong, those before it are whole."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Read(NamedTuple):
    """What a journal holds."""

    records: list[Record]
    """Without what seals them."""
    good: int
    """Bytes of the whole lines; what follows was being written when a process died."""
    plain: int
    """Lines at the beginning that no hash of their own covers."""
    hash: str
    """Of the last line; what the next one is bound to."""
    ends: list[int]
    """Byte at which each line ends."""

    @property
    def sealed(self) -> bool:
        """Whether any line carries a hash."""
        return self.plain < len(self.records)


def owner_of(*parts: object) -> str:
    """A short name for whoever a journal belongs to, the same for the same parts."""
    return digest(dumps(list(parts)).encode())


def read_lines(content: bytes, path: Path, owner: str | None, remedy: str, *, plain: bool = True) -> Read:
    """The lines of a journal, checked. `owner` None takes anybody's; without `plain` every line has to carry a hash.

    Raises Damage, naming file and line and what to do (`remedy`), at the first line that is not as it was written.
    """
    *lines, _torn = content.split(b"\n")
    records: list[Record] = []
    ends: list[int] = []
    before, unsealed, end = "", 0, 0
    for number, line in enumerate(lines, start=1):

        def wrong(what: str, number: int = number) -> Damage:
            return Damage(f"{path}, line {number} of {len(lines)} {what}: {remedy}", number)

        seal = _seal(line)
        if seal is None:
            if unsealed < number - 1 or not plain:
                raise wrong(_why_unsealed(line))
            record = _parsed(line, wrong)
            if "hash" in record:
                raise wrong("is not as it was written (its end is another); the file was changed from outside")
            unsealed = number
        else:
            of, written, found, body = seal
            # The first hash of a journal that was begun without covers all the lines before it.
            base = before if unsealed < number - 1 else _digest("", content[:end]) if unsealed else ""
            if owner is not None and of is not None and of != owner:
                raise wrong("belongs to another journal, or what it belongs to (the manifest) was changed from outside")
            if (of is None) == (unsealed == number - 1) or written != number:
                raise wrong(
                    f"says that it is line {written}; lines were taken out, put in or moved, or the file was changed "
                    "from outside"
                )
            if _digest(base, body) != found:
                raise wrong("is not as it was written (its hash is another); the file was changed from outside")
            record = _parsed(line, wrong)
            for key in ("of", "line", "hash"):
                record.pop(key, None)
            before = found
        end += len(line) + 1
        records.append(record)
        ends.append(end)
    if unsealed == len(records):
        before = _digest("", content[:end]) if records else ""
    return Read(records, end, unsealed, before, ends)


def whole_lines(content: bytes, path: Path, owner: str | None) -> list[Record]:
    """The lines before the first that is not as it was written."""
    try:
        return read_lines(content, path, owner, "").records
    except Damage as damage:
        lines = content.split(b"\n")[: damage.line - 1]
        return read_lines(b"".join(line + b"\n" for line in lines), path, owner, "").records


def split_journals(content: bytes) -> list[bytes]:
    """Several journals that were put one after the other, each from its first line on."""
    starts = [0]
    place = 0
    for line in content.splitlines(keepends=True):
        seal = _seal(line.removesuffix(b"\n"))
        if seal is not None and seal[0] is not None and place:
            starts.append(place)
        place += len(line)
    return [content[a:b] for a, b in itertools.pairwise([*starts, len(content)])]


class Journal:
    """The journal in one file. Whoever appends sees to it that nobody else does."""

    def __init__(
        self, path: Path, owner: str | None, remedy: str, *, head: Path | None = None, plain: bool = True
    ) -> None:
        """`head` is the file that says how many lines there were; without `plain`, lines without a hash, and a `head`
        that is not there, are refused."""
        self.path, self.owner, self.remedy, self.head, self.plain = path, owner, remedy, head, plain
        self._end: tuple[Any, int, str, bool] | None = None
        """File, number of lines, hash of the last one and whether any is sealed, when it was last read or written."""
        self._said: tuple[int, str] | None = None
        """What the head says, as far as is known."""

    def mark(self) -> Any:
        """Something that is another once the file was written to or replaced."""
        try:
            at = self.path.stat()
        except FileNotFoundError:
            return None
        return at.st_ino, at.st_size, at.st_mtime_ns

    def read(self) -> Read:
        """Its lines. Raises Damage where anything is not as it was written, RunError where it cannot be read."""
        head = None if self.head is None or not self.head.exists() else self.head.read_bytes()  # first: it only lags
        mark = self.mark()
        content = self.path.read_bytes() if mark is not None else b""
        found = read_lines(content, self.path, self.owner, self.remedy, plain=self.plain)
        self._said = None
        if self.head is not None and (head is not None or found.sealed or not self.plain):
            self._check_head(found, content, head)
        self._end = mark, len(found.records), found.hash, found.sealed
        return found

    def append(self, record: Record, sync: bool = True) -> None:
        """One line more, on the disk when this returns, with `sync`. The caller holds the lock, and has cut off what a
        kill left of a line. Nothing is written where the disk is full."""
        mark, lines, before, sealed = self._end or (None, 0, "", False)
        if self._end is None or mark != self.mark():
            found = self.read()
            lines, before, sealed = len(found.records), found.hash, found.sealed
        line, after = _sealed(record, lines + 1, before, None if sealed else self.owner or "0" * 32)
        append_bytes(self.path, line, sync)
        self._end = self.mark(), lines + 1, after, True
        self.settle()

    def settle(self) -> None:
        """Brings the head up to the latest line. The caller holds the lock."""
        if self.head is None or self._end is None or not self._end[3] or self._said == self._end[1:3]:
            return
        # Where this fails, as on a full disk, the line is there all the same; the next one brings the head up to it.
        with contextlib.suppress(OSError):
            self._write_head(*self._end[1:3])

    def begin(self) -> None:
        """Makes it, without a line."""
        self.path.touch()
        self._write_head(0, "")

    def anew(self) -> None:
        """Takes the file as it is by now for the whole journal. The caller holds the lock, and has just written it."""
        self.head, head = None, self.head
        found = self.read()
        self.head = head
        self._write_head(len(found.records), found.hash)

    def _write_head(self, lines: int, last: str) -> None:
        if self.head is not None:
            content = dumps({"of": self.owner, "lines": lines, "hash": last})
            write_atomic(self.head, content + "\n", folder=False)
            self._said = lines, last

    def _check_head(self, found: Read, content: bytes, head: bytes | None) -> None:
        there = len(found.records)
        if head is None:
            raise Damage(
                f"{self.head}, which says how many lines {self.path.name} has, is gone: {self.remedy}", there + 1
            )
        try:
            says = loads(head)
            of, lines, last = says["of"], int(says["lines"]), str(says["hash"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Damage(
                f"{self.head}, which says how many lines {self.path.name} has, cannot be read; it was changed from "
                f"outside: {self.remedy}",
                there + 1,
            ) from error
        if lines > there:
            raise Damage(
                f"{self.path} has {there} lines, but there were {lines}; the last ones are gone: {self.remedy}",
                there + 1,
            )
        if lines < 0 or last != _hash_at(found, content, lines) or of != self.owner:
            raise Damage(
                f"{self.head} is not of {self.path.name} and its manifest as they are; one of them was changed from "
                f"outside, or is from a backup of another day: {self.remedy}",
                there + 1,
            )
        self._said = lines, last


def _hash_at(found: Read, content: bytes, lines: int) -> str:
    """The hash after so many lines."""
    if lines == len(found.records):
        return found.hash
    if lines <= found.plain:
        return _digest("", content[: found.ends[lines - 1]]) if lines else ""
    end = found.ends[lines - 1] - 1
    seal = _seal(content[max(end - LOOK, 0) : end])
    return "" if seal is None else seal[2]


def _sealed(record: Record, number: int, before: str, owner: str | None) -> tuple[bytes, str]:
    """The bytes of a line, and its hash."""
    text = dumps(record)
    of = "" if owner is None else f',"of":"{owner}"'
    body = f'{text[:-1]}{of},"line":{number}'.encode()
    found = _digest(before, body)
    return body + f',"hash":"{found}"}}\n'.encode(), found


def _seal(line: bytes) -> tuple[str | None, int, str, bytes] | None:
    """Owner, number and hash that a line carries, and the part that the hash covers; None where it carries none."""
    at = max(len(line) - LOOK, 0)
    match = next((m for m in SEAL.finditer(line, at) if m.end() == len(line)), None)
    if match is None:
        return None
    of = None if match[1] is None else match[1].decode()
    return of, int(match[2]), match[3].decode(), line[: match.end(2)]


def _why_unsealed(line: bytes) -> str:
    cut = b'"hash"' in line[-LOOK:] or not line.endswith(b"}")
    if cut:
        return "is not as it was written; the file was changed from outside"
    return "carries no hash, as lines of this journal do; it was put in from outside, or by an earlier version"


def _digest(before: str, body: bytes) -> str:
    return digest(before.encode() + body)


def _parsed(line: bytes, wrong: Callable[[str], Damage]) -> Record:
    try:
        record = loads(line)
        if not isinstance(record, dict):
            raise ValueError("it is no object")
    except (ValueError, RecursionError) as error:
        said = f" ({shown(str(error), 80)})" if not isinstance(error, json.JSONDecodeError | UnicodeError) else ""
        raise wrong(f"cannot be read{said}, though it was written whole; the file was changed from outside") from error
    return record
