"""LSA: a linear aggregation of the candidates' scores, learned by a linear bandit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate

from .rival import CLASSES_ONLY, Memory, Rival, best, check_option, percentiles, predicted_right, selection

__all__ = ["LSA", "linucb_picks", "weighted_accuracy"]


def linucb_picks(
    contexts: Tensor, precision: Tensor, target: Tensor, ids: Tensor, count: int, alpha: float, explore: Tensor,
    jumps: Tensor,
) -> tuple[list[int], list[float], Tensor]:  # fmt: skip
    """Positions, 1 for each that was the greedy choice, and the precision after them: argmax of
    w.z + alpha sqrt(z' A^-1 z), w = A^-1 b, with A += z z' after each pick. Equal ones go by id.

    Where `explore` (count,) is true, the pick is the free point of the smallest draw in `jumps` (n,) instead.
    """
    weights = torch.linalg.solve(precision, target)
    inverse = torch.linalg.inv(precision)
    mean, spread = contexts @ weights, ((contexts @ inverse) * contexts).sum(1)
    free = torch.ones(len(contexts), dtype=torch.bool)
    picks: list[int] = []
    greedy: list[float] = []
    for jump in explore.tolist():
        merit = (mean + alpha * spread.clamp(min=0).sqrt()).masked_fill(~free, -torch.inf)
        first = int(best(merit, ids, 1))
        pick = int(jumps.masked_fill(~free, torch.inf).argmin()) if jump else first
        picks.append(pick)
        greedy.append(float(pick == first))
        free[pick] = False
        z = contexts[pick]
        along = contexts @ (inverse @ z)
        scale = 1.0 + float(z @ inverse @ z)
        spread = spread - along.square() / scale
        inverse = inverse - torch.outer(inverse @ z, inverse @ z) / scale
        precision = precision + torch.outer(z, z)
    return picks, greedy, precision


def weighted_accuracy(right: Sequence[bool], chances: Sequence[float]) -> float:
    """sum W [right] / sum W with W = 1 / chance; 0 of nothing."""
    weights = [1.0 / chance for chance in chances]
    total = sum(weights)
    return sum(w for w, one in zip(weights, right, strict=True) if one) / total if total else 0.0


class LSA(Rival):
    """LinUCB over points whose context z are the percentiles the candidates give them: buys argmax of
    w.z + alpha sqrt(z' A^-1 z); after the labels b += r z for each point of the batch, r the increase of the
    importance-weighted accuracy on what was queried. `start` (candidate -> weight) carries weights over from another
    task: the ridge pulls towards it.

    Ours, since neither code nor constants were found: `alpha` 0.1, a ridge of 1, `start` zero, percentiles as scores,
    one reward for the whole batch, and a uniform pick with chance `epsilon` 0.1, because a rule that never draws gives
    no importance weights; the accuracy is self-normalised.
    """

    name = "lsa"
    source = "Chu and Lin 2016, arXiv 1608.00667"
    cost = "0; all candidates"
    tasks = CLASSES_ONLY
    reads = frozenset({"log_probs"})

    def __init__(
        self, candidates: str | Sequence[Any] = "default", alpha: float = 0.1, epsilon: float = 0.1,
        start: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(candidates)
        check_option("alpha", alpha, 0, 1e6)
        check_option("epsilon", epsilon, 0, 1)
        self.alpha, self.epsilon, self.start = alpha, epsilon, start

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        candidates, proposals = self._ask(state, portfolio, batch_size)
        names, n = [name for name, _ in candidates], len(state.pool_ids)
        contexts = torch.stack([percentiles(proposal) for proposal in proposals], dim=1)
        if not memory:
            given = dict(self.start or {})
            memory = {
                "precision": torch.eye(len(names), dtype=torch.float64).tolist(),
                "target": [float(given.get(name, 0.0)) for name in names],
                "ids": [], "chances": [], "last": [], "accuracy": 0.0,
            }  # fmt: skip
        else:
            self.paid(memory, weighted_accuracy(predicted_right(state, memory["ids"]), memory["chances"]))
        precision = torch.tensor(memory["precision"], dtype=torch.float64)
        target = torch.tensor(memory["target"], dtype=torch.float64)
        rng = self._rng(state)
        explore = torch.rand(batch_size, generator=rng) < self.epsilon
        jumps = torch.empty(n)
        jumps[state.pool_ids.argsort()] = torch.rand(n, generator=rng)
        picks, greedy, after = linucb_picks(
            contexts, precision, target, state.pool_ids, batch_size, self.alpha, explore, jumps
        )
        chances = [self.epsilon / (n - slot) + (1 - self.epsilon) * first for slot, first in enumerate(greedy)]
        memory["precision"] = after.tolist()
        memory["ids"] += state.pool_ids[torch.tensor(picks)].tolist()
        memory["chances"] += chances
        memory["last"] = contexts[torch.tensor(picks)].tolist()
        learned = torch.linalg.solve(precision, target)
        told = {"learned_weights": dict(zip(names, learned.tolist(), strict=True))}
        positive = dict(zip(names, learned.clamp(min=0).tolist(), strict=True))
        shares = positive if sum(positive.values()) > 0 else dict.fromkeys(names, 1.0)
        return selection(picks, candidates, proposals, shares, contexts @ learned, told), memory

    @staticmethod
    def paid(memory: Memory, accuracy: float) -> None:
        """b += r z for the last batch, r = the increase of the accuracy."""
        reward = accuracy - memory["accuracy"]
        target = torch.tensor(memory["target"], dtype=torch.float64)
        memory["target"] = (target + reward * torch.tensor(memory["last"], dtype=torch.float64).sum(0)).tolist()
        memory["accuracy"] = accuracy
