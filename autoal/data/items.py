"""Rows that are read item by item: a map-style Dataset, or a list of objects of any kind."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoal import rng
from autoal.data.arrays import CHANNELS, fingerprint
from autoal.data.batches import as_parts, collated, is_sequence, uneven_places
from autoal.data.faces import AS_GIVEN, ENCODED, FIRST, NUMBERS, Faces, Index, row_selector, rows_of
from autoal.data.texts import contents_fingerprint, sample
from autoal.encoders import FittedEncoder, fit_encoder
from autoal.errors import InvalidInput, shown

__all__ = ["DatasetRows", "Items", "ObjectRows"]


class Items:
    """A Dataset whose items hold more than what the model takes.

    `inputs` are the places (of tuples) or names (of dicts) that go to the model, in that order; `label` the one that is
    left out, because it is what the model should learn. One of the two is given.

    >>> data = [{"pixels": 1.0, "kind": "oak"}, {"pixels": 2.0, "kind": "elm"}]
    >>> Items(data, label="kind")[1]
    {'pixels': 2.0}
    """

    def __init__(self, dataset: Any, *, inputs: Sequence[Any] | None = None, label: Any = None) -> None:
        if (inputs is None) == (label is None):
            raise InvalidInput("got Items without, or with both of, inputs= and label=; wanted one of them")
        self.dataset, self.inputs, self.label = dataset, inputs, label

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        item = self.dataset[index]
        try:
            if isinstance(item, Mapping):
                names = [name for name in item if name != self.label] if self.inputs is None else list(self.inputs)
                if self.label is not None and self.label not in item:
                    raise KeyError(self.label)
                return {name: item[name] for name in names}
            places = list(range(len(item))) if self.inputs is None else list(self.inputs)
            if self.label is not None:
                places.remove(self.label % len(item))
            chosen = tuple(item[place] for place in places)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            shape = list(item) if isinstance(item, Mapping) else f"{type(item).__name__}"
            raise InvalidInput(
                f"item {index} is {shape}; wanted one with the parts {self.inputs or [self.label]} ({error!r})"
            ) from error
        return chosen[0] if len(chosen) == 1 else chosen


class _ItemRows(Faces):
    """What data sets and lists of objects share: items are read when needed."""

    reads_lazily = True
    always_finite = True  # checked on reading; a pass over all items beforehand may take hours
    kind = "any"
    _uneven: frozenset[Any] | None = None

    def __init__(self, items: Any, what: str, length: int) -> None:
        self.dataset, self.what, self._length = items, what, length
        with rng.isolated(0):
            before = _global_states()
            first = items[0]
            self._draws = _global_states() != before
        self._alone = _is_several(first) and not isinstance(first, Mapping) and len(first) == 1
        self._places = (
            list(first) if isinstance(first, Mapping) else list(range(len(first))) if _is_several(first) else []
        )

    def __len__(self) -> int:
        return self._length

    def item(self, number: int) -> Any:
        """One item, as the data set gives it."""
        if not self._draws:  # isolating costs a millisecond, as much as decoding a small picture
            return self.dataset[number]
        with rng.isolated(rng.derive_seed(0, "item", number)):
            return self.dataset[number]

    def _numbers(self, indices: Index) -> list[int]:
        selector = row_selector(indices)
        return list(range(*selector.indices(self._length))) if isinstance(selector, slice) else selector.tolist()

    def native(self, indices: Index) -> Any:
        """A list of the items."""
        return self._items(indices)

    def _items(self, indices: Index) -> list[Any]:
        return [self.item(number) for number in self._numbers(indices)]

    @property
    def parts(self) -> list[Any] | None:
        """Places or names of the parts of an item; None where it is one thing."""
        return None if self._alone or not self._places else self._places

    @property
    def net_forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, FIRST, NUMBERS) if self.parts is not None else (AS_GIVEN, NUMBERS)

    def net_form(self, name: str, indices: Index) -> Any:
        if name == NUMBERS:
            return self.take(indices)
        items = self._items(indices)
        if self._uneven is None:
            self._uneven = uneven_places(self._looked_at())
        made = collated(items, self._uneven)
        if self._alone:
            return as_parts(made[0], len(items))
        if name == FIRST:
            if not isinstance(made, tuple):
                raise InvalidInput(f"items of {self.what} are dicts, whose parts have no order")
            return as_parts(made[0], len(items))
        return as_parts(made, len(items))

    def _looked_at(self) -> list[Any]:
        """The items that say which parts differ in shape from row to row."""
        return self._items(sample(len(self)))


def _is_several(item: Any) -> bool:
    """Whether an item has parts: a dict, a tuple, or a list of other things than numbers or words."""
    return isinstance(item, Mapping | tuple) or (isinstance(item, list) and bool(item) and not is_sequence(item))


class DatasetRows(_ItemRows):
    """Rows of a map-style Dataset: its items are what the model takes.

    A network gets batches as a DataLoader makes them: a tensor, the parts of a tuple by position, those of a dict by
    keyword. A label inside an item is taken for one only where the user says so, with `Items`. Where items are tensors,
    arrays or images of one shape, `take` gives them as float32, channels first, images in [0, 1].

    Where reading item 0 draws from a global generator (a random crop), each item gets the same draw every time it is
    read, so outputs do not depend on the order of reading; better put augmentation into training.

    InvalidInput names an item that holds NaN, or has another shape than item 0, when it is read by `take`.
    """

    def __init__(self, dataset: Any, what: str = "X") -> None:
        try:
            length = len(dataset)
        except TypeError as error:
            raise InvalidInput(
                f"got {what} of type {type(dataset).__name__}, which has no length; wanted a map-style Dataset "
                "(__len__ and __getitem__), not an iterable one"
            ) from error
        if length == 0:
            raise InvalidInput(f"got an empty {type(dataset).__name__} as {what}; wanted at least one item")
        try:
            super().__init__(dataset, what, length)
        except (KeyError, IndexError, TypeError) as error:
            raise InvalidInput(
                f"reading item 0 of {what}, of type {type(dataset).__name__}, fails ({error!r}); wanted a map-style "
                "Dataset, which takes 0 to its length less one"
            ) from error
        self._shape: tuple[int, ...] | None = None

    @property
    def row_shape(self) -> tuple[int, ...]:
        if self._shape is None:
            self._shape = tuple(self._read(0, finite=False).shape)
        return self._shape

    @property
    def cost(self) -> int:
        try:
            return int(np.prod(self.row_shape))
        except InvalidInput:
            return super().cost

    @property
    def numeric(self) -> bool:
        """Whether items are one tensor, array or image each."""
        return self.parts is None and self.readable

    @property
    def taken_as(self) -> str:  # type: ignore[override]
        return FIRST if self.parts is not None else ""

    def take(self, indices: Index) -> Tensor:
        return self._stacked(indices, finite=True)

    def _stacked(self, indices: Index, finite: bool) -> Tensor:
        """float32 (n, *row_shape); with `finite` an item with gaps is refused."""
        numbers = self._numbers(indices)
        out = torch.empty(len(numbers), *self.row_shape)
        for position, number in enumerate(numbers):
            item = self._read(number, finite)
            if tuple(item.shape) != self.row_shape:
                raise InvalidInput(
                    f"row {number} of {self.what} has shape {tuple(item.shape)}, row 0 has {self.row_shape}; "
                    "resize the items to one shape in the dataset's transform"
                )
            out[position] = item
        return out

    def native(self, indices: Index) -> Any:
        """(n, d) where items are tensors, arrays or images, of their own type where they are rows of numbers; else a
        list of the items."""
        if not self.numeric:
            return super().native(indices)
        return self._as_matrix(indices)

    def _as_matrix(self, indices: Index) -> NDArray[Any]:
        if len(self.row_shape) > 1:
            return self.take(indices).flatten(1).numpy().astype(np.float64)
        rows = [_first(item) for item in self._items(indices)]
        rows = [row.detach().cpu().numpy() if isinstance(row, Tensor) else np.asarray(row) for row in rows]
        if len({row.shape for row in rows}) > 1:
            self.take(indices)  # which says what is wrong
        return np.stack(rows)

    @property
    def forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, FIRST) if self.parts is not None and self.readable else (AS_GIVEN,)

    def form(self, name: str, indices: Index) -> Any:
        return self._as_matrix(indices) if name == FIRST else self.native(indices)

    def encoded(self, indices: Index) -> Tensor:
        if self.encoder is not None or not self.readable:
            return super().encoded(indices)
        return torch.from_numpy(self.fitted_encoder().transform(self._stacked(indices, finite=False).numpy()))

    def fitted_encoder(self) -> FittedEncoder:
        if self._fitted is None and self.encoder is None and self.readable:
            kind = "pictures" if len(self.row_shape) > 1 else "numbers"
            self._fitted = fit_encoder(kind, self._stacked(sample_of(len(self)), finite=False).numpy(), None, self.what)
        return super().fitted_encoder()

    def fingerprint(self) -> str:
        if self.readable:
            return fingerprint(self, lambda part: self._stacked(part, finite=False))
        return contents_fingerprint("items", len(self), [_shown(self.item(int(i))) for i in sample(len(self))])

    @property
    def readable(self) -> bool:
        """Whether items are one tensor, array or image each, or begin with one."""
        try:
            return bool(self.row_shape)
        except InvalidInput:
            return False

    def _read(self, number: int, finite: bool = True) -> Tensor:
        row = _as_tensor(_first(self.item(number)), number, self.what)
        if finite and not bool(row.isfinite().all()):
            raise InvalidInput(f"row {number} of {self.what} holds NaN or infinite values; clean or drop that item")
        return row


def _first(item: Any) -> Any:
    """The first part of an item of several; lists of numbers as an array."""
    item = item[0] if _is_several(item) and not isinstance(item, Mapping) else item
    return np.asarray(item) if is_sequence(item) else item


class ObjectRows(_ItemRows):
    """Rows of a list, a Series or an array of objects, lists of different lengths or dicts, for a model that takes
    them."""

    taken_as = ENCODED

    def __init__(self, objects: Any, what: str = "X") -> None:
        if not len(objects):
            raise InvalidInput(f"got an empty list as {what}; wanted at least one row")
        super().__init__(list(objects), what, len(objects))
        self.objects = objects

    def native(self, indices: Index) -> Any:
        """The asked objects in the container they came in."""
        return rows_of(self.objects, indices)

    def _looked_at(self) -> list[Any]:
        return list(self.dataset)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (int(self.encoded(slice(0, 1)).shape[1]),)

    def take(self, indices: Index) -> Tensor:
        """Their encoded face, which is there with an encoder of the user's alone."""
        return self.encoded(indices)

    def fingerprint(self) -> str:
        return contents_fingerprint("objects", len(self), [_shown(self.item(int(i))) for i in sample(len(self))])


def sample_of(count: int, most: int = 5000) -> Tensor:
    """Evenly spaced row numbers."""
    return torch.from_numpy(np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)))


def _shown(value: Any) -> Any:
    """A text that is equal for equal items, and small."""
    if isinstance(value, Mapping):
        return [(str(key), _shown(part)) for key, part in value.items()]
    if isinstance(value, tuple | list):
        return [_shown(part) for part in value[:256]]
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return f"{value.shape} {shown(value.ravel()[:256].tolist(), 10_000)}"
    return value if isinstance(value, str | int | float | bool | None) else type(value).__name__


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
            f"row {number} of {what} is {type(value).__name__}; wanted a tensor, an array or an image, or, for items "
            "of other kinds, a model that takes them, or encoder="
        )
    if value.ndim == 0:
        raise InvalidInput(f"row {number} of {what} is a single number; wanted a tensor of shape (1,) or more")
    scale = 255.0 if value.dtype == torch.uint8 and value.ndim == 3 else 1.0
    return value.detach().cpu().float() / scale
