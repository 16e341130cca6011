"""What the released AutoAL code does in effect: a vote with random weights."""

from __future__ import annotations

import torch

from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate
from autoal.strategies.base import ordered

from .rival import Memory, Rival, best, by_id, selection

__all__ = ["RandomVote"]


class RandomVote(Rival):
    """Each candidate votes for its batch, each vote weighs a normal draw of its own; the `batch_size` largest sums win.

    Nothing but weight decay and batch-norm statistics moves SearchNet in the released code of AutoAL, so that its
    weights are random, signed, and differ by point. A point whose only voters weigh less than nothing comes behind
    those nobody voted for, and those tie: here they go by the mean rank the candidates give them, then by id. The
    ablation that every learned selector must beat. `released_autoal` keeps more of that code's habits.
    """

    name = "random_vote"
    source = "in effect the code released with Wang, Zhan and Huang 2025, arXiv 2410.13853"
    cost = "0; all candidates"

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        candidates, proposals = self._ask(state, portfolio, batch_size)
        n = len(state.pool_ids)
        weights = by_id(torch.randn(n, len(proposals), generator=self._rng(state), dtype=torch.float64), state.pool_ids)
        votes = torch.zeros(n, len(proposals), dtype=torch.float64)
        for k, proposal in enumerate(proposals):
            votes[proposal.indices, k] = 1.0
        mean_rank = torch.stack([ordered(*proposal).scores for proposal in proposals]).mean(0)
        # Ranks are below 1 and sums that differ do so by more than this, but for draws that nearly cancel.
        merit = (weights * votes).sum(1) + 1e-9 * mean_rank
        equal = {name: 1.0 for name, _ in candidates}
        return selection(best(merit, state.pool_ids, batch_size), candidates, proposals, equal, merit), {}
