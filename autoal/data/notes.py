"""Sentences on what was inferred: some are worth a warning, some are what the documentation promises anyhow."""

from __future__ import annotations

__all__ = ["Quiet"]


class Quiet(str):
    """A sentence for `Query.diagnostics["read_as"]` alone; any other text is also a warning, once."""

    __slots__ = ()
