"""TOD: points whose prediction has moved since the round before."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal import rng
from autoal.errors import InvalidInput, UnknownName
from autoal.models.nets import EmbeddingNet
from autoal.outputs import ModelOutputs, PoolView
from autoal.selectors.base import RoundState
from autoal.strategies.base import Proposal, top_scores
from autoal.strategies.parts.information import entropy

from ._training import Problem, TrainedSelector, descend, in_chunks, stream, supervised_loss

__all__ = ["TOD", "TwoHeads", "consistency", "discrepancy", "follow", "memory_of"]

MOST_MEMORY = 0.999


class TwoHeads(nn.Module):
    """A network and a second linear head on its features, which only the unsupervised term reads."""

    def __init__(self, net: EmbeddingNet) -> None:
        super().__init__()
        self.net, self.second = net, nn.Linear(net.head.in_features, net.head.out_features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, C) outputs of either head; one column each in a regression."""
        features = self.net.dropout(self.net.embed(x))
        return self.net.head(features), self.second(features)


def discrepancy(answers_N_C: Tensor, before_N_C: Tensor) -> Tensor:
    """(N,) half of the squared distance of probabilities from those of the model before; in [0, 1]."""
    return (answers_N_C.double() - before_N_C.double()).square().sum(dim=1) / 2


def consistency(first_n_C: Tensor, second_n_C: Tensor, teacher_n_C: Tensor, heads: int) -> Tensor:
    """The unsupervised term of one batch, means over points and classes: MSE of the second head from the first and from
    the teacher; with one head, MSE of that from the teacher. No gradient reaches the teacher."""
    if heads == 1:
        return F.mse_loss(first_n_C, teacher_n_C.detach())
    return F.mse_loss(first_n_C, second_n_C) + F.mse_loss(second_n_C, teacher_n_C.detach())


def memory_of(step: int) -> float:
    """Share of the teacher that stays in the `step`-th step, 1 being the first: a plain mean, until that is 0.999."""
    return min(1 - 1 / (step + 1), MOST_MEMORY)


def follow(teacher: nn.Module, student: nn.Module, step: int) -> None:
    """Moves the parameters of the teacher towards those of the student; buffers are the teacher's own."""
    share = memory_of(step)
    with torch.no_grad():
        for mine, its in zip(teacher.parameters(), student.parameters(), strict=True):
            mine.mul_(share).add_(its, alpha=1 - share)


@dataclass
class _Cycle:
    """What one round leaves for the next."""

    student: TwoHeads
    teacher: EmbeddingNet
    steps: int
    """Of all rounds so far."""
    ids: Tensor
    """(N,) of the pool, ascending."""
    answers: Tensor
    """(N, C) probabilities for the pool, or (N, 1) means in units of the targets."""
    loss: float


@dataclass
class TOD(TrainedSelector):
    """Asks for the points on which a network differs most from itself at the end of the round before.

    The network goes on from its weights of the round before, with a fresh optimiser (`warm_start = False`: a new start
    in each round, when the difference is that of two seeds). Beside the labels it learns, with `weight`, to agree with
    a second head and with the moving mean of its own weights, on labeled points and on points of the pool alike
    (`heads = 1`: with the mean alone; `weight = 0`: labels alone). The first round has nothing to compare with: it asks
    for what `first` says, `random` or `entropy` (ours; the released code takes the points on which the network differs
    least from a random one).

    The released code trains 200 epochs by SGD with crops and flips, scores a random subset of ten batches
    (`subset`; the whole pool by default), with a weight of 0.02 on CIFAR-10, 0.05 on CIFAR-100, 0.005 on SVHN and 0.1
    on Caltech-101. In a regression (ours) the difference is that of the means, in deviations of the labels.

    Remembers what it asked for. Where a run goes on after a stop, the networks of earlier rounds are trained again.
    """

    name: ClassVar[str] = "tod"
    source: ClassVar[str] = "Huang et al., ICCV 2021, arXiv 2107.14153"
    cost: ClassVar[str] = "1 training, three times as long"

    weight: float = 0.02
    heads: int = 2
    warm_start: bool = True
    first: str = "random"
    subset: int | None = None
    _asked: dict[int, dict[str, list[int]]] = field(default_factory=dict, init=False, repr=False)
    """`ids` that each round asked for, and their `rows` in the inputs."""
    _cycles: dict[tuple[int, int], _Cycle] = field(default_factory=dict, init=False, repr=False)
    """By seed of the run and round; the last two at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weight >= 0 or self.heads not in (1, 2):
            raise InvalidInput(f"got weight={self.weight}, heads={self.heads}; wanted 0 or more, 1 or 2")
        if self.first not in ("random", "entropy"):
            raise UnknownName("first", self.first, ("random", "entropy"))
        if self.subset is not None and self.subset < 1:
            raise InvalidInput(f"got subset={self.subset}; wanted 1 or more, or none for the whole pool")

    def reset(self) -> None:
        self._asked, self._cycles = {}, {}

    def state_dict(self) -> dict[str, Any]:
        return {"asked": {str(round): asked for round, asked in self._asked.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._asked = {int(round): asked for round, asked in state["asked"].items()}
        self._cycles = {}

    def _answer(self, state: RoundState, seed: int, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        if state.view.task == "regression" and self.first == "entropy":
            raise InvalidInput("first='entropy' needs classes; use first='random' in a regression")
        self._forget_what_is_no_past_of(state)
        start = state.round
        while start - 1 in self._asked:
            start -= 1
        before: _Cycle | None = None
        for round in range(start, state.round):
            before = self._cycle(self._as_in(state, round), before)
        now = self._cycle(state, before)
        self._cycles = {key: cycle for key, cycle in self._cycles.items() if key[1] >= state.round - 1}
        scores = self._compared(state, now, before)
        if self.subset is not None:
            others = torch.randperm(len(scores), generator=rng.generator(seed, "subset"))
            scores[others[max(self.subset, batch_size) :]] = -1.0
        proposal = top_scores(scores, batch_size, rng.generator(seed, "ties"))
        assert state.pool_indices is not None
        self._asked[state.round] = {
            "ids": state.pool_ids[proposal.indices].tolist(),
            "rows": state.pool_indices[proposal.indices].tolist(),
        }
        return proposal, {"compared": before is not None, "steps": now.steps, "loss": now.loss}

    def _forget_what_is_no_past_of(self, state: RoundState) -> None:
        """Keeps the rounds before this one, where what they asked for has left the pool."""
        self._asked = {round: asked for round, asked in self._asked.items() if round < state.round}
        if bool(torch.isin(_joined(self._asked, "ids"), state.pool_ids.cpu()).any()):
            self._asked = {}
        self._cycles = {
            key: cycle for key, cycle in self._cycles.items() if key[0] == state.seed and key[1] in self._asked
        }

    def _as_in(self, state: RoundState, round: int) -> RoundState:
        """Inputs and labels of an earlier round, in the same order as then; nothing of its outputs."""
        assert state.pool_indices is not None and state.labeled_indices is not None
        since = {one: asked for one, asked in self._asked.items() if one >= round}
        ids, order = torch.cat([state.pool_ids.cpu(), _joined(since, "ids")]).sort()
        before = ~torch.isin(state.labeled_ids.cpu(), ids)
        return replace(
            state,
            view=PoolView(
                ModelOutputs(), ModelOutputs(), state.view.labels[before.to(state.view.labels.device)],
                state.view.num_classes,
            ),
            round=round,
            pool_ids=ids,
            labeled_ids=state.labeled_ids.cpu()[before],
            pool_indices=torch.cat([state.pool_indices.cpu(), _joined(since, "rows")])[order],
            labeled_indices=state.labeled_indices.cpu()[before],
        )  # fmt: skip

    def _cycle(self, state: RoundState, before: _Cycle | None) -> _Cycle:
        """The network at the end of this round."""
        key = (state.seed, state.round)
        if key not in self._cycles:
            problem = self._problem(state, rng.derive_seed(state.seed, self.name, state.round))
            with rng.isolated(rng.derive_seed(problem.seed, "network")):
                self._cycles[key] = self._trained(problem, before if self.warm_start else None)
        return self._cycles[key]

    def _trained(self, problem: Problem, before: _Cycle | None) -> _Cycle:
        if before is None:
            student = TwoHeads(self._network(problem)).to(problem.device)
            teacher, earlier = self._network(problem).requires_grad_(False), 0
        else:
            student, teacher, earlier = copy.deepcopy(before.student), copy.deepcopy(before.teacher), before.steps
        steps = self._steps(len(problem.labeled))
        batches = stream(len(problem.labeled), self.batch_size, problem.draws("batches"))
        others = stream(len(problem.pool), self.batch_size, problem.draws("batches of the pool"))

        def term(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
            with torch.no_grad():
                taught = teacher.head(teacher.embed(x))
            return consistency(first, second, taught, self.heads)

        def loss_of(step: int) -> Tensor:
            if step and self.weight:
                follow(teacher, student.net, earlier + step)
            batch = next(batches)
            x = problem.labeled[batch]
            first, second = student(x)
            loss = supervised_loss(first, problem.labels[batch.to(problem.device)]).mean()
            if not self.weight:
                return loss
            unlabeled = problem.pool[next(others)]
            return loss + self.weight * (term(x, first, second) + term(unlabeled, *student(unlabeled)))

        student.train()
        teacher.train()
        losses = descend(student.parameters(), loss_of, steps, self.lr, self.name)
        if self.weight:
            follow(teacher, student.net, earlier + steps)
        outputs = in_chunks(student.net, student.net, problem.pool).cpu()
        answers = outputs.softmax(dim=1) if problem.num_classes else _in_units(outputs, problem.state)
        return _Cycle(student, teacher, earlier + steps, problem.state.pool_ids.cpu(), answers, losses[-1])

    def _compared(self, state: RoundState, now: _Cycle, before: _Cycle | None) -> Tensor:
        """(N,) float64 score of each point."""
        if before is None:
            if self.first == "random":
                return torch.zeros(len(now.ids), dtype=torch.float64)
            return entropy(now.answers.log()).double()
        scores = discrepancy(now.answers, before.answers[torch.searchsorted(before.ids, now.ids)])
        return scores / _spread(state) ** 2 if state.view.task == "regression" else scores


def _joined(asked: dict[int, dict[str, list[int]]], what: str) -> Tensor:
    """(n,) `ids` or `rows` of several rounds."""
    return torch.tensor([one for of_round in asked.values() for one in of_round[what]], dtype=torch.int64)


def _spread(state: RoundState) -> float:
    return float(state.view.labels.double().std(correction=0)) or 1.0


def _in_units(outputs_n_1: Tensor, state: RoundState) -> Tensor:
    """(n, 1) means in units of the targets."""
    return outputs_n_1.double() * _spread(state) + float(state.view.labels.double().mean())
