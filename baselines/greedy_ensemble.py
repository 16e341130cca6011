"""A greedy ensemble: networks trained one after another, each to differ from those before it, and their votes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autoal import rng
from autoal.errors import InvalidInput, UnknownName
from autoal.models.ensembles import Repulsion, train_members
from autoal.models.nets import EmbeddingNet
from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies import CANDIDATES
from autoal.strategies.base import Proposal

from ._training import (
    CLASSIFICATION,
    Points,
    Problem,
    TrainedSelector,
    descend,
    in_chunks,
    stream,
    supervised_loss,
)

__all__ = ["GIVEN", "GreedyEnsemble"]

GIVEN = frozenset({"log_probs", "mc_log_probs", "ensemble_log_probs", "greedy_log_probs", "embeddings"})
"""Fields an ensemble can give: its mean, its members, and the features of its first one."""
_NOISE = 0.1


@dataclass
class GreedyEnsemble(TrainedSelector):
    """Trains `members` networks of its own, and asks for what `base` wants of them: by default the points on which
    their votes are most split.

    The ensemble is the greedy approximation of a posterior in function space by an f-divergence: each member minimises
    its loss plus logsumexp_j(-`strength` d_j), where d_j is the mean squared distance of its probabilities from those
    of an earlier member j. Strength 0 is a deep ensemble. Distances are measured at Gaussian points five deviations
    wide around the labeled ones (`around = "noise"`, the source), or at points of the pool with a little noise
    (`"pool"`; ours).

    The source has 11 members and no active learning; of its grid from 0.001 to 10, strength 1 to 5 was best for large
    networks (3 for PreResNet164). Small ones lose the labels with so much: 3 takes a quarter of the training accuracy
    of an MLP on two moons, hence 0.1. `base` is any candidate that reads probabilities of one or more networks, or
    embeddings. Of classes alone: in a regression the distance, and so the penalty, has no bound.
    """

    name: ClassVar[str] = "greedy_ensemble"
    source: ClassVar[str] = "Tiulpin and Blaschko, TMLR 2022, arXiv 2105.14275; votes: Beluch et al., CVPR 2018"
    cost: ClassVar[str] = "M trainings, all but the first twice as long; M = 5"
    tasks: ClassVar[frozenset[str]] = CLASSIFICATION

    members: int = 5
    strength: float = 0.1
    around: str = "noise"
    base: str = "greedy_ensemble_variation_ratio"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.members < 1 or not self.strength >= 0:
            raise InvalidInput(f"got members={self.members}, strength={self.strength}; wanted 1 or more, 0 or more")
        if self.around not in ("noise", "pool"):
            raise UnknownName("around", self.around, ("noise", "pool"))
        if self.base not in CANDIDATES:
            raise UnknownName("strategy", self.base, CANDIDATES)
        missing = sorted(CANDIDATES[self.base]().needs_for("classification") - GIVEN)
        if missing:
            raise InvalidInput(f"{self.base} reads {', '.join(missing)}, which an ensemble does not give; take another")

    def _propose(self, problem: Problem, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        nets, losses = self.trained(problem)
        view = PoolView(
            pool=outputs_of(nets, problem.pool),
            labeled=outputs_of(nets, problem.labeled),
            labels=problem.labels,
            num_classes=problem.num_classes,
            costs=problem.state.view.costs,
        )
        proposal = CANDIDATES[self.base]().propose(view, batch_size, problem.draws("base"))
        return proposal, {"steps": self._steps(len(problem.labeled)), "loss": losses}

    def trained(self, problem: Problem) -> tuple[list[EmbeddingNet], list[float]]:
        """The members in the order of training, and the last loss of each, penalty included."""
        repulsion = Repulsion(problem.labeled[:], self.strength, problem.seed)
        if self.around == "pool":
            draws = problem.draws("around the pool")
            drawn = problem.pool[torch.randint(len(problem.pool), (len(problem.labeled),), generator=draws)]
            repulsion.inputs = drawn + _NOISE * torch.randn(drawn.shape, generator=draws).to(drawn)
        losses: list[float] = []

        def make(own: int) -> nn.Module:
            with rng.isolated(rng.derive_seed(own, "initial weights")):
                return self._network(problem)

        def fit(net: nn.Module, own: int, penalty: Repulsion | None) -> None:
            batches = stream(len(problem.labeled), self.batch_size, rng.generator(own, "batches"))

            def loss_of(step: int) -> Tensor:
                batch = next(batches)
                loss = supervised_loss(net(problem.labeled[batch]), problem.labels[batch.to(problem.device)]).mean()
                return loss if penalty is None else loss + penalty(net, batch)

            with rng.isolated(rng.derive_seed(own, "training")):
                net.train()
                steps = self._steps(len(problem.labeled))
                losses.append(descend(net.parameters(), loss_of, steps, self.lr, self.name)[-1])

        nets = train_members(self.members, make, fit, problem.seed, repulsion)
        return nets, losses  # type: ignore[return-value]


def outputs_of(nets: list[EmbeddingNet], points: Points) -> ModelOutputs:
    """All fields of `GIVEN`."""
    each_n_M_C = torch.stack([in_chunks(net, net, points) for net in nets], dim=1).log_softmax(dim=2)
    return ModelOutputs(
        log_probs=each_n_M_C.logsumexp(dim=1) - math.log(len(nets)),
        mc_log_probs=each_n_M_C,
        ensemble_log_probs=each_n_M_C,
        greedy_log_probs=each_n_M_C,
        embeddings=in_chunks(nets[0], nets[0].embed, points),
    )
