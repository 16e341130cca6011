"""Files that are damaged, or claim what they do not hold, are refused in our words before memory is asked for."""

from __future__ import annotations

import io
import os
import resource
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal.data.archive import read_archive
from autoal.data.reading import map_array, memory_there
from autoal.data.sources import Pictures, read_rows
from autoal.errors import AutoALError, DataMissing, InvalidInput
from autoal.experiment.config import read_config
from autoal.experiment.runner import config_of_manifest

X = np.random.default_rng(0).normal(size=(60, 4)).astype("f4")
Y = np.arange(60) % 3


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    text = str({"descr": kind, "fortran_order": False, "shape": shape})
    text += " " * (63 - len(text) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def npz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


ARRAYS = {
    "empty": b"",
    "cut": npy(X)[:-100],
    "cut in the header": npy(X)[:20],
    "claims 10^12 rows": header((10**12, 4)) + b"0" * 64,
    "claims more than a file can be": header((10**18, 10**18)) + b"0" * 64,
    "claims less than nothing": header((-5, 4)) + b"0" * 64,
    "longer than it says": npy(X) + b"0",
    "objects": header((60, 4), "|O") + b"0" * 480,
    "a pickle": b"\x80\x04}.",
    "noise": b"\x00\xff" * 200,
    "no dtype": header((60, 4), "<q9") + b"0" * 480,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.npy").write_bytes(ARRAYS[name])
    with pytest.raises(InvalidInput, match=r"a\.npy' cannot be read as an array of numbers"):
        map_array(tmp_path / "a.npy")
    with pytest.raises(DataMissing, match="check the path"):
        map_array(tmp_path / "b.npy")


GOOD = npz(X=npy(X), y=npy(Y))
ARCHIVES = {
    "empty": b"",
    "cut": GOOD[:-50],
    "cut in the middle": GOOD[: len(GOOD) // 2],
    "claims 10^12 rows": npz(X=header((10**12, 4)) + b"0" * 64, y=npy(Y)),
    "claims what only packing allows": npz(X=header((60, 10**7)) + b"\0" * (60 * 10**6), y=npy(Y)),
    "no array inside": npz(X=b"hello", y=npy(Y)),
    "labels of two axes": npz(X=npy(X), y=npy(X)),
    "a category of 10^9": npz(X=npy(np.c_[X, np.full(60, 1e9, "f4")]), y=npy(Y), categorical=npy([0, 0, 0, 0, 1])),
    "a category of infinity": npz(X=npy(np.c_[X, np.full(60, np.inf)]), y=npy(Y), categorical=npy([0, 0, 0, 0, 1])),
    "too few marks of categories": npz(X=npy(X), y=npy(Y), categorical=npy([0, 0])),
    "too short a split": npz(X=npy(X), y=npy(Y), split=npy([0, 1])),
    "labels without a class": npz(X=npy(X), y=npy(Y + 100), classes=npy(["a"])),
    "one axis": npz(X=npy(X[:, 0]), y=npy(Y)),
    "no pictures": npz(jpeg=npy(np.zeros(100, np.uint8)), offsets=npy(np.arange(61)), y=npy(Y)),
    "offsets beyond the end": npz(utf8=npy(np.zeros(100, np.uint8)), offsets=npy(np.arange(61) * 10**9), y=npy(Y)),
    "texts without a word": npz(utf8=npy(np.zeros(100, np.uint8)), offsets=npy(np.arange(61)), y=npy(Y)),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAL_CACHE", str(tmp_path))
    (tmp_path / "a.npz").write_bytes(ARCHIVES[name])
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match=r"a\.npz"):
            read_archive(tmp_path / "a.npz", "a")
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()


def test_an_archive_that_unpacks_to_more_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = memory_there()
    assert there is not None and there > 2**20
    (tmp_path / "a.npz").write_bytes(npz(X=npy(np.zeros((1000, 1000))), y=npy(np.arange(1000) % 2)))
    assert len(read_archive(tmp_path / "a.npz", "a").X) == 1000
    monkeypatch.setattr("autoal.data.reading.memory_there", lambda: 2**20)
    with pytest.raises(InvalidInput, match=r"and memory has 1,048,576.*save the large array as .npy"):
        read_archive(tmp_path / "a.npz", "a")


def test_every_flipped_byte_of_an_archive_is_found_or_changes_nothing(tmp_path: Path) -> None:
    found = 0
    for place in range(0, len(GOOD), 11):
        (tmp_path / "a.npz").write_bytes(flip(GOOD, place))
        try:
            data = read_archive(tmp_path / "a.npz", "a")
        except AutoALError:
            found += 1
        else:
            np.testing.assert_array_equal(data.X, X)
            np.testing.assert_array_equal(data.y, Y)
    assert found > len(GOOD) / 11 / 2


def test_tables(tmp_path: Path) -> None:
    pd.DataFrame(X, columns=list("abcd")).to_parquet(tmp_path / "good.parquet")
    good = (tmp_path / "good.parquet").read_bytes()
    cases = [b"", good[:-50], good[: len(good) // 2], b"\x00\xff" * 200]
    cases += [flip(good, place) for place in range(4, len(good), 97)]
    for content in cases:
        (tmp_path / "a.parquet").write_bytes(content)
        try:
            read_rows(tmp_path / "a.parquet")
        except InvalidInput as error:
            assert "a.parquet" in str(error)
    for content in (
        b"a,b\r1,2\r",
        b"a,b\n1,\0\n",
        "a,b\né,1".encode("latin-1"),
        b"a,b\n1,2,3\n1\n",
        b'a\n"1\n',
        b"\xff\xfe",
    ):
        (tmp_path / "a.csv").write_bytes(content)
        try:
            read_rows(tmp_path / "a.csv")
        except InvalidInput as error:
            assert "a.csv" in str(error)


def test_pictures(tmp_path: Path) -> None:
    for content in (b"", b"\x89PNG\r\n\x1a\n", os.urandom(300)):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(InvalidInput, match=r"a\.png' cannot be read as a picture"):
            Pictures(tmp_path).pixels()
    file = io.BytesIO()
    Image.new("1", (15000, 15000)).save(file, "PNG")  # 28 kilobytes of file, 675 MB of pixels
    (tmp_path / "a.png").write_bytes(file.getvalue())
    with pytest.raises(InvalidInput, match=r"a\.png.*remove or convert it"):
        Pictures(tmp_path).pixels()


CONFIGS = {
    "latin": 'name = "é"'.encode("latin-1"),
    "10^9 seeds": b'name="a"\ndatasets=["iris"]\nselectors=["random"]\nseeds=1000000000\n',
    "10^12 rounds": b'name="a"\ndatasets=["iris"]\nselectors=["random"]\nrounds=1000000000000\n',
    "nested deep": b"a=" + b"[" * 100_000,
    "5,000 digits": b"name='a'\nseeds=" + b"1" * 5000,
    "a step below 0": b'name="a"\ndatasets=["iris"]\nselectors=["autoal","random"]\n'
    b"[study]\ntrials=3\n[study.space]\nlr={low=1,high=2,step=-1}\n",
    "an endless range": b'name="a"\ndatasets=["iris"]\nselectors=["autoal","random"]\n'
    b"[study]\ntrials=3\n[study.space]\nlr={low=1,high=inf}\n",
    "a name that leads up": b'name=".."\ndatasets=["iris"]\nselectors=["random"]',
    "no text": b"\x00\xff\x00",
    "empty": b"",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(tmp_path: Path, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "a.toml").write_bytes(CONFIGS[name])
    with pytest.raises(AutoALError, match=r"a\.toml"):
        read_config(tmp_path / "a.toml")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19  # kilobytes
    with pytest.raises(AutoALError):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "content", [b"[", b"[" * 100_000, b"{}", b'{"config":5,"data":{}}', b"\xff", b'{"config":1,"config":2}']
)
def test_manifests(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(AutoALError, match=r"manifest\.json"):
        config_of_manifest(tmp_path / "manifest.json")
