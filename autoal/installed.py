"""Versions of what is installed, without importing it."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable

__all__ = ["PACKAGES", "versions"]

PACKAGES = ("autoal", "torch", "numpy", "scipy", "scikit-learn", "higher")
"""Those that numbers depend on."""


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Version of Python and of each package that is installed."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
