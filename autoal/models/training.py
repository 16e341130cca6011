"""Training a torch module on a few labeled rows, as a function of a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal import rng
from autoal.data.batches import Parts
from autoal.data.rows import Rows
from autoal.errors import AutoALError, InvalidInput
from autoal.models.base import Progress
from autoal.models.eager import eager
from autoal.models.forward import cast, forward
from autoal.models.nets import logits_of

__all__ = ["TrainConfig", "train"]

_HELD_BYTES = 2**30
"""Training rows up to this size are read once; larger sets are read batch by batch."""


@dataclass(frozen=True)
class TrainConfig:
    """How a module is trained. The defaults suit small networks trained from scratch on tens to thousands of labels."""

    epochs: int = 50
    lr: float = 1e-3
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    """`sgd` has Nesterov momentum 0.9."""
    weight_decay: float = 1e-2
    batch_size: int = 64
    schedule: Literal["cosine", "none"] = "cosine"
    min_steps: int = 300
    """Epochs are added until there are this many steps: 50 epochs over 20 labels would be 50 steps, too few to fit."""
    patience: int | None = 20
    """Stops after this many epochs without a lower training loss, so no label is spent on validation; None: never."""
    amp: bool = True
    """bfloat16 on CUDA devices that have it; elsewhere without effect."""
    augment: bool = False
    """Images: random crops after padding by an eighth, and horizontal flips."""

    def __post_init__(self) -> None:
        for name in ("epochs", "lr", "batch_size"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"got {name}={getattr(self, name)}; wanted more than 0")
        if self.optimizer not in ("adam", "adamw", "sgd"):
            raise InvalidInput(f"got optimizer={self.optimizer!r}; wanted 'adam', 'adamw' or 'sgd'")
        if self.schedule not in ("cosine", "none"):
            raise InvalidInput(f"got schedule={self.schedule!r}; wanted 'cosine' or 'none'")
        if self.weight_decay < 0 or self.min_steps < 0 or (self.patience is not None and self.patience < 1):
            raise InvalidInput("weight_decay and min_steps must not be negative, patience must be 1 or more, or None")


def train(
    module: nn.Module,
    rows: Rows,
    indices: Tensor,
    labels: Tensor,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    progress: Progress | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    penalty: Callable[[nn.Module, Tensor], Tensor] | None = None,
    read: Callable[[Tensor], Any] | None = None,
) -> list[float]:
    """Trains `module`, which is on `device`, in place on transform(rows[indices]); loss of each epoch.

    `read(indices)` gives rows in place of `rows.take`, tensors or parts.

    The loss is cross-entropy, or the mean squared error where labels are floating-point numbers; `penalty(module,
    positions)`, for the rows of a batch by their place in `indices`, is added to it.

    Batches, augmentation and dropout are functions of `seed`: same seed, same weights, bit for bit on a CPU,
    and the global generators are left as they were. A batch of one point is joined to the one before it, since batch
    normalisation has no variance there; where it is the only point, normalisation uses its running statistics.

    Raises InvalidInput where nothing can be trained, AutoALError where the loss is not finite.
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    if not weights:
        raise InvalidInput("the module has no trainable parameters; pass fit=False to use it as it is")
    n = len(indices)
    batches_per_epoch = len(list(_batches(torch.arange(n), config.batch_size)))
    epochs = max(config.epochs, math.ceil(config.min_steps / batches_per_epoch))
    optimizer = _optimizer(weights, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(config, epochs * batches_per_epoch))
    held = rows.take(indices) if read is None and 4 * n * rows.cost <= _HELD_BYTES else None
    read = rows.take if read is None else read
    dtype, order = weights[0].dtype, rng.generator(seed, "batches")
    amp = config.amp and device.type == "cuda" and torch.cuda.is_bf16_supported()
    losses: list[float] = []
    best, waited = math.inf, 0
    with rng.isolated(rng.derive_seed(seed, "training")):
        for epoch in range(epochs):
            module.train()
            total = torch.zeros((), device=device)
            for batch in _batches(torch.randperm(n, generator=order), config.batch_size):
                x = read(indices[batch]) if held is None else held[batch]
                x = x.to(device) if transform is None else transform(x.to(device))
                if config.augment and isinstance(x, Tensor) and x.ndim == 4 and x.is_floating_point():
                    x = _augmented(x, order)
                if len(batch) == 1:
                    _freeze_normalisation(module)
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=amp):
                    logits = logits_of(forward(module, cast(x, dtype)))
                loss = _loss(logits.float() if amp else logits, labels[batch].to(device))
                if penalty is not None:
                    loss = loss + penalty(module, batch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.detach() * len(batch)
            losses.append(float(total) / n)
            if not math.isfinite(losses[-1]):
                gaps = _rows_with_gaps(read, indices, config.batch_size)
                if gaps:
                    raise InvalidInput(
                        f"rows {gaps[:5]} hold NaN or infinite values, which the network cannot learn from; fill them "
                        "in or drop those rows"
                    )
                raise AutoALError(
                    f"the training loss is {losses[-1]} in epoch {epoch + 1} (lr={config.lr}); lower the learning "
                    "rate, or check the scale of the inputs"
                )
            if progress is not None:
                progress("training", epoch + 1, epochs)
            best, waited = (losses[-1], 0) if losses[-1] < best * 0.999 else (best, waited + 1)
            if config.patience is not None and waited >= config.patience:
                break
    return losses


def _rows_with_gaps(read: Callable[[Tensor], Any], indices: Tensor, size: int) -> list[int]:
    """Those of the rows in which a real number is NaN or infinite."""
    found: list[int] = []
    for part in indices.split(size):
        held: list[Tensor] = []
        x = read(part)
        x.map(held.append) if isinstance(x, Parts) else held.append(x)
        for values in held:
            if values.is_floating_point() and values.ndim and len(values) == len(part):
                found += part[~values.reshape(len(part), -1).isfinite().all(1)].tolist()
    return sorted(set(found))


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    if labels.dtype.is_floating_point:
        return F.mse_loss(outputs.reshape(labels.shape), labels.to(outputs.dtype))
    return F.cross_entropy(outputs, labels)


def _batches(order: Tensor, size: int) -> Iterator[Tensor]:
    """Parts of `order`, the last one longer by a point where it would be alone."""
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    yield from parts


def _optimizer(weights: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        made = eager(torch.optim.SGD)(weights, config.lr, momentum=0.9, nesterov=True, weight_decay=config.weight_decay)
    else:
        kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        made = eager(kind)(weights, config.lr, weight_decay=config.weight_decay)
    return made


def _schedule(config: TrainConfig, steps: int) -> Callable[[int], float]:
    """Factor of the learning rate at each step."""
    if config.schedule == "none":
        return lambda step: 1.0
    return lambda step: 0.5 * (1.0 + math.cos(math.pi * min(step, steps) / steps))


def _freeze_normalisation(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def _augmented(x: Tensor, draws: torch.Generator) -> Tensor:
    """Each image shifted by up to an eighth of its height, zeros coming in, and flipped or not."""
    n, _, height, width = x.shape
    margin = max(1, height // 8)
    padded = F.pad(x, (margin,) * 4)
    top, left = torch.randint(0, 2 * margin + 1, (2, n), generator=draws).to(x.device)
    flip = (torch.rand(n, generator=draws) < 0.5).to(x.device)
    down = top[:, None] + torch.arange(height, device=x.device)
    across = left[:, None] + torch.arange(width, device=x.device)
    across = torch.where(flip[:, None], across.flip(1), across)
    points = torch.arange(n, device=x.device)[:, None, None]
    return padded[points, :, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)
