"""Loss prediction: a head of the network learns which points it will be wrong about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal.errors import InvalidInput
from autoal.models.nets import EmbeddingNet

from ._training import Problem, TrainedSelector, descend, in_chunks, stream, supervised_loss

__all__ = ["LossHead", "LossPrediction", "pair_loss", "train_with_loss_head"]


class LossHead(nn.Module):
    """Predicted loss (n,) from the features of each stage: linear to 128 and ReLU for each, joined, then linear."""

    def __init__(self, widths: list[int], hidden: int = 128) -> None:
        super().__init__()
        self.each = nn.ModuleList(nn.Linear(width, hidden) for width in widths)
        self.last = nn.Linear(hidden * len(widths), 1)

    def forward(self, stages: list[Tensor]) -> Tensor:
        joined = [F.relu(layer(features)) for layer, features in zip(self.each, stages, strict=True)]
        return self.last(torch.cat(joined, dim=1)).squeeze(1)


def pair_loss(predicted_n: Tensor, true_n: Tensor, margin: float) -> Tensor:
    """Mean over the pairs (i, n - 1 - i) of max(0, margin - sign(l_i - l_j) (p_i - p_j)); equal losses count as -1.

    The middle one of an odd number is left out; 0 where there is no pair.
    """
    half = len(true_n) // 2
    if half == 0:
        return predicted_n.sum() * 0
    gap = predicted_n[:half] - predicted_n.flip(0)[:half]
    sign = torch.where(true_n[:half] > true_n.flip(0)[:half], 1.0, -1.0)
    return F.relu(margin - sign * gap).mean()


@dataclass
class LossPrediction(TrainedSelector):
    """Asks for the points with the largest predicted loss.

    A network of our own learns the labels, and a head on the pooled features of all its stages which of two points has
    the larger loss: total = mean loss + `weight` * pair loss with margin `margin`; after the share `detach` of the
    steps the head no longer moves the network. Both start anew in each round. The paper (four stages) trains 200
    epochs by SGD, detaches at 60 %, scores a random subset of 10 000 points; the whole pool is scored here. The
    model that is measured is the ordinary task model.
    """

    name: ClassVar[str] = "loss_prediction"
    source: ClassVar[str] = "Yoo and Kweon 2019, arXiv 1905.03677"
    cost: ClassVar[str] = "1 training"

    margin: float = 1.0
    weight: float = 1.0
    detach: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.detach <= 1 or self.margin < 0 or self.weight < 0:
            raise InvalidInput(
                f"got detach={self.detach}, margin={self.margin}, weight={self.weight}; wanted a share, and no "
                "negative numbers"
            )

    def _scores(self, problem: Problem) -> tuple[Tensor, dict[str, Any]]:
        steps = self._steps(len(problem.labeled))
        net, head, losses = train_with_loss_head(
            self._network(problem), problem, steps, self.batch_size, self.lr, self.margin, self.weight, self.detach
        )
        scores = in_chunks(net, lambda x: head(net.stages(x)), problem.pool)
        return scores, {"steps": steps, "loss": losses[-1]}


def train_with_loss_head(
    net: EmbeddingNet, problem: Problem, steps: int, batch_size: int, lr: float, margin: float, weight: float,
    detach: float, beside: tuple[nn.Module, Callable[[list[Tensor], Tensor], Tensor]] | None = None,
) -> tuple[EmbeddingNet, LossHead, list[float]]:  # fmt: skip
    """Trains `net` with a loss head on the labeled points; `beside` is a further head and its loss, by the features of
    the stages and the labels of a batch."""
    head = LossHead(stage_widths(net, problem)).to(problem.device)
    batches = stream(len(problem.labeled), batch_size, problem.draws("batches"))

    def loss_of(step: int) -> Tensor:
        batch = next(batches)
        stages = net.stages(problem.labeled[batch])
        each = supervised_loss(net.head(net.dropout(stages[-1])), problem.labels[batch.to(problem.device)])
        seen = [features.detach() for features in stages] if step >= detach * steps else stages
        loss = each.mean() + weight * pair_loss(head(seen), each.detach(), margin)
        return loss if beside is None else loss + beside[1](stages, problem.labels[batch.to(problem.device)])

    net.train()
    further = [] if beside is None else list(beside[0].parameters())
    losses = descend([*net.parameters(), *head.parameters(), *further], loss_of, steps, lr, "the loss head")
    return net, head, losses


def stage_widths(net: EmbeddingNet, problem: Problem) -> list[int]:
    """Width of the features of each stage."""
    net.eval()
    with torch.no_grad():
        return [features.shape[1] for features in net.stages(problem.labeled[:1])]
