"""What a process needs in order to compute a cell, and errors in a form that travels between processes."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoal.experiment.cell import Cell, MakeSelector, run_cell
from autoal.experiment.config import ExperimentConfig
from autoal.experiment.store import RunStore

__all__ = ["Job", "Travelling", "travelling"]


@dataclass(frozen=True)
class Job:
    """The part that all cells of a run have in common."""

    config: ExperimentConfig
    make_selector: MakeSelector
    folder: Path

    def attempt(self, cell: Cell, on_round: Callable[[Cell, int], None] | None = None) -> Exception | None:
        """Computes what `cell` still misses, and gives back what it raised."""
        try:
            run_cell(
                self.config,
                cell,
                self.make_selector,
                RunStore(self.folder).cell(cell.key, cell.owner(self.config)),
                on_round,
            )
        except Exception as error:
            return error
        return None


class Travelling(Exception):
    """An error of another process as text: some exceptions pickle badly, and none keeps its traceback."""

    def __init__(self, kind: str, message: str, text: str) -> None:
        super().__init__(kind, message, text)
        self.kind, self.message, self.text = kind, message, text


def travelling(error: BaseException | None) -> Travelling | None:
    """`error` with its traceback, ready to be sent."""
    if error is None:
        return None
    return Travelling(type(error).__name__, str(error), "".join(traceback.format_exception(error)))
