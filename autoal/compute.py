"""The one place that chooses devices and the one that knows chunk sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from autoal.errors import DeviceUnavailable, InvalidInput, shown
from autoal.memory import CHUNK_BYTES, peak_bytes

__all__ = [
    "CHUNK_BYTES",
    "chunks",
    "full_precision_matmul",
    "peak_bytes",
    "resolve_device",
    "single_threaded",
    "steady",
]


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """`"auto"` is CUDA where there is one, else the CPU; a device asked for by name must be there.

    Raises DeviceUnavailable where it is not, InvalidInput where the name means nothing.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"got device={shown(device)}; wanted 'auto', 'cpu', 'cuda' or 'cuda:0'") from error
    if chosen.type == "cuda" and (not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()):
        raise DeviceUnavailable(
            f"got device={str(device)!r}, but torch sees {torch.cuda.device_count()} CUDA device(s); "
            "use device='auto' or 'cpu', or install a CUDA build of torch"
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceUnavailable("got device='mps', but torch sees none; use device='auto' or 'cpu'")
    if chosen.type not in ("cpu", "cuda", "mps"):
        try:
            torch.ones(1, device=chosen).item()
        except (RuntimeError, NotImplementedError, AssertionError, ImportError) as error:
            raise DeviceUnavailable(
                f"got device={str(device)!r}, on which torch cannot compute here ({error}); use device='auto' or 'cpu'"
            ) from error
    return chosen


def chunks(n: int, bytes_per_row: float, budget: int | None = None) -> Iterator[slice]:
    """Slices that cover `range(n)`, each so short that a temporary of `bytes_per_row` per row fits the budget."""
    step = max(1, int((budget or CHUNK_BYTES) // max(1.0, bytes_per_row)))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """One torch thread: on arrays of a few thousand numbers threads wait for each other longer than they work, and
    the sums do not depend on how many cores a machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


LARGE_MODULE = 1_000_000
"""Weights from which on a network is worth several threads of a CPU, though the last bits then depend on how many."""


def steady(module: torch.nn.Module, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """One thread for a network of up to LARGE_MODULE weights on a CPU, so that its numbers are the same whatever the
    number of cores; all threads for a larger one."""
    small = sum(weight.numel() for weight in module.parameters()) <= LARGE_MODULE
    return single_threaded() if small and device.type == "cpu" else contextlib.nullcontext()


@contextlib.contextmanager
def full_precision_matmul() -> Iterator[None]:
    """TF32 off: |x|^2 + |y|^2 - 2xy means nothing for near neighbours in TF32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
