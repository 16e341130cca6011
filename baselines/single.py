"""One candidate alone, in every round."""

from __future__ import annotations

from typing import Any

from autoal.errors import MissingOutput
from autoal.rng import generator
from autoal.selectors.base import RoundState, Selection
from autoal.strategies import Strategy

__all__ = ["Single"]


class Single:
    """Buys what `strategy` proposes."""

    def __init__(self, strategy: Strategy, name: str | None = None) -> None:
        self.strategy = strategy
        self.name = name or strategy.name

    @property
    def needs(self) -> frozenset[str]:
        return self.needs_for("classification")

    def needs_for(self, task: str) -> frozenset[str]:
        """Fields to compute in either task."""
        return self.strategy.needs_for(task)

    def select(self, state: RoundState, batch_size: int) -> Selection:
        """Raises MissingOutput where the model cannot give what the strategy reads."""
        missing = sorted(self.needs_for(state.view.task) - state.view.pool.present())
        if missing:
            raise MissingOutput(
                f"the model gives no {', '.join(missing)}, which {self.name} reads; choose another model, or an option "
                "of this one that gives them (the outputs: docs/reference/candidates.md)"
            )
        proposal = self.strategy.propose(
            state.view, batch_size, generator(state.seed, "single", self.name, state.round)
        )
        return Selection(proposal.indices, proposal.scores)

    def reset(self) -> None:
        """Nothing is remembered."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""
