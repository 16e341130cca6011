"""One candidate drawn in each round."""

from __future__ import annotations

import torch

from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate

from .rival import Memory, Rival, selection

__all__ = ["RandomChoice"]


class RandomChoice(Rival):
    """A candidate drawn uniformly gives the whole batch; asks that candidate alone. `uniform` draws one for each point
    of the batch instead."""

    name = "random_choice"
    source = "folklore"
    cost = "0; one candidate"

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        portfolio = sorted(portfolio, key=lambda pair: pair[0])
        chosen = portfolio[int(torch.randint(len(portfolio), (), generator=self._rng(state)))]
        candidates, proposals = self._ask(state, [chosen], batch_size)
        return selection(proposals[0].indices, candidates, proposals, {chosen[0]: 1.0}), {}
