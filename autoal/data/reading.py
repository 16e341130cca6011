"""Files of numbers that others may have made, or a disk may have changed: what they claim is checked against what there
is before memory is asked for, and whatever is wrong with them is an InvalidInput that names the file."""

from __future__ import annotations

import contextlib
import io
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoal.errors import AutoALError, DataMissing, InvalidInput, shown

__all__ = ["check_archive", "map_array", "read_archive_arrays", "read_array", "read_parquet", "reading"]


@contextlib.contextmanager
def reading(path: Path, what: str, remedy: str = "") -> Iterator[None]:
    """Makes an InvalidInput, naming `path` and `what` was wanted, of whatever is raised within: the libraries that read
    files raise what the bytes lead them to. What is ours stays as it is, and so does memory that ran out."""
    try:
        yield
    except (AutoALError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataMissing(f"{str(path)!r} is not there; check the path") from error
    except Exception as error:
        said = shown(str(error) or type(error).__name__).strip("\"'")
        raise InvalidInput(f"{str(path)!r} cannot be read as {what} ({said}){remedy and '; ' + remedy}") from error


def map_array(path: Path) -> NDArray[Any]:
    """The array of a `.npy` file, mapped."""
    with reading(path, "an array of numbers", "save it with numpy.save"):
        with open(path, "rb") as file:
            _check_header(file, os.fstat(file.fileno()).st_size, str(path))
        return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))


def read_array(content: bytes, path: Path) -> NDArray[Any]:
    """The array in the bytes of a `.npy` file."""
    with reading(path, "an array of numbers"):
        _check_header(io.BytesIO(content), len(content), str(path))
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))


def check_archive(path: Path) -> list[str]:
    """The names of the arrays in a `.npz` archive, once each is as long as it claims, and all together fit into the
    memory that there is."""
    with reading(path, "an archive of plain arrays", "save it with numpy.savez"), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        names = [member.filename.removesuffix(".npy") for member in members]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInput(f"{str(path)!r} holds more than one array {shown(twice)}; wanted each once")
        total = sum(member.file_size for member in members)
        there = memory_there()
        if there is not None and total > there:
            raise InvalidInput(
                f"{str(path)!r} of {os.path.getsize(path):,} bytes holds arrays of {total:,} bytes, and memory has "
                f"{there:,}; wanted less: save the large array as .npy, which is read piece by piece"
            )
        for member in members:
            with archive.open(member) as file:
                _check_header(file, member.file_size, f"{path}, {member.filename}")
        return names


def read_archive_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a `.npz` archive, by name."""
    names = check_archive(path)
    with reading(path, "an archive of plain arrays"), np.load(path, allow_pickle=False) as stored:
        return {name: np.asarray(stored[name]) for name in names}


def read_parquet(path: Path) -> pd.DataFrame:
    """The frame of a `.parquet` file; pages that carry a checksum are compared with it."""
    with reading(path, "a table"):
        return pd.read_parquet(path, page_checksum_verification=True)


def memory_there() -> int | None:
    """Bytes of memory that are free; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _check_header(file: IO[bytes], size: int, where: str) -> None:
    """Raises ValueError where an array claims to be of another size than the `size` bytes that are there."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read; wanted plain numbers or text")
    if any(length < 0 for length in shape):
        raise ValueError(f"its header claims the shape {shown(shape)}")
    wanted, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if wanted != there:
        raise ValueError(
            f"its header claims {shown(shape)} values of {dtype}, which take {wanted:,} bytes, and {there:,} are there"
        )
