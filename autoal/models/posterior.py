"""The last layer's Gaussian posterior from the embeddings of labeled points."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from autoal import rng
from autoal.models.laplace import LastLayer, classification_posterior, draw, regression_posterior, with_one
from autoal.models.targets import TargetScale

__all__ = ["POSTERIORS", "Posterior", "head_draws", "head_posterior", "head_weights"]

Posterior = Literal["auto", "dropout", "laplace", "ensemble", "greedy", "none"]
POSTERIORS: tuple[Posterior, ...] = get_args(Posterior)


def head_draws(
    embeddings: Tensor, labels: Tensor, num_classes: int, count: int, seed: int, mode_C_D: Tensor | None = None
) -> tuple[Tensor, TargetScale]:
    """(K, C, D + 1) weights of heads drawn once from the seed, and the scale of their outputs in a regression.

    `mode_C_D` are the weights and bias of a head trained on these embeddings; None fits one.
    """
    posterior, scale = head_posterior(embeddings, labels, num_classes, mode_C_D)
    return draw(posterior, count, rng.generator(seed, "laplace")), scale


def head_posterior(
    embeddings: Tensor, labels: Tensor, num_classes: int, mode_C_D: Tensor | None = None
) -> tuple[LastLayer, TargetScale]:
    """The posterior of that head's weights, and the scale of its outputs in a regression."""
    inputs = with_one(embeddings)
    if num_classes:
        return classification_posterior(inputs, labels.to(inputs.device), num_classes, mode_C_D), TargetScale()
    scale = TargetScale.of(labels)
    targets = ((labels.double() - scale.mean) / scale.std).to(inputs.device)
    return regression_posterior(inputs, targets), scale


def head_weights(module: nn.Module, embeddings: Tensor, outputs: Tensor) -> Tensor | None:
    """(C, D + 1) weights and bias of the layer that makes `outputs` (n, C) of `embeddings` (n, D); None for none."""
    for part in reversed(list(module.modules())):
        if isinstance(part, nn.Linear) and tuple(part.weight.shape) == (outputs.shape[1], embeddings.shape[1]):
            weight = part.weight.detach().double()
            bias = weight.new_zeros(len(weight)) if part.bias is None else part.bias.detach().double()
            made = embeddings.double() @ weight.T + bias
            if torch.allclose(made, outputs.double(), rtol=1e-3, atol=1e-4):
                return torch.cat([weight, bias[:, None]], dim=1)
    return None
