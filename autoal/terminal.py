"""What the command line prints on, whoever reads it: a terminal, a file, or a program that stops reading."""

from __future__ import annotations

import contextlib
import os
import sys

import rich.console

__all__ = ["INTERRUPTED", "STOPPED", "Console", "flush_output", "prepare_output", "write_out"]

INTERRUPTED = 130
STOPPED = "interrupted; what was finished is kept, and the same command goes on from there"


class Console(rich.console.Console):
    """A console that does not end the program where its reader has gone, as `| head` does: what is computed and written
    into files is worth finishing."""

    def on_broken_pipe(self) -> None:
        silence(sys.stderr if self.stderr else sys.stdout)


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
