"""What `progress=True` draws: the stage that is under way and the time since the call began."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from autoal.models import Progress

__all__ = ["stages_on_stderr"]


@contextlib.contextmanager
def stages_on_stderr() -> Iterator[Progress]:
    """A line on stderr that is gone afterwards; silent where stderr is not a terminal, unless the environment forces
    one on rich (FORCE_COLOR=1, TTY_COMPATIBLE=1)."""
    from rich.markup import escape
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    from autoal.terminal import Console

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("start", total=None)

        def show(stage: str, done: int, total: int) -> None:
            count = f" {done}/{total}" if total > 1 else ""
            bar.update(task, description=escape(f"autoal: {stage}{count}"))

        yield show
