"""Every command, stopped by an interrupt at a random moment: one line, exit code 130, nothing half written, and what the
line says to do leads to what an undisturbed call leads to.

Victims are forks, as in `trust`: a process in which torch has started its threads must not run this.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autoal import Session
from autoal.cli import INTERRUPTED, WRONG
from autoal.cli import main as autoal
from tests.campaign.counted import Outcome
from tests.commands import COMMANDS, LASTS, is_sound, make_home

__all__ = ["stops"]

LINE = re.compile(r"^interrupted; what was finished is kept, and .+$")
OTHERWISE = re.compile(r"go on with (autoal .+)$")
LONGEST_S = 300.0
SERVES_S = 3.0
"""After which one that lasts is interrupted at the latest."""


class End(NamedTuple):
    code: int
    out: str
    error: str
    seconds: float


def call(arguments: list[str], folder: Path, after_s: float | None = None) -> End:
    """A command in a fork, without a terminal; with `after_s`, it and its children are interrupted then."""
    began = time.monotonic()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until the victim is ready for it
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        for stream, name in ((1, "out"), (2, "error")):
            os.dup2(os.open(folder / f".{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
        code = INTERRUPTED
        with contextlib.suppress(KeyboardInterrupt):  # before main, or after it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            code = autoal(arguments)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    sent, done, state = False, 0, 0
    while not done:
        done, state = os.waitpid(child, os.WNOHANG)
        spent = time.monotonic() - began
        if not done and after_s is not None and not sent and spent > after_s:
            sent = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGINT)
        if not done and spent > LONGEST_S + (after_s or 0.0):
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.002)
    out, error = ((folder / f".{name}").read_text(encoding="utf-8") for name in ("out", "error"))
    return End(os.waitstatus_to_exitcode(state), out, error, time.monotonic() - began)


def _session(folder: Path, name: str = "s") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = Session.open(folder / name)
    return session.labeled, session.pending, session.skipped


def _batch(path: Path) -> list[Any]:
    """The last three points: a batch that is written afterwards stands behind what was open before it."""
    return pd.read_csv(path).tail(3).drop(columns="rank").fillna("").to_numpy().tolist()


def _text(*names: str) -> Callable[[Path, End], Any]:
    return lambda folder, end: [(folder / name).read_bytes() for name in names]


def _trials(folder: Path, end: End) -> Any:
    table = pd.read_csv(folder / "new" / "trials.csv")
    return sorted(
        map(tuple, table.loc[table["state"] == "complete", ["gain", "components"]].round(9).to_numpy().tolist())
    )


RESULTS: dict[str, Callable[[Path, End], Any]] = {
    "compare": _text("new/journal.jsonl", "new/scores.csv"),
    "merge": _text("new/journal.jsonl", "new/scores.csv"),
    "report": _text("run/report.md", "run/scores.csv"),
    "report of a session": _text("s/labels.csv"),
    "query": lambda folder, end: (_session(folder), _batch(folder / "batch.csv")),
    "query to the output": lambda folder, end: _session(folder),
    "query anew": lambda folder, end: _session(folder, "new"),
    "tell": lambda folder, end: _session(folder),
    "undo": lambda folder, end: _session(folder),
    "predict": _text("predictions.csv"),
    "study": _trials,
    "doctor": lambda folder, end: end.code,
    "cryo pick": _text("new/grid.star", "new/picks.json"),
    "cryo windows": _text("new/windows.csv", "new/places.csv"),
}
"""What has to be the same in the end; the output, where nothing is said here."""


def stops(count: int, seed: int, place: Path) -> Outcome:
    """Each command in turn, `count` interrupts in all."""
    found, rng = Outcome.empty(), np.random.default_rng([seed, 7])
    home, here = place / "home", place / "here"
    home.mkdir()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        make_home(home)
    whole: dict[str, tuple[float, Any]] = {}
    for number in range(count):
        name = list(COMMANDS)[7 * number % len(COMMANDS)]
        result = RESULTS.get(name, lambda folder, end: end.out)
        if name not in whole and name not in LASTS:
            shutil.rmtree(here, ignore_errors=True)
            shutil.copytree(home, here)
            end = call(COMMANDS[name], here)
            if end.code:
                found.faults.append(f"{name} ends with {end.code}: {end.error[-300:]}")
                continue
            whole[name] = end.seconds, result(here, end)
        seconds, wanted = whole.get(name, (SERVES_S, None))
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(home, here)
        end = call(COMMANDS[name], here, float(rng.uniform(0.0, seconds)))
        for fault in _faults(name, end, here, lambda folder, end: result(folder, end) == wanted):  # noqa: B023
            found.faults.append(f"{name}, interrupt {number}: {fault}")
        kind = {0: "done before", INTERRUPTED: "interrupted"}.get(end.code, f"exit code {end.code}")
        found.counts[f"{kind}, all well" if not found.faults else kind] += 1
    return found


def _faults(name: str, end: End, here: Path, same: Callable[[Path, End], bool]) -> list[str]:
    if name == "serve" and end.code == WRONG:  # there is no Label Studio here
        return []
    if end.code not in (0, INTERRUPTED) or "Traceback" in end.error:
        return [f"exit code {end.code}: {end.error[-500:]}"]
    said = [line for line in end.error.splitlines() if line.startswith("interrupted")]
    faults = []
    if end.code == INTERRUPTED and name not in LASTS and end.error and (len(said) != 1 or not LINE.match(said[0])):
        faults.append(f"it says {end.error[-300:]!r}")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        if not is_sound(here):
            return [*faults, "a folder is not sound afterwards"]
    left = [path.name for path in here.rglob(".*") if path.suffix in (".tmp", ".new")]
    if left:
        faults.append(f"it leaves {left}")
    if name in LASTS:
        return faults
    if end.code == INTERRUPTED:
        otherwise = OTHERWISE.search(said[0]) if said else None
        if said and "takes back more" in said[0]:
            return faults if same(here, end) else [*faults, "it was not taken back"]
        end = call(shlex.split(otherwise[1])[1:] if otherwise else COMMANDS[name], here)
        if end.code:
            return [*faults, f"what it says to do ends with {end.code}: {end.error[-300:]}"]
    return faults if same(here, end) else [*faults, "another end than without an interrupt"]
