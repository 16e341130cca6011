"""A run in parts: which cells are whose, the journal once all parts are there, and folders put together.

Parts may be computed by several machines, in one folder they share or each in its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoal.disk import locked, read_jsonl, write_atomic
from autoal.errors import ConfigError, RunError
from autoal.experiment.cell import Cell, cells_of, is_finished
from autoal.experiment.config import ExperimentConfig, parse_config
from autoal.experiment.store import Record, RunStore, cell_key

__all__ = ["Shard", "compile_journal", "merge", "missing_cells"]


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` parts, counted from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From text such as `2/4`. Raises ConfigError for any other."""
        match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"got shard {text!r}; wanted i/n with 1 <= i <= n, as in 1/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def part(self, cells: Sequence[Cell]) -> list[Cell]:
        """Its cells, in the order of `cells`.

        Cells are dealt like cards, in the order of their keys: data set, selector, seed. So parts differ by at most
        one cell, and each gets its share of the seeds of an expensive selector. The order of the config does not
        matter.
        """
        mine = {cell.key for cell in sorted(cells, key=lambda cell: cell.key)[self.index - 1 :: self.count]}
        return [cell for cell in cells if cell.key in mine]


def compile_journal(folder: str | Path) -> list[str]:
    """Makes the journal of a run whose parts are all there; gives the keys of the cells that are not.

    A cell that is recorded as failed is not waited for. Where cells are missing nothing is written.
    """
    store = RunStore(folder)
    cells, finished, failures = _survey(store)
    missing = [cell.key for cell in cells if cell.key not in finished and cell.key not in failures]
    if not missing:
        # Several shards may find at once that all is there; they write the same, one after the other.
        with locked(store.folder / ".journal.lock", 60.0, f"{store.journal} is being written by another process"):
            store.compile((cell.key for cell in cells), finished)
            store.write_failures(failures[cell.key] for cell in cells if cell.key in failures)
    return missing


def missing_cells(folder: str | Path, missing: Sequence[str]) -> str:
    """What to tell a user whose run lacks `missing`."""
    named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return (
        f"{folder} lacks {len(missing)} cells ({named}), so there is no journal yet; run the shards that are still to "
        "come, or the same command without --shard, which computes only what is missing"
    )


def merge(out: str | Path, folders: Sequence[str | Path]) -> list[str]:
    """Puts the finished cells of several folders of one run into `out`; gives the keys of the cells still missing.

    The folders are left as they are. Cells are deterministic, so the same cell in two folders must be the same file.
    Raises RunError where the configs or the data differ, or such a cell does.
    """
    target = RunStore(out)
    sources = [RunStore(folder) for folder in folders]
    manifests = [source.manifest() for source in sources]  # a folder that is none stops us before OUT is made
    form = min((manifest.get("format", 1) for manifest in manifests), default=1)  # the earliest allows most
    with target.lock():
        failures: dict[str, Record] = {}
        for source, manifest in zip(sources, manifests, strict=True):
            target.begin({**manifest, "format": form})
            cells, finished, failed = _survey(source)
            config = _config(source)
            for cell in cells:
                if cell.key in finished:
                    _copy(source, target, cell, cell.owner(config))
            failures |= failed
        target.write_failures((failures | _survey(target)[2]).values())
        return compile_journal(out)


def _copy(source: RunStore, target: RunStore, cell: Cell, owner: str) -> None:
    old, new = source.cell(cell.key, owner), target.cell(cell.key, owner)
    with new.open():
        if is_finished(new.look()[0]):
            if new.path.read_bytes() != old.path.read_bytes():
                raise RunError(
                    f"{new.path} and {old.path} differ, though they are the same cell of one config; versions or "
                    "machines differ: keep the one you trust, and delete the other"
                )
            return
        if old.timings.exists():
            write_atomic(new.timings, old.timings.read_bytes())
        write_atomic(new.path, old.path.read_bytes())
        new.clear_states()


def _config(store: RunStore) -> ExperimentConfig:
    return parse_config(store.manifest()["config"], where=str(store.folder / "manifest.json"))


def _survey(store: RunStore) -> tuple[list[Cell], set[str], dict[str, Record]]:
    """All cells of the run in `store`, the keys of those that are finished, and the failures of the others."""
    config = _config(store)
    cells = cells_of(config)
    finished = {cell.key for cell in cells if is_finished(store.cell(cell.key, cell.owner(config)).look()[0])}
    failures: dict[str, Record] = {}
    for path in [store.failures(), *store.shard_failures()]:
        for failure in read_jsonl(path, "delete it to compute these cells again")[0]:
            failures[_key(failure)] = failure
    return cells, finished, {key: failure for key, failure in failures.items() if key not in finished}


def _key(failure: Record) -> str:
    return cell_key(failure["dataset"], failure["selector"], failure["seed"])
