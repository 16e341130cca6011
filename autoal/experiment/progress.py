"""Where a run stands: cells done, failed and under way, and how long the rest may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autoal.experiment.cell import Cell

__all__ = ["Ledger", "OnProgress", "Standing"]


@dataclass(frozen=True)
class Standing:
    """One look at a run."""

    rounds_done: int
    rounds: int
    cells: int
    done: int
    failed: int
    running: tuple[str, ...]
    """The cells under way, as text."""
    left_s: float | None
    """Seconds until the end, as far as the rounds of this call tell; None before the first."""


OnProgress = Callable[[Standing], None]


class Ledger:
    """Counts rounds and cells as engines report them.

    The time left is what the rounds that are missing took in other cells of the same data set and selector (in all
    cells where there was none yet), divided by how many cells run at once.
    """

    def __init__(
        self, cells: Sequence[Cell], rounds: Mapping[str, int], found: Mapping[str, int], progress: OnProgress | None
    ) -> None:
        self.cells, self.rounds, self.progress = list(cells), dict(rounds), progress
        self.counts = {cell.key: found.get(cell.key, 0) for cell in cells}
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.running: dict[str, tuple[Cell, float]] = {}
        self.abreast = 1
        self._spent: dict[tuple[str, str], tuple[float, int]] = {}

    def begun(self, cell: Cell) -> None:
        """`cell` is under way."""
        self.running[cell.key] = (cell, time.monotonic())
        self.report()

    def round(self, cell: Cell, count: int) -> None:
        """`cell` has `count` finished rounds."""
        if count == self.counts[cell.key]:
            return
        now = time.monotonic()
        _, since = self.running.get(cell.key, (cell, now))
        seconds, number = self._spent.get(_kind(cell), (0.0, 0))
        self._spent[_kind(cell)] = (seconds + now - since, number + count - self.counts[cell.key])
        self.counts[cell.key] = count
        self.running[cell.key] = (cell, now)
        self.report()

    def stopped(self, cell: Cell) -> None:
        """`cell` is not under way any more, and will be begun again."""
        self.running.pop(cell.key, None)

    def settled(self, cell: Cell, *, failed: bool) -> None:
        """`cell` is finished, or has failed."""
        self.running.pop(cell.key, None)
        (self.failed if failed else self.done).add(cell.key)
        if not failed:
            self.counts[cell.key] = self.rounds[cell.key]
        self.report()

    def report(self) -> None:
        """Tells who listens how things stand."""
        if self.progress is not None:
            self.progress(self.standing())

    def standing(self) -> Standing:
        """How things stand."""
        return Standing(
            rounds_done=sum(self.counts.values()),
            rounds=sum(self.rounds.values()),
            cells=len(self.cells),
            done=len(self.done),
            failed=len(self.failed),
            running=tuple(str(cell) for cell, _ in self.running.values()),
            left_s=self._left(),
        )

    def _left(self) -> float | None:
        seconds = sum(spent for spent, _ in self._spent.values())
        number = sum(count for _, count in self._spent.values())
        if not number:
            return None
        missing = [cell for cell in self.cells if cell.key not in self.done and cell.key not in self.failed]
        total = 0.0
        for cell in missing:
            spent, count = self._spent.get(_kind(cell), (0.0, 0))
            mean = spent / count if count else seconds / number
            total += mean * (self.rounds[cell.key] - self.counts[cell.key])
        return total / max(1, min(self.abreast, len(missing)))


def _kind(cell: Cell) -> tuple[str, str]:
    """Cells that take about the same time: one data set and selector."""
    return cell.dataset.label, cell.selector.label
