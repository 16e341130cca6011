"""Items made into what a network's `forward` takes: one tensor, or several parts, by position or by keyword."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

__all__ = ["Parts", "as_parts", "collated", "is_sequence", "uneven_places"]

Place = tuple[Any, ...]
"""Where in an item something stands: names and numbers from the outside in; () is the item itself."""


class Parts:
    """What a network's `forward` takes besides one tensor: by position, or by keyword. Every part has n rows."""

    def __init__(self, values: tuple[Any, ...] | dict[str, Any], count: int) -> None:
        self.values, self.count = values, count

    def __len__(self) -> int:
        return self.count

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count,)

    def to(self, where: Any) -> Parts:
        """The parts on a device; a dtype changes nothing, since they go through as they are."""
        if not isinstance(where, torch.device):
            return self
        return self.map(lambda tensor: tensor.to(where))

    def map(self, function: Any) -> Parts:
        """The parts with `function` applied to each tensor in them."""
        return Parts(_mapped(self.values, function), self.count)

    def call(self, function: Any) -> Any:
        """function(*parts) or function(**parts)."""
        return function(**self.values) if isinstance(self.values, dict) else function(*self.values)


def _mapped(value: Any, function: Any) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {name: _mapped(part, function) for name, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(_mapped(part, function) for part in value)
    if isinstance(value, list | tuple):
        return type(value)(_mapped(part, function) for part in value)
    return value


def as_parts(made: Any, count: int) -> Any:
    """A batch as `forward` takes it: a tensor as it is, all else as `Parts`; a list is one part, for it holds what has
    no common shape."""
    if isinstance(made, Mapping):
        return Parts({str(name): part for name, part in made.items()}, count)
    if isinstance(made, Tensor):
        return made
    return Parts(tuple(made) if isinstance(made, tuple) else (made,), count)


def is_sequence(item: Any) -> bool:
    """Whether it is a list of numbers or of words, one thing and not several parts; lists of such too."""
    if not isinstance(item, list):
        return False
    return all(isinstance(value, int | float | str | np.number) or is_sequence(value) for value in item)


def uneven_places(items: Sequence[Any]) -> frozenset[Place]:
    """Where the items hold tensors, arrays or lists that differ in shape, so that no batch of them is one tensor."""
    shapes: dict[Place, set[Any]] = {}
    for item in items:
        _note_shapes(item, (), shapes)
    return frozenset(place for place, seen in shapes.items() if len(seen) > 1)


def _note_shapes(item: Any, place: Place, shapes: dict[Place, set[Any]]) -> None:
    if isinstance(item, Mapping):
        for name, part in item.items():
            _note_shapes(part, (*place, name), shapes)
    elif isinstance(item, Tensor | np.ndarray):
        shapes.setdefault(place, set()).add(tuple(item.shape))
    elif is_sequence(item):
        shapes.setdefault(place, set()).add(_list_shape(item))
    elif isinstance(item, tuple | list):
        for number, part in enumerate(item):
            _note_shapes(part, (*place, number), shapes)


def _list_shape(item: list[Any]) -> Any:
    """The lengths, as far as all lists within have the same; else the lengths one by one."""
    inner = [_list_shape(value) for value in item if isinstance(value, list)]
    return (len(item), *(inner[0] if len(set(inner)) == 1 else [tuple(inner)])) if inner else (len(item),)


def collated(items: list[Any], uneven: frozenset[Place] = frozenset(), place: Place = ()) -> Any:
    """A batch of items as a DataLoader makes it, but that a list of numbers is one tensor, not so many parts, and that
    what is of different shapes (the places `uneven`) is a list of tensors, in every batch.

    Raises ValueError, TypeError or RuntimeError for items that make no batch.
    """
    first = items[0]
    if isinstance(first, Mapping):
        lacking = [name for name in first if not all(isinstance(item, Mapping) and name in item for item in items)]
        if lacking:
            raise ValueError(f"items differ in their parts: not all have {lacking}")
        return {name: collated([item[name] for item in items], uneven, (*place, name)) for name in first}
    if isinstance(first, tuple) or (isinstance(first, list) and not is_sequence(first)):
        if len({len(item) for item in items}) > 1:
            raise ValueError("items differ in their number of parts")
        columns = list(zip(*items, strict=True))
        return tuple(collated(list(column), uneven, (*place, number)) for number, column in enumerate(columns))
    if isinstance(first, list):
        try:
            items = [torch.as_tensor(item) for item in items]
        except (TypeError, ValueError, OverflowError):  # words, or lists that are uneven within
            return items
    if place in uneven:
        return [torch.as_tensor(item) for item in items]
    try:
        return default_collate(items)
    except (TypeError, RuntimeError, ValueError, OverflowError):
        return [torch.as_tensor(item) for item in items]
