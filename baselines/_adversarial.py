"""The torch task model behind a round, for perturbations of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.errors import MissingOutput
from autoal.models.evaluating import evaluating
from autoal.models.nets import logits_of
from autoal.models.torch_adapter import TorchModel
from autoal.rng import generator
from autoal.selectors.base import RoundState
from autoal.strategies.base import Proposal, top_scores

__all__ = ["Logits", "nearest", "pool_distances"]

Logits = Callable[[Tensor], Tensor]


def pool_distances(state: RoundState, name: str, attack: Callable[[Logits, Tensor], Tensor]) -> Tensor:
    """(N,) attack(logits, inputs) of every pool point on the task model, in units of its standardised inputs.

    Raises MissingOutput where the task model is no torch module: others give no gradients by their inputs.
    """
    model = state.model
    if not isinstance(model, TorchModel) or model.module is None:
        raise MissingOutput(
            f"{name} needs the gradients of a torch model by its inputs, and the task model is {type(model).__name__}; "
            "choose mlp, small_cnn or resnet18"
        )
    module, indices = model.module, state.pool_indices
    assert indices is not None
    width = state.inputs.take(indices[:1]).numel()
    found: list[Tensor] = []
    with evaluating(module), torch.enable_grad():
        for part in chunks(len(indices), 2048.0 * width):
            x = model.inputs(state.inputs, indices[part])
            found.append(attack(lambda batch: logits_of(module(batch)), x))
    return torch.cat(found)


def nearest(distances_N: Tensor, batch_size: int, seed: int) -> tuple[Proposal, dict[str, Any]]:
    """The smallest distances, and how many points no perturbation carried into another class."""
    record = {"never_changed": int(distances_N.isinf().sum())}
    return top_scores(-distances_N.cpu(), batch_size, generator(seed, "ties")), record
