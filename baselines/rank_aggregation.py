"""Candidates vote by their whole rankings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoal.errors import UnknownName
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate

from .rival import Memory, Rival, best, percentiles, selection

__all__ = ["METHODS", "RankAggregation", "borda", "geometric", "schulze"]


def borda(points: Tensor) -> Tensor:
    """(n,) sum of the points (n, K) that K voters give."""
    return points.sum(1)


def geometric(points: Tensor) -> Tensor:
    """(n,) geometric mean of the points (n, K): one voter who is against it counts for more than in a sum."""
    return points.log().mean(1).exp()


def schulze(points: Tensor) -> Tensor:
    """(n,) how many others each point beats by Schulze's method. O(n^3) time, O(n^2) memory.

    i beats j where the strongest path from i to j is stronger than the one back; a path is as strong as its weakest
    duel, a duel as many voters as prefer i, where those are more than prefer j.
    """
    wins = (points.unsqueeze(1) > points.unsqueeze(0)).sum(2)
    strength = torch.where(wins > wins.T, wins, torch.zeros_like(wins))
    for k in range(len(points)):
        strength = torch.maximum(strength, torch.minimum(strength[:, k : k + 1], strength[k : k + 1]))
    return (strength > strength.T).sum(1).double()


METHODS = {"borda": borda, "geometric": geometric, "schulze": schulze}
SHORT_LIST = 200
"""Points among which Schulze's method decides, or two batches where that is more: the best by Borda. Ours."""


class RankAggregation(Rival):
    """Buys the points that stand highest over all candidates' rankings.

    A candidate gives its best point N points of merit and its last one 1; equal scores share the mean. `method` is
    `"borda"` (the sum), `"geometric"` (the geometric mean) or `"schulze"` (see there; on a short list, since it takes
    cubic time). The points that set methods do not pick are ranked by what scores those give. Ties go by id.
    """

    name = "rank_aggregation"
    source = "Tran, Ong and Wolf 2018, PeerJ CS 157"
    cost = "0; all candidates"

    def __init__(self, candidates: str | Sequence[Any] = "default", method: str = "borda") -> None:
        super().__init__(candidates)
        if method not in METHODS:
            raise UnknownName("method of rank_aggregation", method, METHODS)
        self.method = method

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        candidates, proposals = self._ask(state, portfolio, batch_size)
        n = len(state.pool_ids)
        points = 1 + (n - 1) * torch.stack([percentiles(proposal) for proposal in proposals], dim=1)
        if self.method == "schulze":
            # Borda's order stays inside the ties, and behind the short list.
            merit = borda(points) / (points.shape[1] * (n + 1))
            short = best(merit, state.pool_ids, min(n, max(SHORT_LIST, 2 * batch_size)))
            merit[short] += 1 + schulze(points[short])
        else:
            merit = METHODS[self.method](points)
        equal = {name: 1.0 for name, _ in candidates}
        return selection(best(merit, state.pool_ids, batch_size), candidates, proposals, equal, merit), {}
