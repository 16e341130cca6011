"""Candidates take turns."""

from __future__ import annotations

from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate

from .rival import Memory, Rival, selection

__all__ = ["RoundRobin"]


class RoundRobin(Rival):
    """Candidate `round mod K`, in the order of the portfolio, gives the whole batch. Asks that candidate alone."""

    name = "round_robin"
    source = "folklore"
    cost = "0; one candidate"

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        chosen = portfolio[state.round % len(portfolio)]
        candidates, proposals = self._ask(state, [chosen], batch_size)
        return selection(proposals[0].indices, candidates, proposals, {chosen[0]: 1.0}), {}
