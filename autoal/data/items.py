"""Rows of a map-style torch Dataset, read item by item when they are needed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoal import rng
from autoal.data.arrays import CHANNELS, Index, fingerprint, row_selector
from autoal.errors import InvalidInput

__all__ = ["DatasetRows"]


class DatasetRows:
    """Rows of a Dataset whose items are x or (x, ...); everything after x is ignored.

    A tensor is taken as it is (uint8 tensors of three axes in [0, 1]), an image as (c, h, w) in [0, 1], an ndarray
    image with channels last as (c, h, w). Where reading item 0 draws from a global generator (a random crop), each
    item gets the same draw every time it is read, so outputs do not depend on the order of reading; better put
    augmentation into training.

    Items are read when needed and checked then: InvalidInput names a row that holds NaN, has another shape than
    row 0, or is no array at all.
    """

    reads_lazily = True
    always_finite = True  # checked on reading; a pass over all items beforehand may take hours

    def __init__(self, dataset: Any, what: str = "X") -> None:
        try:
            self._length = len(dataset)
        except TypeError as error:
            raise InvalidInput(
                f"got {what} of type {type(dataset).__name__}, which has no length; wanted a map-style Dataset "
                "(__len__ and __getitem__), not an iterable one"
            ) from error
        if self._length == 0:
            raise InvalidInput(f"got an empty {type(dataset).__name__} as {what}; wanted at least one item")
        self.dataset, self.what = dataset, what
        with rng.isolated(0):
            before = _global_states()
            dataset[0]
            self._draws = _global_states() != before
        self._row_shape = tuple(self._read(0).shape)

    def __len__(self) -> int:
        return self._length

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self._row_shape

    def take(self, indices: Index) -> Tensor:
        selector = row_selector(indices)
        numbers = range(*selector.indices(self._length)) if isinstance(selector, slice) else selector.tolist()
        out = torch.empty(len(numbers), *self._row_shape)
        for position, number in enumerate(numbers):
            item = self._read(number)
            if tuple(item.shape) != self._row_shape:
                raise InvalidInput(
                    f"row {number} of {self.what} has shape {tuple(item.shape)}, row 0 has {self._row_shape}; "
                    "resize the items to one shape in the dataset's transform"
                )
            out[position] = item
        return out

    def native(self, indices: Index) -> np.ndarray[Any, Any]:
        return self.take(indices).flatten(1).numpy().astype(np.float64)

    def fingerprint(self) -> str:
        return fingerprint(self)

    def _read(self, number: int) -> Tensor:
        if self._draws:
            with rng.isolated(rng.derive_seed(0, "item", number)):
                item = self.dataset[number]
        else:  # isolating costs a millisecond, as much as decoding a small picture
            item = self.dataset[number]
        row = _as_tensor(item[0] if isinstance(item, (tuple, list)) else item, number, self.what)
        if not bool(row.isfinite().all()):
            raise InvalidInput(f"row {number} of {self.what} holds NaN or infinite values; clean or drop that item")
        return row


def _global_states() -> tuple[Any, ...]:
    """What any draw from a global generator changes."""
    numpy_state: Any = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), numpy_state[1].tobytes(), numpy_state[2:], random.getstate()


def _as_tensor(value: Any, number: int, what: str) -> Tensor:
    """One item as float32 of at least one axis."""
    if hasattr(value, "convert") and hasattr(value, "mode"):  # a PIL image
        value = np.asarray(value if value.mode == "L" else value.convert("RGB"))
        value = value[..., None] if value.ndim == 2 else value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.ndim == 3 and value.shape[2] in CHANNELS and value.shape[0] not in CHANNELS:
            value = np.moveaxis(value, 2, 0)
        value = torch.from_numpy(np.array(value, order="C"))
    if not isinstance(value, Tensor) or value.is_complex():
        raise InvalidInput(
            f"row {number} of {what} is {type(value).__name__}; wanted x or (x, label), with x a tensor, an array or "
            "an image; wrap the dataset so that each item is"
        )
    if value.ndim == 0:
        raise InvalidInput(f"row {number} of {what} is a single number; wanted a tensor of shape (1,) or more")
    scale = 255.0 if value.dtype == torch.uint8 and value.ndim == 3 else 1.0
    return value.detach().cpu().float() / scale
