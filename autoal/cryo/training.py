"""Training of the masked autoencoder on a reference micrograph with few marks in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoal.compute import steady
from autoal.cryo.similarity import Likeness, self_cross
from autoal.cryo.windows import windows
from autoal.models.eager import eager
from autoal.models.masked import MaskedAutoencoder
from autoal.rng import generator, numpy_rng

__all__ = ["Recipe", "Reference", "train"]

Floats = NDArray[np.floating[Any]]
SHIFT = 0.05
NEAR = (0.35, 0.9)
"""Diameters by which an off-centre copy of an exemplar is moved: it surely holds no centred particle."""
OTHERS = 2000


@dataclass(frozen=True)
class Reference:
    """A prepared micrograph, and middles (n, 2) in it of the exemplars and of what is known to be none."""

    pixels: NDArray[np.float32]
    exemplars: Floats
    negatives: Floats


@dataclass(frozen=True)
class Recipe:
    """How the network is trained; see CryoMAE."""

    steps: int = 300
    batch: int = 32
    lam: float = 0.5
    tau: float = 0.2
    pi: float = 0.2
    near: float = 0.3
    lr: float = 1.5e-3
    decay: float = 0.05


def train(
    net: MaskedAutoencoder,
    references: list[Reference],
    diameter: float,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    report: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Trains `net` in place; gives both parts of the loss for each step. A function of `seed` on a CPU."""
    draws = _Draws(references, diameter, net.side, recipe, numpy_rng(seed, "cryo windows"))
    masks = generator(seed, "cryo masks")
    likeness = Likeness(OTHERS, recipe.pi)
    optimiser = eager(torch.optim.AdamW)(net.parameters(), lr=recipe.lr, betas=(0.9, 0.95), weight_decay=recipe.decay)
    history = []
    net.train()
    with steady(net, device):
        for step in range(recipe.steps):
            done = step / recipe.steps
            for group in optimiser.param_groups:
                group["lr"] = recipe.lr * _schedule(done)
            drawn, unlabeled, which = draws.batch()
            x = torch.from_numpy(drawn).to(device)
            rec = net.losses(x, net.draw_masks(len(x), masks).to(device))
            weights = torch.ones_like(rec)
            weights[recipe.batch :] = 1 - recipe.pi
            loss = (weights * rec).sum() / weights.sum()
            said = {"reconstruction": float(loss.detach()), "self_cross": 0.0}
            lam = recipe.lam * min(1.0, max(0.0, (done - 0.1) / 0.2))
            if lam > 0:
                features = net.features(x)
                positives, others = features[: recipe.batch], features[recipe.batch :]
                omega = torch.ones(len(others), device=device)
                if len(which):
                    free = torch.from_numpy(unlabeled).to(device)
                    omega[free] = likeness.omega(which, others[free].detach(), positives.detach())
                cross = self_cross(positives, others, omega, recipe.tau)
                said["self_cross"] = float(cross.detach())
                loss = loss + lam * cross
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            history.append(said)
            if report is not None:
                report(step + 1, recipe.steps)
    net.eval()
    return history


def _schedule(done: float) -> float:
    """Linear over the first tenth, then half a cosine."""
    return (done + 1e-3) / 0.1 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))


class _Draws:
    """Batches of windows: positives first, then as many others."""

    def __init__(
        self, references: list[Reference], diameter: float, side: int, recipe: Recipe, rng: np.random.Generator
    ) -> None:
        self.pictures = [reference.pixels for reference in references]
        self.diameter, self.side, self.recipe, self.rng = diameter, side, recipe, rng
        self.exemplars = _together([reference.exemplars for reference in references])
        self.negatives = _together([reference.negatives for reference in references])
        areas = np.asarray([picture.size for picture in self.pictures], dtype=np.float64)
        owner = rng.choice(len(areas), OTHERS, p=areas / areas.sum())
        shapes = np.asarray([picture.shape for picture in self.pictures])[owner]
        self.others = np.column_stack([owner, rng.random((OTHERS, 2)) * shapes - 0.5])

    def batch(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """(2 b, side, side) windows; which of the last b are unlabeled (k,), and their numbers among them."""
        rng, b, d = self.rng, self.recipe.batch, self.diameter
        positives = self.exemplars[rng.integers(len(self.exemplars), size=b)]
        positives[:, 1:] += rng.uniform(-SHIFT * d, SHIFT * d, (b, 2))
        known = b // 4 if len(self.negatives) else 0
        free = b - known
        which = rng.integers(OTHERS, size=free)
        others = self.others[which]
        copies = rng.random(free) < self.recipe.near
        moved = self.exemplars[rng.integers(len(self.exemplars), size=free)]
        way, far = rng.uniform(0, 2 * np.pi, free), d * rng.uniform(*NEAR, free)
        moved[:, 1:] += np.column_stack([np.sin(way), np.cos(way)]) * far[:, None]
        others = np.where(copies[:, None], moved, others)
        if known:
            others = np.concatenate([others, self.negatives[rng.integers(len(self.negatives), size=known)]])
        where = np.concatenate([positives, others])
        unlabeled = np.flatnonzero(~copies)
        return self._cut(where), unlabeled, which[unlabeled]

    def _cut(self, where: Floats) -> NDArray[np.float32]:
        angles, flips = self.rng.uniform(0, 2 * np.pi, len(where)), self.rng.random(len(where)) < 0.5
        out = np.empty((len(where), self.side, self.side), dtype=np.float32)
        for number, picture in enumerate(self.pictures):
            mine = where[:, 0] == number
            if mine.any():
                out[mine] = windows(picture, where[mine, 1:], self.side, angles=angles[mine], flips=flips[mine])
        return out


def _together(middles: list[Floats]) -> Floats:
    """(n, 3): number of the picture, row, column."""
    return np.concatenate(
        [np.column_stack([np.full(len(m), i), np.reshape(m, (-1, 2))]) for i, m in enumerate(middles)]
    )
