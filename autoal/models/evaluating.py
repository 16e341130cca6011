"""Looking at a module without changing it: evaluation mode, and the features before its last linear layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from autoal.errors import MissingOutput
from autoal.models.forward import forward

__all__ = ["Embedder", "LastLinearInput", "evaluating", "last_linear_input"]


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards each submodule's mode and each buffer is as it was.

    Modes are put back one by one, since a user may have frozen some layers only, and also after an exception.
    """
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


class LastLinearInput:
    """Input of the nn.Linear that the latest forward pass went through last; see `last_linear_input`."""

    def __init__(self) -> None:
        self.value: Tensor | None = None

    def features(self, n: int) -> Tensor | None:
        """(n, D) that input, averaged over further axes (tokens); None where there is none for each point."""
        if self.value is None or self.value.shape[0] != n or self.value.ndim < 2:
            return None
        return self.value if self.value.ndim == 2 else self.value.flatten(1, -2).mean(dim=1)


class Embedder:
    """Features of chunks that have just gone through a module: its own `embed`, else the input of its last layer.

    Where the two are equal on the first chunk, later chunks are spared a second pass through the trunk.
    """

    def __init__(self, module: nn.Module) -> None:
        self._own = getattr(module, "embed", None)
        self._same: bool | None = None

    def __call__(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """(n, D) float32; `seen` is what `LastLinearInput.features` gave for this chunk. Raises MissingOutput."""
        if callable(self._own) and not self._same:
            features = forward(self._own, x).flatten(1)
            if self._same is None:
                self._same = seen is not None and seen.shape == features.shape and bool((seen == features).all())
            return features.float()
        if seen is None:
            raise MissingOutput(
                "no nn.Linear of this module sees one row per point; give it a method embed(x) -> (n, D)"
            )
        return seen.float()


@contextlib.contextmanager
def last_linear_input(module: nn.Module) -> Iterator[LastLinearInput]:
    """Watches the linear layers of a module while the context lasts."""
    seen = LastLinearInput()

    def remember(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.value = inputs[0].detach()

    handles = [part.register_forward_pre_hook(remember) for part in module.modules() if isinstance(part, nn.Linear)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
