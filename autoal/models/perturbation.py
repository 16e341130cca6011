"""How much a network's output moves when its weights are shaken a little (Li et al. 2024, arXiv 2205.13340)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autoal import rng
from autoal.errors import InvalidInput

__all__ = ["NOISES", "deviations", "shaken"]

NOISES = ("layerwise", "global")


@contextmanager
def shaken(module: nn.Module, scale: float, seed: int, noise: str = "layerwise") -> Iterator[None]:
    """Trainable weights plus Gaussian noise, a function of `seed`, while the context lasts; then bit for bit as before.

    `layerwise`: the weight of each module that has one gets noise of length `scale` times its own; biases and buffers
    stay (the authors' code). `global`: all parameters together get one direction of length `scale` times theirs (the
    algorithm as described in the paper). Raises InvalidInput for another noise.
    """
    if noise not in NOISES:
        raise InvalidInput(f"got noise={noise!r}; wanted one of {', '.join(NOISES)}")
    if noise == "layerwise":
        named = [(name, part.weight) for name, part in module.named_modules() if _has_weight(part)]
    else:
        named = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
    saved = [(value, value.detach().clone()) for _, value in named]
    drawn = [torch.randn(value.shape, generator=rng.generator(seed, "shake", name)).to(value) for name, value in named]
    if noise == "layerwise":
        factors = [old.norm() / new.norm().clamp_min(1e-30) for new, (_, old) in zip(drawn, saved, strict=True)]
    else:
        length = torch.stack([old.norm() for _, old in saved]).norm() if saved else torch.zeros(())
        drawn_length = torch.stack([new.norm() for new in drawn]).norm() if drawn else torch.ones(())
        factors = [length / drawn_length.clamp_min(1e-30)] * len(saved)
    try:
        with torch.no_grad():
            for (value, old), new, factor in zip(saved, drawn, factors, strict=True):
                value.copy_(old + scale * factor * new)
        yield
    finally:
        with torch.no_grad():
            for value, old in saved:
                value.copy_(old)  # not by taking the noise away again: that would leave rounding behind


def deviations(
    module: nn.Module,
    outputs: Callable[[], Tensor],
    samples: int = 30,
    scale: float = 1e-3,
    seed: int = 0,
    noise: str = "layerwise",
) -> Tensor:
    """(n, K, E) change of `outputs()` (n, E), computed with the weights of the moment, under K noises.

    With `layerwise` noise each change is divided by the length of the point's own output. Noise k is a function of
    (seed, k), so it is the same for every point.
    """
    clean = outputs()
    lengths = clean.norm(dim=1, keepdim=True).clamp_min(1e-12) if noise == "layerwise" else clean.new_ones(())
    out = clean.new_empty(len(clean), samples, clean.shape[1])
    for k in range(samples):
        with shaken(module, scale, rng.derive_seed(seed, "noise", k), noise):
            out[:, k] = (outputs() - clean) / lengths
    return out


def _has_weight(part: nn.Module) -> bool:
    weight = getattr(part, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.requires_grad
