"""Ensembles of networks: trained apart from different seeds, or each so as to differ from those before it.

Lakshminarayanan et al., 2017; greedy: Tiulpin and Blaschko, "Greedy Bayesian Posterior Approximation with Deep
Ensembles", TMLR 2022 (2105.14275). Axes: n training rows, m members so far, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal import rng
from autoal.compute import chunks
from autoal.data.rows import Rows
from autoal.models.evaluating import evaluating
from autoal.models.nets import logits_of

__all__ = ["Repulsion", "train_members", "training_inputs"]

_SPREAD = 5.0
"""Inputs at which members should differ are as far out as 5 standard deviations of the data."""


class Repulsion:
    """Penalty logsumexp_j(-strength * d_j) of a new member: d_j is the mean squared distance, over inputs drawn around
    the data, of its probabilities from those of member j. (In a regression, of its outputs.)

    The inputs are Gaussian with each column's mean and 5 times its deviation, one for each training row, fixed by the
    seed; what earlier members say there is computed once. The new member looks at them in evaluation mode (batch
    normalisation learns nothing from them; ours: no dropout either, so that strength 0 is a plain deep ensemble).
    """

    def __init__(self, x: Tensor, strength: float, seed: int) -> None:
        """`x` (n, ...) training rows as they enter the module."""
        self.strength = strength
        noise = torch.randn(x.shape, generator=rng.generator(seed, "function norm")).to(x)
        self.inputs = x.mean(dim=0) + _SPREAD * x.std(dim=0, correction=0) * noise
        self._earlier: list[Tensor] = []

    def add(self, module: nn.Module) -> None:
        """Remembers what a finished member says."""
        with evaluating(module):
            step = chunks(len(self.inputs), 256.0 * self.inputs[0].numel())
            self._earlier.append(torch.cat([_answer(module, self.inputs[part]) for part in step]))

    def __call__(self, module: nn.Module, positions: Tensor) -> Tensor:
        positions = positions.to(self.inputs.device)
        modes = [(part, part.training) for part in module.modules()]
        module.eval()
        try:
            answer = _answer(module, self.inputs[positions])
        finally:
            for part, mode in modes:
                part.training = mode
        distances = torch.stack([(answer - other[positions]).square().sum(1).mean() for other in self._earlier])
        return torch.logsumexp(-self.strength * distances, dim=0)


def _answer(module: nn.Module, x: Tensor) -> Tensor:
    """(n, C) probabilities, or the output of a regression."""
    dtype = next((w.dtype for w in module.parameters() if w.is_floating_point()), x.dtype)
    outputs = logits_of(module(x.to(dtype))).float().reshape(len(x), -1)
    return F.softmax(outputs, dim=1) if outputs.shape[1] > 1 else outputs


def train_members(
    count: int,
    make: Callable[[int], nn.Module],
    fit: Callable[[nn.Module, int, Repulsion | None], None],
    seed: int,
    repulsion: Repulsion | None = None,
) -> list[nn.Module]:
    """`count` trained members; member m starts from make(its seed) and is trained by fit(module, its seed, penalty)."""
    members: list[nn.Module] = []
    for number in range(count):
        own = rng.derive_seed(seed, "member", number)
        module = make(own)
        fit(module, own, repulsion if number else None)
        if repulsion is not None:
            repulsion.add(module)
        members.append(module.eval())
    return members


def training_inputs(rows: Rows, indices: Tensor, transform: Callable[[Tensor], Tensor] | None) -> Tensor:
    """(n, ...) rows[indices] as they enter a module."""
    x = rows.take(indices)
    return x if transform is None else transform(x)
