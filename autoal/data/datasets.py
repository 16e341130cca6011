"""Data sets by name or path."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoal.data.archive import archives, read_archive
from autoal.data.files import read_image_folder, read_table
from autoal.data.labeled_data import LabeledData
from autoal.data.vision import VisionSet
from autoal.errors import DataMissing, InvalidInput, UnknownName

__all__ = ["DATASETS", "dataset_names", "load_dataset"]


def _bundled(function: str, name: str, download: bool) -> LabeledData:
    """A set that comes with scikit-learn."""
    from sklearn import datasets

    bunch: Any = getattr(datasets, function)()
    return LabeledData(
        name, bunch.data.astype(np.float32), bunch.target.astype(np.int64), np.asarray(bunch.target_names)
    )


_HALVES: dict[str, Any] = {"train": {"split": "train"}, "test": {"split": "test"}}

DATASETS: dict[str, Callable[[str, bool], LabeledData]] = {
    "digits": partial(_bundled, "load_digits"),
    "iris": partial(_bundled, "load_iris"),
    "wine": partial(_bundled, "load_wine"),
    "breast_cancer": partial(_bundled, "load_breast_cancer"),
    "torchvision/cifar10": VisionSet("CIFAR10").load,
    "torchvision/cifar100": VisionSet("CIFAR100").load,
    "torchvision/mnist": VisionSet("MNIST").load,
    "torchvision/fashion_mnist": VisionSet("FashionMNIST").load,
    "torchvision/kmnist": VisionSet("KMNIST").load,
    "torchvision/emnist": VisionSet(
        "EMNIST", {"split": "balanced", "train": True}, {"split": "balanced", "train": False}
    ).load,
    "torchvision/svhn": VisionSet("SVHN", **_HALVES).load,
    "torchvision/stl10": VisionSet("STL10", **_HALVES).load,
    "torchvision/eurosat": VisionSet("EuroSAT", {}, None).load,
}
"""Sets that need no file of the user's: name -> loader(name, download). A new one is one line."""


def dataset_names() -> list[str]:
    """Every name `load_dataset` knows here: the table, and what is in the folder `$AUTOAL_DATA`."""
    return [*DATASETS, *archives()]


def load_dataset(
    name: str | Path,
    download: bool = False,
    *,
    label: str | None = None,
    size: int = 32,
    encoder: str | None = None,
) -> LabeledData:
    """A data set with its labels, by name or by path.

    Names are those of `dataset_names()`; the folder of a set in `$AUTOAL_DATA` may be left out where that is
    unambiguous (`letter` for `classification/letter`). Paths are an `.npz` file with X and y, a `.csv`, `.tsv`
    or `.parquet` file (`label` names the column of labels), or a folder with one subfolder of images per class
    (resized to `size`). Texts become TF-IDF reduced to 256 columns, or what `encoder` makes of them, the name of a
    model of the package sentence-transformers. Nothing is fetched from the network unless `download` is true.

    Raises UnknownName, DataMissing where data is known but not on disk, InvalidInput where it cannot be read.

    >>> load_dataset("iris").X.shape
    (150, 4)
    """
    text = str(name)
    if text in DATASETS:
        return DATASETS[text](text, download)
    found = archives()
    matches = [text] if text in found else [known for known in found if known.split("/")[1] == text]
    if len(matches) > 1:
        raise InvalidInput(f"{text!r} is the name of {len(matches)} data sets; choose one of: {', '.join(matches)}")
    if matches:
        return read_archive(found[matches[0]], matches[0], encoder)
    path = Path(name).expanduser()
    if path.is_dir():
        return read_image_folder(path, size)
    if path.suffix not in (".npz", ".csv", ".tsv", ".parquet"):
        if isinstance(name, Path) or path.is_file():
            raise InvalidInput(
                f"got {text!r}; wanted an .npz, .csv, .tsv or .parquet file, or a folder of images by class"
            )
        unset = "" if os.environ.get("AUTOAL_DATA") else (
            "AUTOAL_DATA is not set: it names the folder of further data sets, and without it only those of the "
            "package are known, and files by their path"
        )  # fmt: skip
        raise UnknownName("data set", text, {*dataset_names(), *(known.split("/")[1] for known in found)}, unset)
    if not path.is_file():
        raise DataMissing(f"{text!r} is not a file; check the path")
    return read_archive(path, path.stem, encoder) if path.suffix == ".npz" else read_table(path, label)
