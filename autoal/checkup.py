"""`autoal doctor`: what is wrong with a folder of ours and what can be saved, or what this machine has."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from autoal.errors import DataMissing
from autoal.installed import versions
from autoal.memory import available_bytes, peak_bytes
from autoal.terminal import Console

__all__ = ["check_folder", "check_machine", "show_memory"]

PACKAGES = ("autoal", "torch", "torchvision", "higher", "numpy", "scipy", "scikit-learn", "optuna", "pandas")


def check_machine(device: str | None, seed: int) -> None:
    """Prints the device, where the data are, and versions. torch takes seconds to load: it is tried where there is a
    GPU to try it on, or where `device` asks for it.

    Raises DeviceUnavailable where `device` is not there, InvalidInput where it is none.
    """
    console = Console(highlight=False, soft_wrap=True)
    if device is None and cuda_devices() == 0:
        console.print(f"device: cpu ({os.cpu_count()} cores), no CUDA GPU found; --device cpu tries torch on it")
    else:
        console.print(f"device: {escape(_tried(device or 'auto', seed))}")
    folder = os.environ.get("AUTOAL_DATA")
    if not folder:
        console.print("data: AUTOAL_DATA is not set: only the bundled sets are there")
    else:
        there = "" if Path(folder).is_dir() else ", which AUTOAL_DATA names and which is not there"
        console.print(f"data: {escape(folder)}{there}")
    console.print("versions: " + ", ".join(f"{k} {v}" for k, v in versions(PACKAGES).items()))


def _tried(device: str, seed: int) -> str:
    import torch

    from autoal.compute import resolve_device
    from autoal.rng import generator

    chosen = resolve_device(device)
    x = torch.randn(256, 256, generator=generator(seed, "doctor"))
    error = float(((x.to(chosen) @ x.to(chosen)).cpu().double() - x.double() @ x.double()).abs().max())
    works = "works" if error < 1.0 else f"gives wrong products (off by {error:.2g})"
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{os.cpu_count()} cores"
    without = "" if chosen.type == "cuda" or cuda_devices() == 0 else "; there is a GPU that torch does not use"
    return f"{chosen} ({name}); {works}; torch uses {torch.get_num_threads()} thread(s){without}"


def cuda_devices() -> int:
    """GPUs that the driver of NVIDIA sees, asked without torch; 0 where there is no driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else count.value


def show_memory(parts: Mapping[str, float], title: str) -> None:
    """Prints the table of `parts`, in bytes, and whether they fit."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("MiB", justify="right")
    for what, size in parts.items():
        table.add_row(what, f"{size / 2**20:,.1f}")
    total, loaded = sum(parts.values()), "torch" in sys.modules
    if loaded:
        total += peak_bytes()
        table.add_row("this program", f"{peak_bytes() / 2**20:,.1f}")
    table.add_row("together, at most" if loaded else "together, at most, beside the program", f"{total / 2**20:,.1f}")
    console = Console(highlight=False)
    console.print(table)
    available = available_bytes()
    if available is not None:
        fits = "fits" if total < available else "does not fit: use a narrower embedding or a part of the pool"
        console.print(f"memory available: {available / 2**30:.1f} GiB; this {fits}")


def check_folder(folder: Path, keep: bool) -> bool:
    """Prints what is wrong with the session, run or study in `folder`; with `keep`, goes on from what can be saved.
    Gives whether all is well.

    Raises DataMissing where there is none of these.
    """
    from autoal.session.folder import is_session

    if not folder.is_dir():
        raise DataMissing(f"{folder} is not a folder; wanted that of a session, a run or a study")
    said: list[str] = []
    if is_session(folder) or not (folder / "manifest.json").exists() or _looks_like_session(folder):
        from autoal.session.doctor import check_session, keep_session

        found = check_session(folder)
        if keep and found.wrong:
            said = keep_session(folder)
        fine, wrong, advice = found
    else:
        from autoal.experiment.doctor import check_run, set_aside
        from autoal.study.doctor import check_log

        run = check_run(folder)
        check_log(folder, run)
        if keep:
            said = set_aside(run)
        fine, wrong, advice, _ = run
    console = Console(highlight=False, soft_wrap=True)
    for line in fine:
        console.print(escape(f"ok: {line}"))
    for line in wrong:
        console.print(f"[red]wrong:[/] {escape(line)}")
    for line in said or advice:
        console.print(escape(line))
    return not wrong or bool(said)


def _looks_like_session(folder: Path) -> bool:
    return (folder / "checkpoints").is_dir() and not (folder / "cells").exists()
