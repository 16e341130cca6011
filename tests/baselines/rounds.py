"""One round of a toy problem, as the runner would hand it to a selector that trains."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from autoal.data import as_rows
from autoal.models import TorchModel, TrainConfig
from autoal.models.nets import default_net
from autoal.outputs import PoolView
from autoal.rng import generator
from autoal.selectors.base import RoundState

__all__ = ["blobs", "images", "round_of", "short_options", "waves"]


def short_options(selector: Any) -> dict[str, Any]:
    """As little training as it takes to run, of the options that this class of selectors has."""
    short = {"epochs": 1, "max_steps": 12, "batch_size": 16, "members": 2, "device": "cpu"}
    known = {field.name for field in dataclasses.fields(selector)}
    return {name: value for name, value in short.items() if name in known}


def blobs(n: int = 90, width: int = 4, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Points in general position around one centre for each class."""
    draws = generator(0, "blobs")
    labels = torch.arange(n) % classes
    centres = 2 * torch.randn(classes, width, generator=draws)
    return centres[labels] + torch.randn(n, width, generator=draws), labels


def images(n: int = 40, size: int = 12) -> tuple[Tensor, Tensor]:
    """Small images of two classes, one brighter at the top."""
    draws = generator(0, "images")
    labels = torch.arange(n) % 2
    x = torch.rand(n, 1, size, size, generator=draws)
    x[:, :, : size // 2] += labels[:, None, None, None]
    return x, labels


def waves(n: int = 60) -> tuple[Tensor, Tensor]:
    """A sine of the first of two inputs."""
    x = torch.randn(n, 2, generator=generator(0, "waves"))
    return x, torch.sin(2 * x[:, 0]).double()


def round_of(
    x: Tensor,
    labels: Tensor,
    labeled: int = 12,
    *,
    round: int = 0,
    seed: int = 0,
    module: nn.Module | None = None,
    needs: frozenset[str] = frozenset(),
) -> RoundState:
    """The first `labeled` points are labeled, the others are the pool. `module` is the task model as it is; by default
    one is trained briefly. Outputs are predictions and `needs`."""
    classes = 0 if labels.dtype.is_floating_point else int(labels.max()) + 1
    rows, known, pool = as_rows(x), torch.arange(labeled), torch.arange(labeled, len(x))
    if module is None:
        config = TrainConfig(epochs=1, min_steps=20)
        model = TorchModel(lambda: default_net(tuple(x.shape[1:]), classes), config=config, device="cpu")
    else:
        model = TorchModel(module, fit=False, device="cpu")
    model.fit(rows, known, labels[known], classes, seed=0)
    fields = needs | {"log_probs" if classes else "means"}
    cpu = torch.device("cpu")
    view = PoolView(
        model.outputs(rows, pool, fields, seed=0, device=cpu),
        model.outputs(rows, known, fields, seed=0, device=cpu),
        labels[known],
        classes,
    )
    return RoundState(view, round, seed, pool, known, rows, pool, known, model=model)
