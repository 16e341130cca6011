"""What a network's `forward` gets of an item: a tensor, the parts of a tuple by position, of a dict by keyword."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from autoal.data.batches import Parts
from autoal.errors import InvalidInput

__all__ = ["arranged", "cast", "forward", "widened"]

LABELS = ("label", "labels", "target", "targets", "y")
"""Names of parts that are never handed to a network unless the user says that they are inputs."""


def forward(module: Any, x: Any) -> Any:
    """module(x), with the parts of `x` by position or by keyword."""
    return x.call(module) if isinstance(x, Parts) else module(x)


def cast(x: Any, dtype: torch.dtype) -> Any:
    """`x` in the dtype of the module where it is one tensor of real numbers; whole numbers and parts stay."""
    return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x


def widened(x: Any, dtype: torch.dtype) -> Any:
    """`x` with real numbers in `dtype` and whole numbers of less than 32 bits in int64, as most layers want them; bytes
    of pictures and truth values stay."""

    def one(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            return tensor.to(dtype)
        small = tensor.dtype in (torch.int8, torch.int16) or (tensor.dtype == torch.uint8 and tensor.ndim < 3)
        return tensor.long() if small else tensor

    return x.map(one) if isinstance(x, Parts) else one(x)


def arranged(module: nn.Module, x: Any) -> tuple[Any, str | None]:
    """`x` as `module.forward` takes it, and what was left out, in words.

    A dict goes by keyword, or whole where forward takes one argument that is none of its keys. Raises InvalidInput
    where a label would go into the network, or a tuple has other parts than forward takes.
    """
    if not isinstance(x, Parts):
        return x, None
    kinds = inspect.Parameter
    parameters = list(inspect.signature(module.forward).parameters.values())
    named = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    name = type(module).__name__
    if isinstance(x.values, dict):
        keys = list(x.values)
        if set(needed) <= set(keys):
            anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
            taken = {k: v for k, v in x.values.items() if anything or k in {p.name for p in parameters}}
            labels = [key for key in taken if key.lower() in LABELS]
            if labels:
                raise InvalidInput(
                    f"items have a part {labels[0]!r}, which {name}.forward takes too: a label must not reach the "
                    f"model that chooses. Wanted Items(dataset, label={labels[0]!r}) to leave it out, or, where it is "
                    "no label, another name"
                )
            left = [key for key in keys if key not in taken]
            return Parts(taken, len(x)), f"{name}.forward does not take {left} of each item" if left else None
        if len(needed) == 1:
            return Parts((x.values,), len(x)), None
        raise InvalidInput(f"items have the parts {keys}, and {name}.forward takes {needed}; wanted the same names")
    count = len(x.values)
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if count > len(named) and not several:
        raise TypeError(f"{name}.forward takes {len(named)} arguments, items have {count} parts")
    if count > max(1, len(needed)):
        extra = max(1, len(needed))
        optional = [p.name for p in named[extra:count]]
        return x, f"{name}.forward got part {extra + 1} of each item as {optional[0] if optional else 'an extra'}"
    return x, None
