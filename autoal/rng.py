"""The only place where random generators are made.

Each is derived from a seed and a purpose, so adding a draw in one place moves nothing elsewhere, and whatever
else has drawn from a global generator changes nothing. Draw on the CPU, then move: same numbers on any device.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import secrets
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["derive_seed", "fresh_seed", "generator", "isolated", "numpy_rng", "random_state"]

Key = str | int


def derive_seed(seed: int, *purpose: Key) -> int:
    """A 63-bit seed that depends on `seed` and every part of `purpose`, equal in every process."""
    text = "\x1f".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: Key) -> torch.Generator:
    """A CPU generator of its own for each (seed, purpose)."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


def numpy_rng(seed: int, *purpose: Key) -> np.random.Generator:
    """A numpy generator of its own for each (seed, purpose)."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *purpose)))


def random_state(rng: torch.Generator) -> int:
    """A 31-bit seed drawn from `rng`, for the `random_state` of a scikit-learn estimator."""
    return int(torch.randint(0, 2**31 - 1, (), generator=rng))


def fresh_seed() -> int:
    """A seed nobody chose, for `random_state=None`."""
    return secrets.randbits(31)


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Runs code that can only draw from the global generators (a user's module: its initial weights, its
    dropout) as a function of `seed`, and puts the global generators back as they were."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
