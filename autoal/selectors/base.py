"""What a selector is: the outputs of one round in, a batch out. AutoAL is one; so is every rival."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from autoal.outputs import ModelOutputs, PoolView, Validation

__all__ = ["Later", "Oracle", "RoundState", "Selection", "Selector"]


class Oracle(Protocol):
    """What no selector can know: how good the model would be with a batch. For ceilings that cheat, and say so."""

    def value_after(self, positions: Tensor) -> float:
        """Value on the points the curve is measured on, higher is better, of the task model trained as the next round
        will train it, on the labeled points and those at `positions` (b,) of the pool with their true labels."""


@dataclass(frozen=True)
class Later:
    """Outputs of the model that are computed once somebody reads them."""

    available: frozenset[str]
    compute: Callable[[Tensor, str, frozenset[str]], ModelOutputs]
    """The fields named, of the rows at these indices, which messages call so."""
    sides: tuple[Tensor, ...]
    """Indices of the pool, of the labeled points and, where there are any, of the rejected ones."""


@dataclass(frozen=True)
class RoundState:
    """One round as a selector sees it. The view never holds a label of the pool."""

    view: PoolView
    round: int
    """0 for the first query."""
    seed: int
    """Seed of the run; generators are made from (seed, round, purpose)."""
    pool_ids: Tensor
    """(N,) int64, identity of each pool point, the same in every round; in the order of the rows behind them, which
    is ascending but for splits with an order of their own."""
    labeled_ids: Tensor
    """(L,) int64, identity of each labeled point, in the same order."""
    inputs: Any = None
    """Rows of the data set behind the ids (`Rows`), for selectors that train a network of their own."""
    pool_indices: Tensor | None = None
    """(N,) index of each pool point in `inputs`."""
    labeled_indices: Tensor | None = None
    """(L,) index of each labeled point in `inputs`."""
    validation: Validation | None = None
    oracle: Oracle | None = None
    """Only for a selector that declares `cheats = True`; None for all others."""
    later: Later | None = None
    model: Any = None
    """The task model fitted this round (a ModelAdapter): to look into, or to train a copy of; never to be changed."""

    def available(self) -> frozenset[str]:
        """Fields that the view holds, or could."""
        present = self.view.pool.present() & self.view.labeled.present()
        return present if self.later is None else present | self.later.available

    def with_outputs(self, names: frozenset[str]) -> RoundState:
        """The state with these fields in its view, as far as the model has them."""
        present = self.view.pool.present() & self.view.labeled.present()
        wanted = frozenset() if self.later is None else (names - present) & self.later.available
        if self.later is None or not wanted:
            return self
        named = ("pool", "labeled points", "rejected points")
        whole = [
            replace(side, **{name: found.require(name) for name in wanted})
            for side, rows, what in zip(
                (self.view.pool, self.view.labeled, self.view.rejected), self.later.sides, named, strict=False
            )
            for found in [self.later.compute(rows, what, wanted)]
            if side is not None
        ]
        rejected = whole[2] if len(whole) > 2 else None
        return replace(self, view=replace(self.view, pool=whole[0], labeled=whole[1], rejected=rejected))


class Selection(NamedTuple):
    """A selector's answer."""

    positions: Tensor
    """(b,) distinct positions in the pool, best first."""
    utilities: Tensor
    """(N,) float64, higher is more wanted."""
    weights: Mapping[str, float] = {}
    """Weight of each candidate, summing to 1; empty where the selector has none."""
    votes: Mapping[str, Tensor] = {}
    """For each candidate, (b,) bool: whether it wanted that pick."""
    diagnostics: Mapping[str, Any] = {}
    """Losses, gate, candidates dropped and why; only what JSON can hold."""


class Selector(Protocol):
    """Anything that can be run by `autoal compare`."""

    name: str

    @property
    def needs(self) -> frozenset[str]:
        """Fields of ModelOutputs to compute for it."""

    def select(self, state: RoundState, batch_size: int) -> Selection:
        """A batch for this round. A selector may remember earlier rounds of the same run, never anything else."""

    def reset(self) -> None:
        """Forgets every earlier round, so that the next run starts as a fresh process would."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive kill -9 between rounds, as JSON: `load_state_dict` of it continues the run as if
        nothing had happened. Empty for a selector without memory."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
