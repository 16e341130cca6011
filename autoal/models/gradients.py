"""Gradients of a network at single points, never held in full: sketches of them, and their norms.

The gradient by the weight of a linear layer is `sum_t g_t (x) a_t`, with a_t what enters the layer at position t and
g_t the gradient of what leaves it: one forward and one backward pass give all pairs. Axes: n points, T positions,
P sketch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal import rng
from autoal.compute import CHUNK_BYTES, chunks
from autoal.errors import MissingOutput
from autoal.models.evaluating import evaluating
from autoal.models.nets import logits_of

__all__ = ["TOP_CLASSES", "GradientSketch", "gradient_factors", "gradient_norms", "pseudo_loss"]

Factors = dict[str, list[tuple[Tensor, Tensor]]]
TOP_CLASSES = 5
"""Of more than 20 classes, those whose gradients are averaged for the expected norm."""


def pseudo_loss(logits: Tensor, regression: bool) -> Tensor:
    """(n,) what is differentiated at each point: the prediction of a regression; else the cross-entropy with the
    class predicted (Ash et al. 2020, arXiv 1906.03671, whose last layer this extends to all of them)."""
    return logits.flatten() if regression else F.cross_entropy(logits, logits.detach().argmax(dim=1), reduction="none")


def gradient_factors(module: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Factors:
    """Pairs (a (n, T, I + 1), g (n, T, O)) of each nn.Linear and nn.Conv2d that `x` (n, ...) goes through, by name.

    `loss` maps outputs to (n,). The last column of a is 1 where the layer has a bias. A layer that is used twice has
    two pairs; a convolution in groups has one entry for each. In evaluation mode points do not touch each other, so
    one backward pass of the sum serves all. Raises MissingOutput where no such layer is met.
    """
    pairs: Factors = {}
    with evaluating(module), torch.enable_grad(), _watched(module) as calls:
        x = x.detach().requires_grad_(x.is_floating_point())
        values = loss(logits_of(module(x)))
        outputs = [output for _, _, _, output in calls]
        if not outputs:
            raise MissingOutput("the module has no nn.Linear and no nn.Conv2d, so there are no gradient factors")
        slopes = torch.autograd.grad(values.sum(), outputs, allow_unused=True)
    for (name, part, entered, _), slope in zip(calls, slopes, strict=True):
        if slope is None:  # the loss does not depend on it
            continue
        for suffix, a, g in _split(part, entered, slope):
            if part.bias is not None:
                a = torch.cat([a, a.new_ones(*a.shape[:2], 1)], dim=2)
            pairs.setdefault(name + suffix, []).append((a, g))
    return pairs


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[tuple[str, nn.Linear | nn.Conv2d, Tensor, Tensor]]]:
    """(name, layer, what entered, what left) of each linear layer and convolution, in the order of the calls."""
    calls: list[tuple[str, nn.Linear | nn.Conv2d, Tensor, Tensor]] = []
    handles = []
    for name, part in module.named_modules():
        if isinstance(part, (nn.Linear, nn.Conv2d)):

            def remember(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name) -> Tensor:
                assert isinstance(part, (nn.Linear, nn.Conv2d))
                if output.requires_grad:
                    calls.append((name, part, inputs[0].detach(), output))
                    return output.clone()  # an in-place ReLU behind the layer must not change what is differentiated
                return output

            handles.append(part.register_forward_hook(remember))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _split(part: nn.Linear | nn.Conv2d, x: Tensor, slope: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(suffix of the name, a (n, T, I), g (n, T, O)) for each group of the layer."""
    n = len(x)
    if isinstance(part, nn.Linear):
        yield "", x.reshape(n, -1, x.shape[-1]), slope.reshape(n, -1, slope.shape[-1])
        return
    if part.padding_mode != "zeros":
        x = F.pad(x, part._reversed_padding_repeated_twice, mode=part.padding_mode)
        padding: tuple[int, ...] = (0, 0)
    elif isinstance(part.padding, str):
        x = F.pad(x, part._reversed_padding_repeated_twice)
        padding = (0, 0)
    else:
        padding = part.padding
    size = x.shape[1] // part.groups, slope.shape[1] // part.groups
    for group in range(part.groups):
        own = x[:, group * size[0] : (group + 1) * size[0]]
        patches = F.unfold(own, part.kernel_size, part.dilation, padding, part.stride)
        g = slope[:, group * size[1] : (group + 1) * size[1]].flatten(2)
        yield f"#{group}" if part.groups > 1 else "", patches.transpose(1, 2), g.transpose(1, 2)


class GradientSketch:
    """Maps points to `sum_l sqrt(P) sum_t (a_lt U_l) o (g_lt V_l)`, (n, P): inner products are unbiased estimates of
    those of the full gradients by the weights of all linear layers and convolutions (Holzmueller et al. 2023,
    arXiv 2203.09410, section 4.2). U and V have entries N(0, 1) / sqrt(P) and depend on `seed` and the layer's name
    only, so chunks and further points are sketched alike. Normalisation layers are left out.
    """

    def __init__(self, module: nn.Module, width: int = 512, seed: int = 0, *, regression: bool = False) -> None:
        self.module, self.width, self.seed, self.regression = module, width, seed, regression
        self._maps: dict[tuple[str, str, int], Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """(n, P) float32."""
        factors = gradient_factors(self.module, x, lambda logits: pseudo_loss(logits, self.regression))
        out = x.new_zeros(len(x), self.width, dtype=torch.float32)
        for name, pairs in factors.items():
            for a, g in pairs:
                left = a.float() @ self._map(name, "a", a.shape[2], x.device)
                right = g.float() @ self._map(name, "g", g.shape[2], x.device)
                out += math.sqrt(self.width) * (left * right).sum(dim=1)
        return out

    def _map(self, name: str, side: str, rows: int, device: torch.device) -> Tensor:
        key = (name, side, rows)
        if key not in self._maps:
            draws = torch.randn(rows, self.width, generator=rng.generator(self.seed, "sketch", *key))
            self._maps[key] = (draws / math.sqrt(self.width)).to(device)
        return self._maps[key]


def gradient_norms(module: nn.Module, x: Tensor) -> Tensor:
    """(n, 2) float32: sums over parameter tensors of the norm of the gradient of the predictive entropy, and of the
    gradient of the cross-entropy averaged over the predicted labels (Wang et al. 2022, arXiv 2112.05683).

    All trainable parameters, normalisation layers included, one gradient a point in chunks; of more than 20 classes
    the five most likely count in the average, their probabilities scaled to 1.
    """
    from torch.func import functional_call, grad, vmap  # takes a while to import, and few ask for it

    weights = {name: value.detach() for name, value in module.named_parameters() if value.requires_grad}
    fixed = {name: value.detach() for name, value in module.named_parameters() if not value.requires_grad}
    fixed |= dict(module.named_buffers())

    def logits(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        return logits_of(functional_call(module, (parameters, fixed), (point[None],)))[0]

    def entropy(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        log_p = logits(parameters, point).log_softmax(dim=0)
        return -(log_p.exp() * log_p).sum()

    def loss(parameters: dict[str, Tensor], point: Tensor, label: Tensor) -> Tensor:
        return -logits(parameters, point).log_softmax(dim=0).gather(0, label[None])[0]

    def summed(gradients: dict[str, Tensor]) -> Tensor:
        return torch.stack([value.flatten(1).norm(dim=1) for value in gradients.values()]).sum(dim=0)

    size = sum(value.numel() for value in weights.values())
    out = x.new_empty(len(x), 2, dtype=torch.float32)
    with evaluating(module):
        for part in chunks(len(x), 12.0 * size, CHUNK_BYTES):
            points = x[part]
            probs = logits_of(module(points)).softmax(dim=1)
            kept = probs.shape[1] if probs.shape[1] <= 20 else TOP_CLASSES
            shares, labels = probs.topk(kept, dim=1)
            shares = shares / shares.sum(dim=1, keepdim=True)
            out[part, 0] = summed(vmap(grad(entropy), (None, 0))(weights, points)).float()
            norms = [summed(vmap(grad(loss), (None, 0, 0))(weights, points, labels[:, c])) for c in range(kept)]
            out[part, 1] = (torch.stack(norms, dim=1) * shares).sum(dim=1).float()
    return out
