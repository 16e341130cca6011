"""Optimizers of torch without its compiler, which they import when first used: five seconds of each process, though
nothing here is compiled."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["eager"]


@functools.cache
def eager(kind: type[Optimizer]) -> Any:
    """The optimizer `kind` with the same steps, bit for bit. What torch wraps around them says to its compiler where to
    break, and matters to steps that are compiled alone."""
    bare = {name: inspect.unwrap(getattr(Optimizer, name)) for name in ("add_param_group", "zero_grad")}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**bare, "step": step, "__module__": __name__, "__doc__": kind.__doc__})
