"""What became of one call: an answer, one of our errors, or a fault."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning
from torch import Tensor

from autoal.errors import AutoALError, AutoALWarning

__all__ = ["Fault", "Hang", "Wrong", "called", "limited_memory", "short"]

SECONDS = 60
"""A call that takes longer hangs."""
LONGEST = 20_000
"""Characters of a message that somebody still reads the end of."""
GIGABYTES = 6
ALLOWED = (AutoALWarning, ConvergenceWarning, UndefinedMetricWarning, ResourceWarning)
PACKAGE = Path(__file__).parents[2]
EXPECTED = ("the audit sees no gain", "Got `batch_size`")
"""Beginnings of warnings that are meant for users, though they are of another class."""


class Hang(BaseException):
    """No Exception, so that nothing takes it for a refusal."""


class Wrong(Exception):
    """An answer that cannot be."""


@dataclass(frozen=True)
class Fault:
    """One call that did not end as it should."""

    kind: str
    """The same for the same fault: type, and where the traceback starts and ends."""
    said: str
    case: str
    """Seed and number."""
    given: str
    """What was passed, in short."""

    def __str__(self) -> str:
        return f"[{self.case}] {self.kind}\n    said:  {self.said}\n    given: {self.given}"


def called(
    function: Callable[[], Any], seconds: int = SECONDS
) -> tuple[Any, AutoALError | None, tuple[str, str] | None]:
    """The answer, our own error, and, of a fault, its kind and what it said."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        answer, refused, fault = None, None, None
        try:
            with _deadline(seconds):
                answer = function()
        except AutoALError as error:
            refused = error
            said = str(error)
            if len(said) > LONGEST:
                fault = f"message of more than {LONGEST} characters at {_ends(error)}", said
        except Wrong as error:
            fault = f"wrong answer: {str(error).partition(':')[0]}", str(error)
        except (Exception, Hang) as error:
            fault = f"{type(error).__name__} at {_ends(error)}", _said(error)
    for warning in seen:
        of_a_model = (
            issubclass(warning.category, RuntimeWarning | UserWarning) and f"{PACKAGE}/autoal/" not in warning.filename
        )
        if fault is None and not of_a_model and not issubclass(warning.category, ALLOWED):
            said = str(warning.message)
            if not said.startswith(EXPECTED):
                where = f"{_inside(warning.filename)}:{warning.lineno}"
                fault = f"{warning.category.__name__} at {where}", said
    return answer, refused, None if fault is None else (fault[0], fault[1][:400])


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:
        return f"(str() of it fails: {another!r})"


def _inside(name: str) -> str:
    path = name.replace(str(PACKAGE) + "/", "")
    return path if path.startswith(("autoal", "tests")) else "/".join(Path(name).parts[-2:])


def _ends(error: BaseException) -> str:
    """The deepest of our own frames, and the deepest of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/autoal/" in frame.filename and "site-packages" not in frame.filename]
    if not frames:
        return "?"
    last = frames[-1]
    if not ours:
        return f"{_inside(last.filename)}:{last.lineno} {last.name}"
    own = ours[-1]
    at = f"{_inside(own.filename)}:{own.lineno} {own.name}"
    return at if own is last else f"{at} > {Path(last.filename).name}:{last.name}"


@contextlib.contextmanager
def _deadline(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: types.FrameType | None) -> None:
        raise Hang(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def limited_memory(gigabytes: int = GIGABYTES) -> Iterator[None]:
    """A few gigabytes more than there are now; whoever wants them all gets a MemoryError, which is a fault."""
    if not sys.platform.startswith("linux"):
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + gigabytes * 2**30, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def short(value: Any, most: int = 160) -> str:
    """A description that never fails, and says type, shape and first values."""
    kind = type(value).__name__
    if isinstance(value, Mapping) and len(value) <= 12 and most > 40:
        inside = ", ".join(f"{short(key, 40)}: {short(part, 60)}" for key, part in value.items())
        return f"{'' if kind == 'dict' else kind}{{{inside}}}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**40:
        return f"{kind} of {value.bit_length()} bits"
    if isinstance(value, np.ndarray | Tensor | pd.DataFrame | pd.Series) or hasattr(value, "dtype"):
        shape = tuple(getattr(value, "shape", ()))
        return _cut(f"{kind} {shape} {getattr(value, 'dtype', '')} {_listed(value, most)}", most + 60)
    if isinstance(value, list | tuple) and most > 40:
        return _cut(f"{kind}({len(value)}) {_listed(value, most)}", most + 60)
    try:
        return _cut(repr(value), most)
    except (Exception, RecursionError) as error:
        return f"{kind} whose repr fails ({type(error).__name__})"


def _listed(value: Any, most: int) -> str:
    try:
        values = value.tolist() if hasattr(value, "tolist") else list(value)
        if not isinstance(values, list):
            return short(values, 40)
        shown = [short(part, 40) for part in values[:12]]
        return "[" + ", ".join(shown) + (", ..." if len(values) > 12 else "") + "]"
    except (Exception, RecursionError):
        return ""


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[:most]}... ({len(words)} characters)"


def plain_json(value: Any, what: str) -> None:
    """Raises Wrong where JSON cannot hold the value."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Wrong(f"{what} is not JSON: {error}") from error
