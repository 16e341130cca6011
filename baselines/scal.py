"""SCAL: a network trained by supervised contrast, and a query by its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal.errors import InvalidInput, UnknownName
from autoal.models.evaluating import evaluating
from autoal.models.nets import EmbeddingNet
from autoal.strategies import FRE, FeatSim
from autoal.strategies.base import Proposal, Strategy

from ._training import (
    CLASSIFICATION,
    Problem,
    TrainedSelector,
    descend,
    perceptron,
    random_view,
    stream,
    view_of,
)

__all__ = ["SCAL", "supervised_contrastive_loss"]

QUERIES: dict[str, type[Strategy]] = {"fre": FRE, "featsim": FeatSim}


def supervised_contrastive_loss(z_n_d: Tensor, labels_n: Tensor, temperature: float) -> Tensor:
    """Mean over the views i with a partner of -mean_p log(exp(z_i z_p / t) / sum_{a != i} exp(z_i z_a / t)), p over the
    other views of the label of i; rows of length 1. 0 where no view has a partner."""
    z = z_n_d if z_n_d.dtype == torch.float64 else z_n_d.float()  # not in half precision
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    shares = (z @ z.T / temperature).masked_fill(itself, -torch.inf).log_softmax(dim=1).masked_fill(itself, 0)
    partner = (labels_n[:, None] == labels_n) & ~itself
    count = partner.sum(dim=1)
    each = -(shares * partner).sum(dim=1) / count.clamp_min(1)
    return each.sum() / (count > 0).sum().clamp_min(1)


@dataclass
class SCAL(TrainedSelector):
    """Trains a network by supervised contrast of two views of each labeled point, and asks by `query` on its features:
    `fre` (reconstruction error) or `featsim` (unlike the labeled points of the predicted class).

    With fewer than `joint_below` labels cross-entropy is trained beside the contrast (times `weight`); with more, the
    network by contrast alone, and then a linear classifier of its features, in half of the steps each. The paper's
    settings are not public: those, temperature 0.1, a projection of width 128 and the views (noise; shifts of images,
    dropped columns of other rows) are ours. The model that is measured is the ordinary task model, so that only the
    query is compared.
    """

    name: ClassVar[str] = "scal"
    source: ClassVar[str] = "Krishnan et al. 2021, arXiv 2109.06873"
    cost: ClassVar[str] = "1 training on two views"
    tasks: ClassVar[frozenset[str]] = CLASSIFICATION

    query: str = "fre"
    temperature: float = 0.1
    weight: float = 1.0
    joint_below: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.query not in QUERIES:
            raise UnknownName("query", self.query, QUERIES)
        if not self.temperature > 0 or self.weight < 0 or self.joint_below < 0:
            raise InvalidInput(
                f"got temperature={self.temperature}, weight={self.weight}, joint_below={self.joint_below}; wanted a "
                "temperature above 0, and no negative numbers"
            )

    def _propose(self, problem: Problem, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        net = self._network(problem)
        losses = self._train(net, problem)
        proposal = QUERIES[self.query]().propose(view_of(net, problem), batch_size, problem.draws("query"))
        return proposal, {"steps": len(losses), "loss": losses[-1]}

    def _train(self, net: EmbeddingNet, problem: Problem) -> list[float]:
        """The loss of each step; where classifier and network are trained apart, those of the network come first."""
        width = net.head.in_features
        project = perceptron(width, width, 128).to(problem.device)
        batches, draws = stream(len(problem.labeled), self.batch_size, problem.draws("batches")), problem.draws("views")
        joint, steps = len(problem.labeled) < self.joint_below, self._steps(len(problem.labeled))

        def two_views() -> tuple[Tensor, Tensor]:
            batch = next(batches)
            x, y = problem.labeled[batch], problem.labels[batch.to(problem.device)]
            return net.embed(torch.cat([random_view(x, draws), random_view(x, draws)])), torch.cat([y, y])

        def contrast(step: int) -> Tensor:
            features, labels = two_views()
            z = F.normalize(project(features), dim=1, eps=1e-8)
            loss = self.weight * supervised_contrastive_loss(z, labels, self.temperature)
            return loss + F.cross_entropy(net.head(net.dropout(features)), labels) if joint else loss

        def classify(step: int) -> Tensor:
            with evaluating(net):
                features, labels = two_views()
            return F.cross_entropy(net.head(features), labels)

        net.train()
        both: list[nn.Parameter] = [*net.parameters(), *project.parameters()]
        if joint:
            return descend(both, contrast, steps, self.lr, self.name)
        losses = descend(both, contrast, (steps + 1) // 2, self.lr, self.name)
        return losses + descend(net.head.parameters(), classify, (steps + 1) // 2, self.lr, self.name)
