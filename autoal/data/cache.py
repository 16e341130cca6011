"""Where downloads and decoded arrays are kept, and how an array gets there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cache_dir", "cached_array", "content_key"]


def cache_dir() -> Path:
    """`$AUTOAL_CACHE`, or the platform's folder for caches; not created here."""
    chosen = os.environ.get("AUTOAL_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "autoal"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData" / "Local"))) / "autoal" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoal"


def content_key(path: Path) -> str:
    """Hash of a file's bytes, so that a file replaced under the same name is never mistaken for the old one."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def cached_array(key: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The array `make()` gives, memory-mapped from the cache; made and stored on the first call.

    It is written beside its place and renamed, so a killed process or two at once leave no half file. Where the
    folder cannot be written to, the array is returned without being stored.
    """
    path = cache_dir() / "arrays" / f"{key}.npy"
    if path.is_file():
        return np.load(path, mmap_mode="r", allow_pickle=False)
    array = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, array, allow_pickle=False)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError:
        return array
    return np.load(path, mmap_mode="r", allow_pickle=False)
