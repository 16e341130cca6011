"""A run as a folder: manifest, one append-only file per cell, and the journal made of them at the end.

```text
manifest.json        config, versions, data fingerprints, device, revision
cells/<cell>.jsonl   one line per finished round; deterministic fields only
cells/<cell>.timings.jsonl, cells/<cell>.state.<round>.json
journal.jsonl        the lines of all finished cells, in the order of the config; journal.head: their hash
timings.jsonl        seconds and peak memory; differs from run to run
failures.jsonl       cells that raised, and what
failures.shard-<i>-of-<n>.jsonl   the same of one shard, until the journal is made
```

Locks are `flock` on files that begin with a dot; they end with their process, also when it is killed. Over NFS they
hold between machines too (Linux since 2.6.12). Where a file system has none, shards want folders of their own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from autoal.disk import (
    append_line,
    clear_leftovers,
    cut_torn,
    differences,
    dumps,
    loads,
    locked,
    read_jsonl,
    write_atomic,
)
from autoal.errors import AutoALWarning, RunError, shown
from autoal.experiment.lines import check_round, write_run
from autoal.experiment.manifests import read_manifest
from autoal.journal import Journal

__all__ = ["LONGEST_KEY", "CellStore", "RunStore", "cell_key", "early_key"]

Record = dict[str, Any]
CELL = ("dataset", "selector", "seed")
"""What a line says about the cell that it is of."""
LONGEST_KEY = 200
"""Characters of a cell's file name; file systems take 255, of which endings and partial files need some."""
SYNC_S = 1.0
"""Rounds that end within so many seconds of each other go to the disk together."""


class CellStore:
    """The files of one cell. One process at a time may write them; `open` sees to it."""

    def __init__(self, folder: Path, key: str, owner: str | None = None, plain: bool = True) -> None:
        """`owner` says which cell it is (see `Cell.owner`); without `plain`, lines without a hash are refused."""
        self.folder, self.key = folder, key
        self.path = folder / f"{key}.jsonl"
        self.lines = Journal(self.path, owner, "delete it to compute this cell again", plain=plain)
        self.timings = folder / f"{key}.timings.jsonl"
        self._synced = -math.inf

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        # A worker outlives a killed parent by a moment; waiting lets it go.
        with locked(self.folder / f".{self.key}.lock", 30.0, f"cell {self.key} is being computed by another process"):
            yield

    def look(self) -> tuple[list[Record], int]:
        """The finished rounds and their bytes; nothing is written. Raises RunError where a line is not as it was
        written, or is not the next round of this cell."""
        found = self.lines.read()
        records = found.records
        for number, record in enumerate(records):
            if _key_of(record) != self.key or record.get("round") != number:
                got = shown([record.get(part) for part in (*CELL, "round")])
                raise RunError(
                    f"{self.path}, line {number + 1} is of {got} (data set, selector, seed, round), which is not round "
                    f"{number} of cell {self.key}; the file was changed from outside, or its name is that of another "
                    "cell too where capitals are not told apart: delete it, and give one a `label` of its own"
                )
        for number, record in enumerate(records[: found.plain]):
            try:
                check_round(record)
            except ValueError as error:
                raise RunError(
                    f"{self.path}, line {number + 1} holds {error}; the file was changed from outside: delete it to "
                    "compute this cell again"
                ) from error
        return records, found.good

    def read(self) -> list[Record]:
        """The finished rounds. A torn last line is dropped, from the file too, with a warning."""
        records, good = self.look()
        self._trim_timings(len(records))
        aside = cut_torn(self.path, good) if self.path.exists() else None
        if aside is not None:
            warnings.warn(
                f"{self.path.name} ended in the middle of a line, as a run that is killed leaves it; that line was "
                f"dropped (it is in {aside.name}) and round {len(records)} is computed again",
                AutoALWarning,
                stacklevel=2,
            )
        return records

    def _trim_timings(self, rounds: int) -> None:
        """Drops the timing of a round whose record a kill prevented, so that each finished round has one."""
        if not self.timings.exists():
            return
        lines = self.timings.read_bytes().splitlines(keepends=True)
        if len(lines) > rounds:
            with open(self.timings, "r+b") as file:
                file.truncate(sum(map(len, lines[:rounds])))

    def append(self, record: Record, timing: Record, state: Mapping[str, Any] | None) -> None:
        """Adds one finished round; it counts from the moment its line is whole in the file.

        The selector's state goes first, under the round's number, so each line that exists has its state. A process
        that is killed loses nothing; a machine that fails, the last second of its rounds, for waiting on the disk
        each time would take longer than a round of a small model does.
        """
        number = int(record["round"])
        sync = state is None or time.monotonic() - self._synced > SYNC_S
        if state is not None:
            write_atomic(self._state(number), dumps(state), sync)
        append_line(self.timings, timing, sync)
        self.lines.append(record, sync)
        self._synced = time.monotonic() if sync else self._synced
        self._state(number - 2).unlink(missing_ok=True)

    def read_state(self, number: int) -> dict[str, Any]:
        """The selector's state after round `number`."""
        try:
            state: dict[str, Any] = loads(self._state(number).read_bytes())
            return state
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(
                f"cell {self.key} has {number + 1} finished rounds but no state of its selector after them; delete "
                f"{self.path} to compute this cell again"
            ) from error

    def clear_states(self) -> None:
        """Removes what only a resumed cell needs."""
        ours = re.compile(rf"{re.escape(self.key)}\.state\.\d+\.json")
        for path in self.folder.iterdir():
            if ours.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def adopt(self, old: str) -> None:
        """Takes over the files of this cell that an earlier version named `old`, where they are of this cell."""
        other = CellStore(self.folder, old)
        if self.path.exists() or not other.path.exists():
            return
        with self.open(), other.open():
            records = read_jsonl(other.path)[0]
            if not records or any(_key_of(record) != self.key for record in records):
                return
            ours = re.compile(rf"{re.escape(old)}(\.state\.\d+\.json|\.timings\.jsonl)")
            for path in list(self.folder.iterdir()):
                if match := ours.fullmatch(path.name):
                    path.rename(self.folder / f"{self.key}{match[1]}")
            other.path.rename(self.path)  # last: whoever is killed before begins again

    def _state(self, number: int) -> Path:
        return self.folder / f"{self.key}.state.{number}.json"


class RunStore:
    """The folder of one run."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.cells = self.folder / "cells"
        self.journal = self.folder / "journal.jsonl"

    def make(self) -> None:
        """Makes the folder where it is not there. Raises RunError where it cannot be made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"nothing can be written into {self.folder} ({error.strerror}); choose another folder with --out"
            ) from error

    @contextlib.contextmanager
    def lock(self, shard: str = "") -> Iterator[None]:
        """Raises RunError at once where another process runs in this folder.

        A `shard` shares the folder with other shards, though not with a process that runs the whole, nor with
        another process of the same shard.
        """
        message = f"another process is running in {self.folder}; wait for it, or choose another folder with --out"
        self.make()
        with contextlib.ExitStack() as held:
            held.enter_context(locked(self.folder / ".lock", 0.0, message, shared=bool(shard)))
            if shard:
                same = f"another process computes shard {shard} in {self.folder}; give each process a shard of its own"
                held.enter_context(locked(self.folder / f".shard-{_dashed(shard)}.lock", 0.0, same))
            yield

    def cell(self, key: str, owner: str | None = None) -> CellStore:
        """The files of a cell; `owner` is `Cell.owner`, None takes lines of anybody's."""
        try:
            self.cells.mkdir(exist_ok=True)
        except FileNotFoundError as error:  # a new one would hold these cells and nothing of the run
            raise RunError(
                f"{self.folder} is not there, or no longer: put it back where it was and run the same command again"
            ) from error
        return CellStore(self.cells, key, owner, plain=not self._sealed)

    @functools.cached_property
    def _sealed(self) -> bool:
        """Whether it was begun by a version that puts a hash into each line."""
        try:
            return bool(loads((self.folder / "manifest.json").read_bytes())["format"] >= 2)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False

    def begin(self, manifest: Record) -> None:
        """Writes the manifest, or compares it with the one that is there.

        Raises RunError where the config or the data differ; warns where only versions or the device do.
        """
        path = self.folder / "manifest.json"
        manifest = json.loads(dumps(manifest))
        # Shards may begin at the same moment: the first writes, the others compare.
        with locked(self.folder / ".manifest.lock", 30.0, f"{path} is held by another process"):
            for folder in (self.folder, self.cells):
                clear_leftovers(folder)
            if not path.exists():
                write_atomic(path, json.dumps(manifest, indent=2) + "\n")
                return
        old = read_manifest(path)
        parts = ["config", "data", *(["contents"] if {"contents"} <= old.keys() & manifest.keys() else [])]
        changes = [line for part in parts for line in differences(old.get(part), manifest[part], part)]
        if changes:
            shown = "\n  ".join(changes[:8])
            raise RunError(
                f"{self.folder} holds a run of another config:\n  {shown}\n"
                "put the config back to continue it, or choose another folder with --out"
            )
        moved = [line for part in ("versions", "device") for line in differences(old.get(part), manifest[part], part)]
        if moved:
            warnings.warn(
                f"{self.folder} was begun elsewhere ({'; '.join(moved)}); the rounds still to come may differ",
                AutoALWarning,
                stacklevel=2,
            )

    def manifest(self) -> Record:
        """What `begin` wrote. Raises RunError where this is no run folder, or the file is another by now."""
        path = self.folder / "manifest.json"
        if not path.is_file():
            raise RunError(f"{self.folder} is not the folder of a run: it has no manifest.json")
        return read_manifest(path)

    def compile(self, keys: Iterable[str], finished: Iterable[str]) -> None:
        """Makes journal.jsonl and timings.jsonl from the cells in `finished`, in the order of `keys`."""
        done = set(finished)
        chosen = [self.cell(key) for key in keys if key in done]
        write_run(self.journal, b"".join(cell.path.read_bytes() for cell in chosen))
        write_atomic(
            self.folder / "timings.jsonl",
            b"".join(cell.timings.read_bytes() for cell in chosen if cell.timings.exists()),
        )

    def failures(self, shard: str = "") -> Path:
        """Where the failed cells are named, of the whole run or of one shard."""
        return self.folder / (f"failures.shard-{_dashed(shard)}.jsonl" if shard else "failures.jsonl")

    def write_failures(self, failures: Iterable[Record], shard: str = "") -> None:
        """One line per failed cell; no file where there is none."""
        path = self.failures(shard)
        lines = "".join(dumps(failure) + "\n" for failure in failures)
        if lines:
            write_atomic(path, lines)
        else:
            path.unlink(missing_ok=True)

    def shard_failures(self) -> list[Path]:
        """The files of failed cells that shards have left."""
        ours = re.compile(r"failures\.shard-\d+-of-\d+\.jsonl")
        return sorted(path for path in self.folder.iterdir() if ours.fullmatch(path.name))


def _dashed(shard: str) -> str:
    return shard.replace("/", "-of-")


def _key_of(record: Record) -> str:
    return cell_key(*(record.get(part) for part in CELL))


def early_key(*parts: object) -> str:
    """What version 0.1.0 called a cell: two cells could have one name."""
    return "--".join(re.sub(r"[^A-Za-z0-9._+-]", "_", str(part)) for part in parts)


def cell_key(*parts: object) -> str:
    """A file name for a cell: another one for any other parts, and the parts as they are where they are plain."""
    return "--".join(map(_plain, parts))


def _plain(part: object) -> str:
    """As in a URL, but for hyphens too where they could be taken for those between parts."""
    text = quote(str(part), safe="+", errors="surrogatepass")
    return re.sub(r"^-|-(?=-|$)", "%2D", text)
