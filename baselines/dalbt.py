"""DALBT: a classifier trained together with Barlow Twins on labeled points and pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal.errors import InvalidInput, UnknownName
from autoal.models.nets import EmbeddingNet
from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies import KCenter, Margin
from autoal.strategies.base import Proposal, top_scores

from ._training import (
    CLASSIFICATION,
    Problem,
    TrainedSelector,
    descend,
    in_chunks,
    random_view,
    stream,
    view_of,
)

__all__ = ["DALBT", "barlow_twins_loss"]

WIDTH = 256
PAIRS = 4
"""Pairs of views of each pool point that a query by views looks at."""
QUERIES = ("kcenter", "inconsistency", "margin")


def barlow_twins_loss(a_n_d: Tensor, b_n_d: Tensor, off_diagonal: float) -> Tensor:
    """sum_i (1 - C_ii)^2 + off_diagonal * sum_{i != j} C_ij^2, C the cross-correlation of two views over n points."""
    correlation = _standard(a_n_d).T @ _standard(b_n_d) / len(a_n_d)
    diagonal = correlation.diagonal()
    rest = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + off_diagonal * rest


def _standard(z_n_d: Tensor) -> Tensor:
    """Columns of mean 0 and deviation 1; constant ones become 0."""
    z = z_n_d if z_n_d.dtype == torch.float64 else z_n_d.float()
    return (z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt()


@dataclass
class DALBT(TrainedSelector):
    """Trains a network on cross-entropy of the labeled points and the Barlow Twins loss of labeled points and pool,
    after a share `warm_up` of the steps on the latter alone, and asks by `query`: `kcenter` on its features,
    `inconsistency` (1 less the mean cosine of the projections of four pairs of views), or `margin` of the probabilities
    averaged over those views.

    The paper's rule and settings are not public; these are ours: a projector 2 x 256, off-diagonal weight 5e-3, the
    loss weighted by `weight` over the projector's width, views by noise and shifts of images or dropped columns of
    other rows. A step has `batch_size` points of the pool and half as many labeled ones. The model that is measured is
    the ordinary task model, so that only the query is compared.
    """

    name: ClassVar[str] = "dalbt"
    source: ClassVar[str] = "after Mandivarapu et al. 2022, arXiv 2212.14658"
    cost: ClassVar[str] = "1 training on two views of labels and pool"
    tasks: ClassVar[frozenset[str]] = CLASSIFICATION

    epochs: int = 20
    query: str = "kcenter"
    weight: float = 0.1
    off_diagonal: float = 5e-3
    warm_up: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.query not in QUERIES:
            raise UnknownName("query", self.query, QUERIES)
        if self.weight < 0 or self.off_diagonal < 0 or not 0 <= self.warm_up < 1:
            raise InvalidInput(
                f"got weight={self.weight}, off_diagonal={self.off_diagonal}, warm_up={self.warm_up}; wanted no "
                "negative weights, and a share below 1"
            )

    def _propose(self, problem: Problem, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        net = self._network(problem)
        project = nn.Sequential(
            nn.Linear(net.head.in_features, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)
        ).to(problem.device)  # fmt: skip
        losses = self._train(net, project, problem)
        project.eval()
        record = {"steps": len(losses), "loss": losses[-1]}
        if self.query == "inconsistency":
            scores = inconsistency(net, project, problem)
            return top_scores(scores.cpu(), batch_size, problem.draws("ties")), record
        if self.query == "margin":
            return Margin().propose(over_views(net, problem), batch_size, problem.draws("query")), record
        return KCenter().propose(view_of(net, problem), batch_size, problem.draws("query")), record

    def _train(self, net: EmbeddingNet, project: nn.Module, problem: Problem) -> list[float]:
        """The loss of each step."""
        steps = self._steps(len(problem.pool))
        known = stream(len(problem.labeled), max(1, self.batch_size // 2), problem.draws("labeled"))
        free = stream(len(problem.pool), self.batch_size, problem.draws("pool"))
        draws = problem.draws("views")

        def loss_of(step: int) -> Tensor:
            batch = next(known)
            x = torch.cat([problem.labeled[batch], problem.pool[next(free)]])
            features = net.embed(torch.cat([random_view(x, draws), random_view(x, draws)]))
            a, b = project(features).chunk(2)
            twins = self.weight * barlow_twins_loss(a, b, self.off_diagonal) / WIDTH
            if step < self.warm_up * steps:
                return twins
            n, y = len(batch), problem.labels[batch.to(problem.device)]
            seen = torch.cat([features[:n], features[len(x) : len(x) + n]])
            return twins + F.cross_entropy(net.head(net.dropout(seen)), torch.cat([y, y]))

        net.train()
        return descend([*net.parameters(), *project.parameters()], loss_of, steps, self.lr, self.name)


def inconsistency(net: EmbeddingNet, project: nn.Module, problem: Problem) -> Tensor:
    """(N,) 1 less the cosine of the projections of two views of a point, averaged over pairs of views."""
    draws = problem.draws("query views")

    def apart(x: Tensor) -> Tensor:
        a, b = (project(net.embed(random_view(x, draws))) for _ in range(2))
        return 1 - F.cosine_similarity(a, b)

    return torch.stack([in_chunks(net, apart, problem.pool) for _ in range(PAIRS)]).mean(dim=0)


def over_views(net: EmbeddingNet, problem: Problem) -> PoolView:
    """Log of the class probabilities of each pool point, averaged over views."""
    draws = problem.draws("query views")

    def log_probs(x: Tensor) -> Tensor:
        return net(random_view(x, draws)).log_softmax(dim=1)

    each = torch.stack([in_chunks(net, log_probs, problem.pool) for _ in range(2 * PAIRS)])
    mean = each.logsumexp(dim=0).log_softmax(dim=1)
    return PoolView(ModelOutputs(log_probs=mean), ModelOutputs(), problem.labels, problem.num_classes)
