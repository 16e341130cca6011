"""Refine: candidates filter the pool again and again, then one rule picks from what is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from autoal.rng import generator
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate
from autoal.strategies.base import ordered
from autoal.strategies.diversity.uncertainty_herding import UncertaintyHerding

from .rival import CLASSES_ONLY, Memory, Rival, check_option, part

__all__ = ["Refine"]


class Refine(Rival):
    """C_0 is the pool. In each of `rounds` (5) all candidates together propose `proposals` (100) batches, each on a
    fresh random sub-pool: of `first` points (5,000) in the first round, of a share `alpha` (0.4) of C_{r-1} later; C_r
    is the union, cut at random to `cap` (10,000). Uncertainty herding picks the batch from C_5. Nothing is learned.

    A sub-pool is never smaller than a batch. Ours: in a pool of no more than `first` points the first sub-pools are a
    share `alpha` of it as well, since otherwise a candidate would be asked the same again and again. The paper's nine
    strategies are not all ours; here they are the portfolio.
    """

    name = "refine"
    source = "Huseljic et al. 2025, arXiv 2511.22344"
    cost = "0; all candidates, 500 times on parts of the pool"
    tasks = CLASSES_ONLY
    reads = UncertaintyHerding.needs

    def __init__(
        self, candidates: str | Sequence[Any] = "default", rounds: int = 5, proposals: int = 100, alpha: float = 0.4,
        first: int = 5_000, cap: int = 10_000,
    ) -> None:  # fmt: skip
        super().__init__(candidates)
        for option, value in (("rounds", rounds), ("proposals", proposals), ("first", first), ("cap", cap)):
            check_option(option, value, 0 if option == "rounds" else 1, 1e12, whole=True)
        check_option("alpha", alpha, 1e-6, 1)
        self.rounds, self.proposals, self.alpha, self.first, self.cap = rounds, proposals, alpha, first, cap

    def sub_pool(self, size: int, batch_size: int, round: int) -> int:
        """Points of a sub-pool drawn from `size`."""
        drawn = self.first if round == 0 and size > self.first else math.ceil(self.alpha * size)
        return min(size, max(batch_size, drawn))

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        view, n = state.view, len(state.pool_ids)
        kept = state.pool_ids.argsort()  # positions by id, so that a draw belongs to a point
        portfolio = sorted(portfolio, key=lambda pair: pair[0])
        each = math.ceil(self.proposals / len(portfolio))
        rng, sizes = self._rng(state), []
        wanted = {name: torch.zeros(n, dtype=torch.bool) for name, _ in portfolio}
        for round in range(self.rounds):
            wanted = {name: torch.zeros(n, dtype=torch.bool) for name, _ in portfolio}
            size = self.sub_pool(len(kept), batch_size, round)
            for name, strategy in portfolio:
                text = repr(strategy)  # made once: it takes longer than some answers
                for number in range(each):
                    drawn = kept[torch.randperm(len(kept), generator=rng)[:size].sort().values]
                    own = generator(state.seed, "refine", state.round, round, text, number)
                    wanted[name][drawn[strategy.propose(part(view, drawn), batch_size, own).indices.cpu()]] = True
            union = torch.stack(list(wanted.values())).any(0)
            kept = kept[union[kept]]
            if len(kept) > self.cap:
                kept = kept[torch.randperm(len(kept), generator=rng)[: max(self.cap, batch_size)].sort().values]
            sizes.append(len(kept))
        final = UncertaintyHerding().propose(part(view, kept), batch_size, self._rng(state, "herding")).indices.cpu()
        picked = kept[final]
        in_last = torch.zeros(n, dtype=torch.float64).index_fill_(0, kept, 1.0)
        votes = {name: those[picked] for name, those in wanted.items()}
        return Selection(picked, ordered(picked, in_last).scores, {}, votes, {"kept": sizes}), {}
