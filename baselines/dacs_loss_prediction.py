"""DACS with loss prediction: a batch spread over sparse regions, of the points with the largest predicted loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal.compute import full_precision_matmul
from autoal.strategies.base import Proposal, ordered, random_ties
from autoal.strategies.diversity.dacs import DACS
from autoal.strategies.parts.distances import unit_rows

from ._training import Points, Problem, in_chunks, supervised_loss
from .loss_prediction import LossPrediction, stage_widths, train_with_loss_head

__all__ = ["DACSLossPrediction", "DirectionHead"]


class DirectionHead(nn.Module):
    """Unit vectors (n, m) from the features of all stages, by one hidden layer, and outputs that are linear in them."""

    def __init__(self, widths: list[int], directions: int, outputs: int, hidden: int = 128) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(sum(widths), hidden), nn.Linear(hidden, directions)
        self.last = nn.Linear(directions, outputs)

    def directions(self, stages: list[Tensor]) -> Tensor:
        return unit_rows(self.second(F.relu(self.first(torch.cat(stages, dim=1)))))

    def forward(self, stages: list[Tensor]) -> Tensor:
        return self.last(self.directions(stages))


@dataclass
class DACSLossPrediction(LossPrediction):
    """Chooses `factor` times as many points as wanted by DACS, and asks for those of the largest predicted loss.

    A network of our own learns the labels with two heads beside its own: one predicts losses (as `loss_prediction`),
    the other the labels from vectors of length 1, of width `width`, without a part in how the network moves. Density
    and k-center read these vectors. `groups`, `neighbours`, `density`, `share` and `temperature` are those of the
    candidate `dacs`.

    The paper gives neither the head nor how the two are put together in numbers: width 32, a hidden layer of 128, and
    four times as many points are ours.
    """

    name: ClassVar[str] = "dacs_loss_prediction"
    source: ClassVar[str] = "Kim and Shin, KDD 2022, arXiv 2206.04838; Yoo and Kweon 2019, arXiv 1905.03677"
    cost: ClassVar[str] = "1 training"

    groups: int = 4
    neighbours: int = 20
    density: str = "knn"
    share: str = "size"
    temperature: float = 0.25
    width: int = 32
    factor: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._dacs().check("classification")

    def _dacs(self) -> DACS:
        return DACS(
            self.groups, self.neighbours, self.density, self.share, self.temperature, self.width, factor=self.factor
        )

    def _propose(self, problem: Problem, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        loss_N, pool_N_m, labeled_L_m, diagnostics = self.looked_at(problem)
        draws, wanted = problem.draws("choice"), min(len(loss_N), self.factor * batch_size)
        with torch.no_grad(), full_precision_matmul():
            spread, _ = self._dacs().spread(pool_N_m, labeled_L_m, wanted, draws)
        best = random_ties(loss_N[spread], draws)[:batch_size]
        return ordered(spread[best], loss_N), diagnostics

    def looked_at(self, problem: Problem) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
        """(N,) predicted loss and (N, m) unit vectors of the pool, (L, m) of the labeled points; what to record."""
        net, steps = self._network(problem), self._steps(len(problem.labeled))
        widths = stage_widths(net, problem)
        head = DirectionHead(widths, self.width, max(1, problem.num_classes)).to(problem.device)

        def beside(stages: list[Tensor], labels: Tensor) -> Tensor:
            return supervised_loss(head([features.detach() for features in stages]), labels).mean()

        net, loss_head, losses = train_with_loss_head(
            net, problem, steps, self.batch_size, self.lr, self.margin, self.weight, self.detach,
            beside=(head, beside),
        )  # fmt: skip

        def directions(points: Points) -> Tensor:
            return in_chunks(net, lambda x: head.directions(net.stages(x)), points)

        loss_N = in_chunks(net, lambda x: loss_head(net.stages(x)), problem.pool)
        return loss_N, directions(problem.pool), directions(problem.labeled), {"steps": steps, "loss": losses[-1]}
