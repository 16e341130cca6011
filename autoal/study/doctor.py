"""A look at the trials of a study."""

from __future__ import annotations

from pathlib import Path

from autoal.disk import read_jsonl
from autoal.errors import RunError
from autoal.experiment.doctor import RunFound

__all__ = ["check_log"]


def check_log(folder: Path, found: RunFound) -> None:
    """Adds what there is to say of `study.log`, Optuna's journal, to `found`."""
    from autoal.study.book import LOG_REMEDY, read_log

    path = folder / "study.log"
    if not path.exists():
        return
    try:
        lines = read_jsonl(path, LOG_REMEDY)[0]
        trials = read_log(path)
    except RunError as error:
        found.wrong.append(str(error))
        return
    found.fine.append(f"study.log: {len(lines)} lines, {trials} trials")
