"""Who chooses the next batch meanwhile: a process, or a thread where the model lives in this one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from autoal.labeling.choosing import Event, choose
from autoal.session import Session

__all__ = ["Chooser", "InProcess", "InThread", "Standing"]


class Standing:
    """What is known of the choosing; written by one thread, read by others."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.since: float | None = None
        """When it began to choose; None while nothing is being chosen."""
        self.usual: float | None = None
        """Seconds that the latest batch took."""
        self.failed: str | None = None
        self._warn = warn

    def take(self, event: Event) -> None:
        kind = event["event"]
        if kind == "looking":
            self.since, self.failed = time.monotonic(), None
        elif kind == "chosen":
            self.since, self.usual = None, event["seconds"]
        elif kind == "warning":
            self._warn(event["message"])
        elif kind == "failed":
            self.since, self.failed = None, event["message"]
        elif kind == "done":
            self.since = None


class Chooser(Protocol):
    standing: Standing

    def check(self) -> None:
        """Looks whether a batch is due, and chooses it. Returns at once."""

    def close(self) -> None: ...


class InProcess:
    """A process of its own, which ends with this one, however this one ends."""

    def __init__(self, folder: Path, batch_size: int, model: str | None, warn: Callable[[str], None]) -> None:
        self.standing = Standing(warn)
        self._command = [sys.executable, "-m", "autoal.labeling.choosing", str(folder), "--batch-size", str(batch_size)]
        self._command += [] if model is None else ["--model", model]
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def check(self) -> None:
        with self._lock:
            if self._closed:
                return
            if self._process is None or self._process.poll() is not None:
                self._start()
            assert self._process is not None and self._process.stdin is not None
            with contextlib.suppress(OSError):  # it has just ended; whoever reads its output says so
                self._process.stdin.write("look\n")
                self._process.stdin.flush()

    def _start(self) -> None:
        home = str(Path(__file__).parents[2])  # as this process found the package, so shall that one
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the page; this ends with its input
        )
        threading.Thread(target=self._follow, args=(self._process,), daemon=True).start()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.standing.take(json.loads(line))
        code = process.wait()
        if code and not self._closed:
            self.standing.take({"event": "failed", "message": f"the process that trains has ended (exit code {code})"})

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()  # what it writes is whole or absent
                self._process.wait()


class InThread:
    """A thread of this process, for a model or an encoder that is an object here and nowhere else. Python lets one
    thread run at a time, so the page may answer late while it trains."""

    def __init__(self, session: Session, batch_size: int, warn: Callable[[str], None]) -> None:
        self.standing = Standing(warn)
        self._woken, self._closed = threading.Event(), False

        def work() -> None:
            while True:
                self._woken.wait()
                self._woken.clear()
                if self._closed:
                    return
                choose(session, batch_size, self.standing.take)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def check(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        self._woken.set()
