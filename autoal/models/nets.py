"""Small networks: an MLP, a small CNN and a ResNet-18, each a trunk `embed` and a linear `head`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MLP", "EmbeddingNet", "ResNet18", "SmallCNN", "default_net", "logits_of"]


class EmbeddingNet(nn.Module):
    """A network that is `head(dropout(embed(x)))`. Subclasses build their trunk and say what `stages` are.

    The only dropout sits between trunk and head, so MC samples cost one pass of the trunk (see models.dropout).
    `num_classes` 0 is a regression: one output.
    """

    def __init__(self, embedding_width: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_width, max(1, num_classes))

    def stages(self, x: Tensor) -> list[Tensor]:
        """Features after each stage of the trunk, (n, width) each, pooled over space; the last one is `embed(x)`."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> Tensor:
        """(n, D) input of the head, before dropout."""
        return self.stages(x)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """(n, C) logits, or (n, 1) in a regression."""
        return self.head(self.dropout(self.embed(x)))


class MLP(EmbeddingNet):
    """Linear and ReLU layers; inputs of any shape are flattened."""

    def __init__(
        self, in_features: int, num_classes: int, hidden: Sequence[int] = (128, 64), dropout: float = 0.5
    ) -> None:
        super().__init__(hidden[-1], num_classes, dropout)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((in_features, *hidden)))

    def stages(self, x: Tensor) -> list[Tensor]:
        features, x = [], x.flatten(1)
        for layer in self.layers:
            x = F.relu(layer(x))
            features.append(x)
        return features


class SmallCNN(EmbeddingNet):
    """Three 3x3 convolutions with batch normalisation, then the mean over space; images of 8x8 and more."""

    def __init__(self, in_channels: int, num_classes: int, width: int = 32, dropout: float = 0.5) -> None:
        super().__init__(4 * width, num_classes, dropout)
        widths = (in_channels, width, 2 * width, 4 * width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        )

    def stages(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if number else x)
            features.append(x.mean(dim=(2, 3)))
        return features


class ResNet18(EmbeddingNet):
    """ResNet-18 (He et al., 2016) for small images: a 3x3 stem of stride 1 and no max-pooling."""

    def __init__(self, in_channels: int, num_classes: int, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__(8 * width, num_classes, dropout)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        self.layers = nn.ModuleList(
            nn.Sequential(_Residual(a, b, stride=1 if number == 0 else 2), _Residual(b, b, stride=1))
            for number, (a, b) in enumerate(pairwise(widths))
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def stages(self, x: Tensor) -> list[Tensor]:
        x, features = self.stem(x), []
        for layer in self.layers:
            x = layer(x)
            features.append(x.mean(dim=(2, 3)))
        return features


class _Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut, 1x1 where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def default_net(row_shape: Sequence[int], num_classes: int) -> EmbeddingNet:
    """The network for users who bring none: SmallCNN for images (c, h, w) of 8x8 and more, else an MLP.

    `num_classes` 0 is a regression: one output.

    >>> type(default_net((3, 32, 32), 10)).__name__
    'SmallCNN'
    """
    if len(row_shape) == 3 and row_shape[0] <= 4 and min(row_shape[1:]) >= 8:
        return SmallCNN(row_shape[0], num_classes)
    return MLP(math.prod(row_shape), num_classes)


def logits_of(output: object) -> Tensor:
    """The logits in what a module returns: a tensor, the first of a tuple, or an object's `logits`."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    output = getattr(output, "logits", output)
    if not isinstance(output, torch.Tensor):
        raise TypeError(f"the module returned {type(output).__name__}; wanted a tensor of logits (n, C)")
    return output
