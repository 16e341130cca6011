"""Journals as somebody who knows how they are made could have written them, and as version 0.1.0 did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoal.journal import Journal
from autoal.session.folder import Folder

__all__ = ["as_version_0_1_0", "forged", "head_at", "resealed"]

Lines = list[dict[str, Any]]


def forged(folder: Path, change: Callable[[Lines], Lines]) -> None:
    """The journal with other lines, numbered and hashed as if the session had written them."""
    files = Folder(folder)
    files.manifest()
    records = change(files.lines.read().records)
    files.journal.write_bytes(b"")
    (folder / "journal.head").unlink()
    lines = Folder(folder).lines
    lines.begin()
    for record in records:
        lines.append(record)


def resealed(path: Path, change: Callable[[Lines], Lines]) -> None:
    """The same of any journal that has no head, as that of a cell."""
    records = Journal(path, None, "").read().records
    owner = json.loads(path.read_text().splitlines()[0])["of"]
    path.write_bytes(b"")
    for record in change(records):
        Journal(path, owner, "").append(record)


def head_at(folder: Path, lines: int) -> None:
    """The head as it was when the journal had so many lines."""
    files = Folder(folder)
    files.manifest()
    whole = files.journal.read_bytes()
    files.journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:lines]))
    files.lines.anew()
    files.journal.write_bytes(whole)


def as_version_0_1_0(folder: Path) -> None:
    """The folder as the first version left it: no hashes, no head, another format of manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("id", "files"):
        del manifest[key]
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 1}, indent=2) + "\n")
    (folder / "journal.head").unlink()
    journal = folder / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        for key in ("of", "line", "hash"):
            line.pop(key, None)
    journal.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
