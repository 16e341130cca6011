"""Ray, where it is installed. The one place that imports it."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from autoal.errors import RunError

__all__ = ["ray_module"]


def ray_module(instead: str) -> ModuleType:
    """The package. Raises RunError, with what to do `instead`, where it is not installed."""
    # Ray counts its uses over the network unless told not to; a library should not start that for its user.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise RunError(
            "the engine 'ray' needs the package ray, which is not installed; install it with `pip install "
            f"'autoal[ray]'`, or {instead}"
        ) from error
