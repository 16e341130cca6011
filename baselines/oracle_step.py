"""A ceiling that cheats: of the candidates' batches, the one that turns out best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from autoal.errors import InvalidInput
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate

from .rival import Memory, Rival, check_option, part, selection

__all__ = ["OracleStep"]

SUB_POOL = 0.4
"""Share of the pool in which further batches are sought. Ours."""


class OracleStep(Rival):
    """Cheats: trains the task model with the true labels of each candidate's batch and buys the one with the best
    value on the very points the curve is measured on. Nobody can run this; it says how much a choice of batch could
    gain in one step. Greedy, and optimistic where those points are few.

    `batches` (1) of each candidate are tried; those after the first come from random sub-pools of 40 %, after BoSS,
    which tries about 100 in all. Of equal ones the first by name.
    """

    name = "oracle_step"
    source = "cheats; after BoSS, arXiv 2603.13109"
    cost = "K `batches`; cheats: reads labels of the pool and of the test set"
    cheats = True

    def __init__(self, candidates: str | Sequence[Any] = "default", batches: int = 1) -> None:
        super().__init__(candidates)
        check_option("batches", batches, 1, 1e6, whole=True)
        self.batches = batches

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        if state.oracle is None:
            raise InvalidInput("oracle_step cheats, and was given no oracle; run it by `autoal compare`")
        candidates, proposals = self._ask(state, portfolio, batch_size)
        tried = [(name, proposal.indices) for (name, _), proposal in zip(candidates, proposals, strict=True)]
        n, ascending, rng = len(state.pool_ids), state.pool_ids.argsort(), self._rng(state)
        size = min(n, max(batch_size, math.ceil(SUB_POOL * n)))
        for number in range(1, self.batches):
            for name, strategy in candidates:
                drawn = ascending[torch.randperm(n, generator=rng)[:size].sort().values]
                own = self._rng(state, repr(strategy), number)
                found = strategy.propose(part(state.view, drawn), batch_size, own).indices.cpu()
                tried.append((name, drawn[found]))
        values = [state.oracle.value_after(positions) for _, positions in tried]
        winner, positions = tried[values.index(max(values))]
        told = {"values": [[name, value] for (name, _), value in zip(tried, values, strict=True)]}
        return selection(positions, candidates, proposals, {winner: 1.0}, diagnostics=told), {}
