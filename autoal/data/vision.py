"""Image sets of torchvision as arrays, train rows first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from autoal.data.cache import cache_dir
from autoal.data.labeled_data import LabeledData
from autoal.errors import DataMissing

__all__ = ["VisionSet"]


@dataclass(frozen=True)
class VisionSet:
    """How torchvision calls one data set: the class, and the arguments of its train and test parts."""

    dataset: str
    train: Mapping[str, Any] = field(default_factory=lambda: {"train": True})
    test: Mapping[str, Any] | None = field(default_factory=lambda: {"train": False})

    def load(self, name: str, download: bool) -> LabeledData:
        """The whole set; the test part, where there is one, comes last. Raises DataMissing where it is not on disk."""
        parts = [
            self._part(name, arguments, download) for arguments in (self.train, self.test) if arguments is not None
        ]
        images = [_images(part) for part in parts]
        y = np.concatenate([_labels(part) for part in parts]).astype(np.int64)
        names = getattr(parts[0], "classes", None) or [str(number) for number in range(int(y.max()) + 1)]
        test = None if self.test is None else np.arange(len(images[0]), len(y))
        return LabeledData(name, np.concatenate(images), y, np.asarray(names), test)

    def _part(self, name: str, arguments: Mapping[str, Any], download: bool) -> Any:
        import torchvision.datasets as sets

        root = cache_dir() / "torchvision"
        root.mkdir(parents=True, exist_ok=True)
        try:
            return getattr(sets, self.dataset)(root=str(root), download=download, **arguments)
        except (RuntimeError, OSError) as error:
            if download:
                raise DataMissing(
                    f"{name} could not be downloaded to {root} ({error}); try again, or put it there"
                ) from error
            raise DataMissing(
                f"{name} is not in {root}; call load_dataset({name!r}, download=True), or "
                "set AUTOAL_CACHE to where it is"
            ) from error


def _images(part: Any) -> NDArray[np.uint8]:
    """(n, h, w) or (n, h, w, 3) uint8."""
    if not hasattr(part, "data"):  # a folder of pictures (EuroSAT)
        return np.stack([np.asarray(picture.convert("RGB")) for picture, _ in part])
    data = part.data.numpy() if isinstance(part.data, Tensor) else np.asarray(part.data)
    return np.moveaxis(data, 1, 3) if data.ndim == 4 and data.shape[1] == 3 else data


def _labels(part: Any) -> NDArray[Any]:
    return np.asarray(part.targets if hasattr(part, "targets") else part.labels)
