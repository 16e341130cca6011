"""WAAL: a critic measures how far the features of the pool are from those of the labeled points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal.errors import InvalidInput
from autoal.models.nets import EmbeddingNet

from ._training import (
    CLASSIFICATION,
    Problem,
    TrainedSelector,
    check_loss,
    in_chunks,
    perceptron,
    stream,
)

__all__ = ["WAAL", "distance", "gradient_penalty", "uncertainty"]

SMALLEST = 1e-12


def distance(pool: Tensor, labeled: Tensor, gamma: float) -> Tensor:
    """Mean of the critic over the pool less gamma times its mean over the labeled points."""
    return pool.mean() - gamma * labeled.mean()


def gradient_penalty(critic: nn.Module, points_n_D: Tensor) -> Tensor:
    """Mean of (length of the critic's gradient - 1)^2 at these points."""
    points = points_n_D.detach().requires_grad_(True)
    slopes = torch.autograd.grad(critic(points).sum(), points, create_graph=True)[0]
    return (slopes.norm(dim=1) - 1).square().mean()


def uncertainty(log_probs_n_C: Tensor) -> Tensor:
    """(n,) float64 half the length of log p and half the sum of -log p: smallest where the prediction is uniform."""
    costs = -log_probs_n_C.double().clamp_min(torch.tensor(SMALLEST, dtype=torch.float64).log().item())
    return 0.5 * costs.norm(dim=1) + 0.5 * costs.sum(dim=1)


@dataclass
class WAAL(TrainedSelector):
    """Asks for points that are uncertain and that a critic of the features finds far from the labeled ones.

    A network and a critic (D-512-512-1) play: the network lowers cross-entropy + `alpha` * distance, the critic raises
    the distance, with `penalty` times its gradient penalty at mixtures of the two; distance = mean of the critic over
    the pool less that over the labeled points. The score is `kappa` * critic - uncertainty. In the paper the network is
    also the model that is measured; here that is the ordinary task model, so that only the query is compared. An epoch
    is one over the pool (authors: 80 by SGD), whose steps are far more than those of the task model.

    `faithful=True` is the authors' code: the critic ends in a sigmoid; its mean over the labeled points is weighted by
    L / N (without the sigmoid that has no bound); it raises the penalty too, with weight 2, in mixtures and both their
    ends. Their penalty in the network's step is of features that are cut off from it, so it moves nothing, and is left
    out. Labeled and pool points go through the network together, for the sake of batch normalisation.
    """

    name: ClassVar[str] = "waal"
    source: ClassVar[str] = "Shui et al. 2020, arXiv 1911.09162"
    cost: ClassVar[str] = "1 training on labels and pool"
    tasks: ClassVar[frozenset[str]] = CLASSIFICATION

    epochs: int = 20
    alpha: float = 2e-3
    kappa: float = 10.0
    penalty: float = 10.0
    faithful: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha < 0 or self.kappa < 0 or self.penalty < 0:
            raise InvalidInput(
                f"got alpha={self.alpha}, kappa={self.kappa}, penalty={self.penalty}; wanted no negative numbers"
            )

    def _scores(self, problem: Problem) -> tuple[Tensor, dict[str, Any]]:
        net = self._network(problem)
        critic = perceptron(net.head.in_features, 512, 512, 1).to(problem.device)
        if self.faithful:
            critic.append(nn.Sigmoid())
        losses = self._play(net, critic, problem)

        def score(x: Tensor) -> Tensor:
            features = net.embed(x)
            doubt = uncertainty(net.head(features).log_softmax(dim=1))
            return self.kappa * critic(features).squeeze(1).double() - doubt

        return in_chunks(net, score, problem.pool), {
            "steps": len(losses), "loss": losses[-1][0], "distance": losses[-1][1]
        }  # fmt: skip

    def _play(self, net: EmbeddingNet, critic: nn.Module, problem: Problem) -> list[tuple[float, float]]:
        """Trains both; cross-entropy and distance in each step."""
        first, second = (torch.optim.AdamW(part.parameters(), self.lr) for part in (net, critic))
        size = min(self.batch_size, len(problem.labeled), len(problem.pool))
        known = stream(len(problem.labeled), size, problem.draws("labeled"))
        free = stream(len(problem.pool), size, problem.draws("pool"))
        draws = problem.draws("mixtures")
        gamma = len(problem.labeled) / len(problem.pool) if self.faithful else 1.0
        losses: list[tuple[float, float]] = []
        net.train()
        for step in range(self._steps(len(problem.pool))):
            batch = next(known)
            y = problem.labels[batch.to(problem.device)]
            features = net.embed(torch.cat([problem.labeled[batch], problem.pool[next(free)]]))
            a, b = features.detach().split(size)
            mix = torch.rand(size, 1, generator=draws).to(a)
            between = mix * b + (1 - mix) * a
            apart = distance(critic(b), critic(a), gamma)
            if self.faithful:
                against = -self.alpha * (apart + 2 * gradient_penalty(critic, torch.cat([between, a, b])))
            else:
                against = self.penalty * gradient_penalty(critic, between) - apart
            second.zero_grad(set_to_none=True)
            against.backward()
            second.step()
            a, b = features.split(size)
            wrong = F.cross_entropy(net.head(net.dropout(a)), y)
            loss = wrong + self.alpha * distance(critic(b), critic(a), gamma)
            first.zero_grad(set_to_none=True)
            loss.backward()
            first.step()
            check_loss(against, step, self.name)
            losses.append((check_loss(wrong, step, self.name), float(apart.detach())))
        return losses
