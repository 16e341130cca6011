"""Memory: what a process has taken, what a machine has, and what a pool would take. Loads nothing heavy."""

from __future__ import annotations

import os
import resource
import sys

__all__ = ["CHUNK_BYTES", "available_bytes", "memory_estimate", "peak_bytes"]

CHUNK_BYTES = 128 * 2**20
"""Default size of one temporary array, in bytes. Results do not depend on it."""


def peak_bytes() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def available_bytes() -> int | None:
    """Memory that is free now, in bytes; None where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def memory_estimate(n: int, dim: int, classes: int, b: int, samples: int) -> dict[str, float]:
    """Bytes of what a round keeps at once; inputs are read in chunks and not counted."""
    return {
        "log probabilities (N, C)": 4.0 * n * classes,
        "embeddings (N, D)": 4.0 * n * dim,
        "posterior samples (N, K, C)": 4.0 * n * samples * classes,
        "scores and proposals of 10 candidates": 10 * (8.0 * n + 8.0 * b),
        "factored gradients (N, C + D)": 4.0 * n * (classes + dim),
        "temporary arrays, two chunks": 2.0 * CHUNK_BYTES,
    }
