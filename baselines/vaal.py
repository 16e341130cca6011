"""VAAL: a discriminator tells latent codes of labeled points from those of the pool."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal.errors import InvalidInput

from ._training import Problem, TrainedSelector, check_loss, in_chunks, perceptron, stream

__all__ = ["VAAL", "VAE", "discriminator_loss", "evidence_loss", "fooling_loss"]


class VAE(nn.Module):
    """Encoder to the mean and log variance of a latent code, and a decoder back to the input.

    Images of 8x8 and more with at most four channels: three 4x4 convolutions of stride 2 and their transposes, `width`,
    2 `width` and 4 `width` wide (the authors have a fourth, and start from 128). Other rows: linear layers of 128.
    """

    def __init__(self, shape: tuple[int, ...], latent: int, width: int) -> None:
        super().__init__()
        self.shape = shape
        self.encoder: nn.Module
        self.decoder: nn.Module
        if len(shape) == 3 and shape[0] <= 4 and min(shape[1:]) >= 8:
            channels, height, wide = shape
            a, b, c = width, 2 * width, 4 * width
            self.encoder = nn.Sequential(_down(channels, a), _down(a, b), _down(b, c), nn.Flatten())
            high, across = math.ceil(height / 8), math.ceil(wide / 8)  # decoded images are cut to size
            self.decoder = nn.Sequential(
                nn.Linear(latent, c * high * across), nn.Unflatten(1, (c, high, across)),
                _up(c, b), _up(b, a), nn.ConvTranspose2d(a, channels, 4, 2, 1),
            )  # fmt: skip
            features = c * (height // 8) * (wide // 8)
        else:
            features = 128
            inputs = math.prod(shape)
            self.encoder = nn.Sequential(nn.Flatten(), perceptron(inputs, features, features), nn.ReLU())
            self.decoder = nn.Sequential(perceptron(latent, features, features, inputs), nn.Unflatten(1, shape))
        self.mean, self.log_variance = nn.Linear(features, latent), nn.Linear(features, latent)

    def code(self, x: Tensor) -> Tensor:
        """(n, latent) mean of the latent code."""
        return self.mean(self.encoder(x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction from a code that is drawn, (n, ...) as x; mean and log variance of the code, (n, latent)."""
        features = self.encoder(x)
        mean, log_variance = self.mean(features), self.log_variance(features)
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        again = self.decoder(drawn)
        return again[(..., *(slice(size) for size in self.shape))], mean, log_variance


def evidence_loss(x: Tensor, again: Tensor, mean: Tensor, log_variance: Tensor, beta: float) -> Tensor:
    """Mean over points of (squared error + beta * KL to the standard normal), divided by the inputs of a point."""
    error = (again - x).flatten(1).square().sum(dim=1)
    kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=1)
    return (error + beta * kl).mean()


def fooling_loss(labeled: Tensor, pool: Tensor) -> Tensor:
    """What the encoder wants of the discriminator's logits: cross-entropy with 1 for both."""
    return F.softplus(-labeled).mean() + F.softplus(-pool).mean()


def discriminator_loss(labeled: Tensor, pool: Tensor) -> Tensor:
    """Cross-entropy of its logits with 1 for labeled points and 0 for the pool."""
    return F.softplus(-labeled).mean() + F.softplus(pool).mean()


@dataclass
class VAAL(TrainedSelector):
    """Asks for the points whose latent code looks least like one of a labeled point.

    A variational autoencoder (`latent` numbers, KL weighted by `beta`) of labeled and pool inputs plays against a
    discriminator (latent-512-512-1) of its codes, whose loss it fears by `adversary`: two steps of the one, then one of
    the other, by Adam with 5e-4, as in the authors' code (100 epochs there). No label is read; the model that is
    measured is the ordinary task model. `network` is without effect: `width` is that of the autoencoder.

    The authors' code adds the KL summed over a batch to squared errors averaged over batch and pixels, so that codes
    carry next to nothing; both are per input of a point here. Labeled and pool points go through the encoder together,
    or batch normalisation would tell them apart while training, and not afterwards.
    """

    name: ClassVar[str] = "vaal"
    source: ClassVar[str] = "Sinha et al. 2019, arXiv 1904.00370"
    cost: ClassVar[str] = "1 training of an autoencoder on labels and pool"

    epochs: int = 20
    lr: float = 5e-4
    latent: int = 32
    width: int = 16
    beta: float = 1.0
    adversary: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent < 1 or self.width < 1 or self.beta < 0 or self.adversary < 0:
            raise InvalidInput(
                f"got latent={self.latent}, width={self.width}, beta={self.beta}, adversary={self.adversary}; wanted 1 "
                "or more of the first two, and no negative weights"
            )

    def _scores(self, problem: Problem) -> tuple[Tensor, dict[str, Any]]:
        vae = VAE(problem.shape, self.latent, self.width).to(problem.device)
        judge = perceptron(self.latent, 512, 512, 1).to(problem.device)
        losses = self._play(vae, judge, problem)
        scores = -in_chunks(vae, lambda x: judge(vae.code(x)).squeeze(1), problem.pool)
        return scores, {"steps": len(losses), "loss": losses[-1][0], "discriminator_loss": losses[-1][1]}

    def _play(self, vae: VAE, judge: nn.Module, problem: Problem) -> list[tuple[float, float]]:
        """Trains both; the losses of autoencoder and discriminator in each step."""
        first, second = (torch.optim.Adam(net.parameters(), self.lr) for net in (vae, judge))
        known = stream(len(problem.labeled), self.batch_size, problem.draws("labeled"))
        free = stream(len(problem.pool), self.batch_size, problem.draws("pool"))
        losses: list[tuple[float, float]] = []
        vae.train()
        for step in range(self._steps(max(len(problem.pool), len(problem.labeled)))):
            for _ in range(2):
                x, u = problem.labeled[next(known)], problem.pool[next(free)]
                n = len(x)
                again, mean, log_variance = vae(torch.cat([x, u]))
                logits = judge(mean)
                loss = evidence_loss(x, again[:n], mean[:n], log_variance[:n], self.beta)
                loss = loss + evidence_loss(u, again[n:], mean[n:], log_variance[n:], self.beta)
                loss = loss + self.adversary * fooling_loss(logits[:n], logits[n:])
                first.zero_grad(set_to_none=True)
                loss.backward()
                first.step()
            with torch.no_grad():
                codes = vae.code(torch.cat([x, u]))
            logits = judge(codes)
            told = discriminator_loss(logits[:n], logits[n:])
            second.zero_grad(set_to_none=True)
            told.backward()
            second.step()
            losses.append((check_loss(loss, step, self.name), check_loss(told, step, self.name)))
        return losses


def _down(a: int, b: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())


def _up(a: int, b: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
