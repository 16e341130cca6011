"""Monte-Carlo dropout whose sample k is one function: the same mask for every point of every chunk.

Gal and Ghahramani, 2016; consistent masks as in Kirsch et al., "BatchBALD", 2019. Methods that look at two points
at once (BatchBALD, EPIG) mean nothing with masks that differ between points.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from autoal import rng
from autoal.errors import InvalidInput
from autoal.models.evaluating import evaluating
from autoal.models.forward import forward
from autoal.models.nets import logits_of

__all__ = ["DropoutSampler", "active_dropouts", "mc_dropout"]

_ELEMENTWISE = (nn.Dropout, nn.AlphaDropout)
_CHANNELWISE = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)
_ALPHA = (nn.AlphaDropout, nn.FeatureAlphaDropout)
_SELU_FLOOR = -1.7580993408473766  # -scale * alpha of SELU, what alpha dropout puts in place of a dropped value


def active_dropouts(module: nn.Module) -> dict[str, Any]:
    """The dropout layers that drop anything, by name. Functional dropout cannot be seen, and is not listed."""
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, (*_ELEMENTWISE, *_CHANNELWISE)) and part.p > 0
    }


@contextlib.contextmanager
def mc_dropout(module: nn.Module, n_samples: int, seed: int) -> Iterator[DropoutSampler]:
    """A sampler of n_samples functions of `module`, fixed by `seed` while the context lasts.

    The module stays in evaluation mode throughout (batch normalisation never sees the chunk); masks are put in by
    hooks. On leaving, also by an exception, hooks are gone and modes and buffers are as they were.
    """
    if n_samples < 1:
        raise InvalidInput(f"got n_samples={n_samples}; wanted 1 or more")
    with evaluating(module):
        sampler = DropoutSampler(module, n_samples, seed)
        try:
            yield sampler
        finally:
            sampler.close()


class DropoutSampler:
    """Made by `mc_dropout`. `trace(x)` gives logits (n, C) without dropout, `samples()` those of K masks (n, K, C).

    Where the only dropout feeds the last linear layer, the K samples are one product of the features with K masked
    weight matrices; otherwise the module runs K times.
    """

    def __init__(self, module: nn.Module, n_samples: int, seed: int) -> None:
        self.module, self.n_samples, self.seed = module, n_samples, seed
        self._sample: int | None = None  # None while tracing
        self._calls: dict[str, int] = {}
        self._masks: dict[tuple[str | int, ...], tuple[Tensor, Tensor | None]] = {}
        self._traced: list[tuple[str, Tensor, int]] = []
        self._linears: list[tuple[nn.Linear, Tensor, int, Tensor, int]] = []
        self._x: Tensor | None = None
        self._logits: Tensor | None = None
        self._dropouts = active_dropouts(module)
        self._handles = [part.register_forward_hook(self._hook(name)) for name, part in self._dropouts.items()]
        self._handles += [
            part.register_forward_hook(self._watch) for part in module.modules() if type(part) is nn.Linear
        ]

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._x = self._logits = None
        self._traced, self._linears = [], []

    def trace(self, x: Tensor) -> Tensor:
        """(n, C) logits, or what else it gives, of the deterministic module; `samples()` then refers to this chunk."""
        self._sample, self._x = None, x
        self._traced, self._linears = [], []
        self._logits = logits_of(forward(self.module, x))
        return self._logits

    def samples(self) -> Tensor:
        """(n, K, C) logits of the chunk last traced."""
        assert self._x is not None and self._logits is not None, "trace a chunk first"
        if not self._traced:  # nothing drops: every sample is the module itself
            return torch.stack([self._logits] * self.n_samples, dim=1)
        head = self._masked_head()
        if head is not None:
            name, linear, features = head
            return self._through_head(name, linear, features)
        out = []
        for sample in range(self.n_samples):
            self._sample, self._calls = sample, {}
            out.append(logits_of(forward(self.module, self._x)))
        self._sample = None
        return torch.stack(out, dim=1)

    def _hook(self, name: str) -> Any:
        def replace(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = inputs[0]
            if self._sample is None:
                output = output.clone()  # evaluation mode hands the input on; a copy can be told apart from it
                self._traced.append((name, output, output._version))
                return output
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            scale, shift = self._mask(name, call, x)
            dropped = x * scale[self._sample]
            return dropped if shift is None else dropped + shift[self._sample]

        return replace

    def _watch(self, part: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if self._sample is None:
            self._linears = [(part, inputs[0], inputs[0]._version, output, output._version)]

    def _masked_head(self) -> tuple[str, nn.Linear, Tensor] | None:
        """The last layer and its input, where that input is the output of the only dropout and its output the logits.

        Tensors are compared by identity and version, so a layer in between, in place or not, is noticed.
        """
        if len(self._traced) != 1 or not self._linears:
            return None
        name, dropped, dropped_version = self._traced[0]
        linear, entered, entered_version, left, left_version = self._linears[0]
        direct = entered is dropped and entered_version == dropped_version
        final = left is self._logits and left._version == left_version
        if not (direct and final and entered.ndim == 2 and isinstance(self._dropouts[name], _ELEMENTWISE)):
            return None
        return name, linear, entered

    def _through_head(self, name: str, linear: nn.Linear, features: Tensor) -> Tensor:
        scale, shift = self._mask(name, 0, features)
        weight_KC_D = (linear.weight * scale[:, None, :]).flatten(0, 1)
        logits = (features @ weight_KC_D.T).unflatten(1, (self.n_samples, linear.out_features))
        if shift is not None:
            logits = logits + shift @ linear.weight.T
        return logits if linear.bias is None else logits + linear.bias

    def _mask(self, name: str, call: int, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """What sample k multiplies by and adds, (K, *features); drawn on the first meeting, from name and call only."""
        assert self._x is not None
        if x.ndim < 2 or x.shape[0] % self._x.shape[0]:
            raise InvalidInput(
                f"the dropout layer {name!r} sees a tensor of shape {tuple(x.shape)} for {self._x.shape[0]} points; "
                "wanted the points on the first axis (batch_first=True), so that one mask can serve all of them"
            )
        part = self._dropouts[name]
        channelwise = isinstance(part, _CHANNELWISE)
        features = (x.shape[1], *(1,) * (x.ndim - 2)) if channelwise else tuple(x.shape[1:])
        key: tuple[str | int, ...] = (name, call, *features)
        if key not in self._masks:
            draws = torch.rand(self.n_samples, *features, generator=rng.generator(self.seed, "mc-dropout", *key))
            kept = (draws >= part.p).to(torch.float32)
            if isinstance(part, _ALPHA):  # Klambauer et al., 2017, section 3.2: keeps mean 0 and variance 1
                gain = 1.0 / math.sqrt((1.0 - part.p) * (1.0 + part.p * _SELU_FLOOR**2)) if part.p < 1 else 0.0
                shift = gain * _SELU_FLOOR * (1.0 - kept - part.p)
                self._masks[key] = ((kept * gain).to(x), shift.to(x))
            else:
                self._masks[key] = (kept.div(max(1.0 - part.p, 1e-12)).to(x), None)
        return self._masks[key]
