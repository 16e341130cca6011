"""The uniform mixture: what a selector gets for having candidates, before it learns anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from autoal.errors import InvalidInput, MissingOutput
from autoal.rng import generator
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.mixture import uniform_mixture
from autoal.strategies import Strategy, resolve_candidates

__all__ = ["Uniform"]


class Uniform:
    """For each slot of the batch a candidate is drawn uniformly and its next point that is not yet taken is bought.

    Each candidate is asked once per round, for a whole batch. One that reads what the model cannot give is left out,
    and named in the diagnostics.
    """

    name = "uniform"

    def __init__(self, candidates: str | Sequence[Any] = "default") -> None:
        self.candidates: list[tuple[str, Strategy]] = list(resolve_candidates(candidates))
        if not self.candidates:
            raise InvalidInput("got no candidates; wanted at least one")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset().union(*(strategy.needs for _, strategy in self.candidates))

    def select(self, state: RoundState, batch_size: int) -> Selection:
        """Raises MissingOutput where the model serves no candidate."""
        given = state.view.pool.present()
        able = [(name, strategy) for name, strategy in self.candidates if frozenset(strategy.needs) <= given]
        dropped = {
            name: "the model does not give " + ", ".join(sorted(frozenset(strategy.needs) - given))
            for name, strategy in self.candidates
            if not frozenset(strategy.needs) <= given
        }
        if not able:
            raise MissingOutput(f"no candidate can be used: {dropped}")
        proposals = [
            strategy.propose(state.view, batch_size, generator(state.seed, "uniform", name, state.round))
            for name, strategy in able
        ]
        positions = uniform_mixture(proposals, batch_size, generator(state.seed, "uniform draws", state.round))
        utilities = torch.zeros(len(state.pool_ids), dtype=torch.float64)
        utilities[positions] = torch.linspace(1, 0, batch_size + 1, dtype=torch.float64)[:-1]
        votes = {
            name: torch.isin(positions, proposal.indices.cpu())
            for (name, _), proposal in zip(able, proposals, strict=True)
        }
        weights = {name: 1 / len(able) for name, _ in able}
        return Selection(positions, utilities, weights, votes, {"dropped": dropped} if dropped else {})

    def reset(self) -> None:
        """Nothing is remembered."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""
