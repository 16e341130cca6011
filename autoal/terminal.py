"""What the command line prints on, whoever reads it: a terminal, a file, or a program that stops reading."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

import rich.console

__all__ = [
    "INTERRUPTED",
    "Console",
    "flush_output",
    "go_on_with",
    "interrupts_heeded",
    "kept",
    "prepare_output",
    "write_out",
]

INTERRUPTED = 130
SAME = "the same command goes on from there"
_how = SAME
"""How to go on once the command that runs was stopped."""


def go_on_with(how: str = SAME) -> None:
    """From now on, who stops this command is told so: where the same command would do something else by then, as ask
    for another batch."""
    global _how
    _how = how


def kept() -> str:
    """What somebody is told whose command was stopped, by an interrupt or a full disk."""
    return f"what was finished is kept, and {_how}"


class Console(rich.console.Console):
    """A console that does not end the program where its reader has gone, as `| head` does: what is computed and written
    into files is worth finishing."""

    def on_broken_pipe(self) -> None:
        silence(sys.stderr if self.stderr else sys.stdout)


@contextlib.contextmanager
def interrupts_heeded() -> Iterator[None]:
    """Within, an interrupt that comes while Python cleans up after an object, where it would print a traceback and go
    on, comes again a moment later."""

    def heeded(what: sys.UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            again = threading.Timer(0.01, _interrupt)
            again.daemon = True
            waiting.append(again)
            again.start()
        else:
            before(what)

    waiting: list[threading.Timer] = []
    before, sys.unraisablehook = sys.unraisablehook, heeded
    try:
        yield
    finally:
        sys.unraisablehook = before
        for again in waiting:  # what was to be interrupted has ended
            again.cancel()


def _interrupt() -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:  # also ends a wait, as the other does not
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def silence(stream: object) -> None:
    """From now on, whatever is written there goes nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[attr-defined]
        os.close(nowhere)


def prepare_output() -> None:
    """Lets every character be printed: where the terminal lacks one (LANG=C), by its number."""
    for stream in (sys.stdout, sys.stderr):
        encoding = str(getattr(stream, "encoding", None) or "").lower().replace("-", "")
        if encoding != "utf8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def write_out(text: str) -> None:
    """Text for the standard output as it is, a table for another program."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)


def flush_output() -> None:
    """Writes out what is left, for a reader who may have gone: Python would complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            silence(stream)
        except (OSError, ValueError):  # a full disk behind `> file`: said by whoever wrote; a closed stream
            silence(stream)
