"""What the rival selectors share: candidates, a memory between rounds, and the labels that came back.

A rival is one file with a subclass of `Rival` and one line in `baselines.rivals.RIVALS`; the shared tests then pick
it up. Rivals choose among the same candidates as AutoAL, which answer them as they answer AutoAL: from a generator made
of seed, round and what the candidate is.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoal.anchor.candidates import ask_candidates
from autoal.errors import ConfigError, InvalidInput, MissingOutput
from autoal.outputs import PoolView
from autoal.rng import derive_seed, generator
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate, members, needs_of, servable
from autoal.strategies import Proposal, resolve_candidates
from autoal.strategies.base import BOTH_TASKS, check_batch_size, ordered

__all__ = [
    "CLASSES_ONLY",
    "Memory",
    "Queues",
    "Rival",
    "best",
    "by_id",
    "check_option",
    "consensus",
    "labels_of",
    "part",
    "percentiles",
    "predicted_right",
    "selection",
]

Memory = dict[str, Any]
"""Only what JSON can hold."""
CLASSES_ONLY = frozenset({"classification"})


class Rival:
    """A selector over `candidates`, a portfolio as AutoAL takes it.

    Subclasses write `_play`, a function of the state, the candidates and the memory that earlier rounds left. Asked
    twice in one round, it starts twice from that memory: same call, same answer.
    """

    name: str
    """In tables."""
    source: ClassVar[str]
    cost: ClassVar[str]
    """Trainings of the task model in a round, beside the one every selector has, and what else is large."""
    tasks: ClassVar[frozenset[str]] = BOTH_TASKS
    reads: ClassVar[frozenset[str]] = frozenset()
    """Fields of ModelOutputs it reads itself."""
    strict: ClassVar[bool] = False
    """Whether a candidate that cannot be served raises instead of being dropped."""
    cheats: ClassVar[bool] = False
    """Whether the runner hands it the oracle."""

    _memory: Memory
    _before: Memory
    _round: int | None

    def __init__(self, candidates: str | Sequence[Any] = "default") -> None:
        resolve_candidates(candidates)
        self.candidates = candidates
        self.reset()

    @property
    def needs(self) -> frozenset[str]:
        return self.needs_for("classification")

    def needs_for(self, task: str) -> frozenset[str]:
        """Fields to compute in either task."""
        return self.reads | needs_of(members(self.candidates, task), task)

    def select(self, state: RoundState, batch_size: int) -> Selection:
        """A batch for this round. Raises PoolExhausted, InvalidInput in a task it is not defined for, MissingOutput
        where the model gives too little."""
        view = state.view
        check_batch_size(batch_size, len(view))
        if view.task not in self.tasks:
            raise InvalidInput(f"the selector {self.name!r} is defined for classes, not for {view.task}; leave it out")
        missing = sorted(self.reads - (view.pool.present() & view.labeled.present()))
        if missing:
            raise MissingOutput(
                f"the model gives no {', '.join(missing)}, which {self.name} reads; choose another model"
            )
        if state.round != self._round:
            self._before, self._round = self._memory, state.round
        portfolio, dropped = servable(members(self.candidates, view.task), view, strict=self.strict)
        answer, self._memory = self._play(state, portfolio, batch_size, copy.deepcopy(self._before))
        return answer._replace(diagnostics={**answer.diagnostics, "dropped": dropped})

    @abstractmethod
    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        """The batch, and what the next round should know. `memory` is its own copy; {} in the first round."""

    def reset(self) -> None:
        """Forgets every earlier round."""
        self._memory, self._before, self._round = {}, {}, None

    def state_dict(self) -> dict[str, Any]:
        """What earlier rounds left behind, as JSON."""
        if not self._memory:
            return {}
        return copy.deepcopy({"memory": self._memory, "before": self._before, "round": self._round})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        self.reset()
        if state:
            state = copy.deepcopy(state)
            self._memory, self._before, self._round = state["memory"], state["before"], int(state["round"])

    def _ask(
        self, state: RoundState, portfolio: Sequence[NamedCandidate], batch_size: int
    ) -> tuple[list[NamedCandidate], list[Proposal]]:
        """The candidates in the order of their names, and `batch_size` points of each."""
        seed = derive_seed(state.seed, "round", state.round)
        asked = ask_candidates(state.view, portfolio, batch_size, batch_size, 1.0, seed)
        return asked.candidates, [Proposal(p.indices.cpu(), p.scores.cpu()) for p in asked.proposals]

    def _rng(self, state: RoundState, *purpose: str | int) -> torch.Generator:
        return generator(state.seed, "rival", self.name, state.round, *purpose)


class Queues:
    """The next point of each candidate that nobody has taken yet. Each proposal must be as long as the batch."""

    def __init__(self, proposals: Sequence[Proposal]) -> None:
        self._orders = [proposal.indices.tolist() for proposal in proposals]
        self._at = [0] * len(proposals)
        self._taken: set[int] = set()
        self.taken: list[int] = []

    def next(self, k: int) -> int:
        """Position that candidate k wants most of those left."""
        while self._orders[k][self._at[k]] in self._taken:
            self._at[k] += 1
        return int(self._orders[k][self._at[k]])

    def take(self, position: int) -> None:
        self._taken.add(position)
        self.taken.append(position)

    def left(self, n: int) -> list[int]:
        """Positions below n that nobody has taken."""
        return [i for i in range(n) if i not in self._taken]


def selection(
    positions: Sequence[int] | Tensor,
    candidates: Sequence[NamedCandidate],
    proposals: Sequence[Proposal],
    weights: Mapping[str, float],
    utilities: Tensor | None = None,
    diagnostics: Mapping[str, Any] | None = None,
) -> Selection:
    """A Selection with the votes of those who proposed. `utilities` (N,) order what was not picked: without any, the
    mean rank over the proposals."""
    picked = torch.as_tensor(positions, dtype=torch.int64)
    rest = consensus(proposals) if utilities is None else utilities
    votes = {
        name: torch.isin(picked, proposal.indices[: len(picked)])
        for (name, _), proposal in zip(candidates, proposals, strict=True)
    }
    total = sum(weights.values()) or 1.0
    shares = {name: float(weight) / total for name, weight in weights.items()}
    return Selection(picked, ordered(picked, rest).scores, shares, votes, dict(diagnostics or {}))


def consensus(proposals: Sequence[Proposal]) -> Tensor:
    """(N,) mean over candidates of the rank they give each point, in [0, 1)."""
    return torch.stack([ordered(*proposal).scores for proposal in proposals]).mean(0)


def percentiles(proposal: Proposal) -> Tensor:
    """(N,) float64 in [0, 1]: 1 for the point wanted most, 0 for the one wanted least; equal scores share one rank."""
    ranks = ordered(proposal.indices[:0], proposal.scores).scores  # mid-ranks over N, from 0 to (N - 1) / N
    n = len(ranks)
    return ranks * n / (n - 1) if n > 1 else torch.ones_like(ranks)


def best(scores: Tensor, ids: Tensor, count: int) -> Tensor:
    """(count,) positions of the highest scores (N,), best first; equal scores go by id, not by position."""
    order = ids.argsort()
    return order[scores[order].sort(descending=True, stable=True).indices[:count]]


def by_id(values: Tensor, ids: Tensor) -> Tensor:
    """(N, ...) the values dealt out by rising id, so that a draw belongs to a point and not to its place."""
    dealt = torch.empty_like(values)
    dealt[ids.argsort()] = values
    return dealt


def labels_of(state: RoundState, ids: Sequence[int]) -> list[int | None]:
    """The class of each point that was bought, None where it was rejected and so has none."""
    known = dict(zip(state.labeled_ids.tolist(), state.view.labels.tolist(), strict=True))
    return [known.get(one) for one in ids]


def predicted_right(state: RoundState, ids: Sequence[int]) -> list[bool]:
    """Whether the model of this round gives each bought point its class; False for one that was rejected."""
    view = state.view
    predicted = view.labeled.require("log_probs").argmax(1) == view.labels
    right = dict(zip(state.labeled_ids.tolist(), predicted.tolist(), strict=True))
    return [bool(right.get(one, False)) for one in ids]


def part(view: PoolView, positions: Tensor) -> PoolView:
    """The view whose pool is `positions` alone."""
    rows = positions.to(view.device)
    return replace(view, pool=view.pool[rows], costs=None if view.costs is None else view.costs[rows])


def check_option(name: str, value: float, low: float, high: float, *, whole: bool = False) -> None:
    """Raises ConfigError where the option lies outside [low, high], or is no whole number where one is wanted."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise ConfigError(f"got {name}={value!r}; wanted {kind} from {low:g} to {high:g}")
