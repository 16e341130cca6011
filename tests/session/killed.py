"""A session whose process is killed at the worst moments, beside one that lives; run as a process of its own.

Each victim is a fork, so that one import of torch serves them all.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoal import Session
from autoal.session.folder import Folder
from tests.session.problems import NAMES, again, begun, named, truth


def die(*arguments: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(work: Callable[[], Any]) -> None:
    """Does `work` in a process that does not live to its end."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def ask_and_die(folder: Path, owner: Any, function: str) -> None:
    """Dies when `ask` comes to `owner.function`."""
    session = again(folder)
    setattr(owner, function, die)
    session.ask(4)


def tell_and_die(folder: Path) -> None:
    session = again(folder)
    pending = session.pending_query()
    session.tell(pending.ids[:2], named(pending.ids[:2]))
    die()


def create_and_die(folder: Path) -> None:
    Folder.write_manifest = die  # type: ignore[method-assign]
    begun(folder)


def told(folder: Path) -> Session:
    session = begun(folder)
    session.tell(NAMES[:12], truth[:12])
    return session


def main(work: Path) -> None:
    whole = told(work / "whole")
    first, second = whole.ask(4), whole.ask(4)
    whole.tell(first.ids[:2], named(first.ids[:2]))
    third = whole.ask(4)

    folder = told(work / "killed").folder
    killed(lambda: ask_and_die(folder, Folder, "append"))  # AutoAL has answered, and its checkpoint is there
    assert (folder / "checkpoints" / "round-0000").is_dir() and again(folder).n_rounds == 0
    killed(lambda: ask_and_die(folder, os, "rename"))  # in the middle of the checkpoint
    assert again(folder).n_rounds == 0
    assert again(folder).ask(4) == first
    killed(lambda: ask_and_die(folder, Folder, "forget"))  # the line is there: this batch was asked for
    assert again(folder).pending == [*first.ids, *second.ids]
    killed(lambda: tell_and_die(folder))
    assert again(folder).labeled == whole.labeled
    assert again(folder).ask(4) == third

    killed(lambda: create_and_die(work / "new"))
    (left,) = (path.name for path in work.iterdir() if path.name not in ("whole", "killed"))
    assert left.startswith(".new.")
    begun(work / "new")
    assert {path.name for path in work.iterdir()} == {"whole", "killed", "new"}  # what was left is cleared away


if __name__ == "__main__":
    main(Path(sys.argv[1]))
