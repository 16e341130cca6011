"""Two processes that work on one session without a pause; run as a process of its own, which prints how long the second
one waited for each of its answers, in seconds, and how often it failed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from autoal.errors import AutoALError
from tests.session.killed import told
from tests.session.problems import NAMES, again, named

ANSWERS = 12


def busy(folder: Path, until: float) -> None:
    """Asks and tells, and asks and tells."""
    session = again(folder)
    while time.monotonic() < until:
        batch = session.ask(2)
        session.tell(batch, named(batch.ids))
        for name in batch.ids:
            session.relabel(name, None)


def main(folder: Path) -> None:
    told(folder)
    child = os.fork()
    if child == 0:
        busy(folder, time.monotonic() + 12.0)
        os._exit(0)
    session, failed, waits = again(folder), 0, []
    time.sleep(1.0)
    for number in range(ANSWERS):
        began = time.monotonic()
        try:
            session.relabel(NAMES[0], ("oak", "elm")[number % 2])
        except AutoALError:
            failed += 1
        waits.append(time.monotonic() - began)
    print(failed, f"{max(waits):.3f}")
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) and 3)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
