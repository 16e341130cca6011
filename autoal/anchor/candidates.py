"""Asking the candidates, and dropping those that add nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from autoal.outputs import PoolView
from autoal.rng import generator
from autoal.strategies import Proposal, Strategy

__all__ = ["PROPOSED", "TWINS", "Asked", "NamedCandidate", "ask_candidates"]

PROPOSED = 2
"""How many batches' worth of points each candidate proposes in a search. How many matters little: a batch from the
whole pool is as good as one from the proposals (baselines/results/ablation.md)."""
TWINS = 0.9
"""In a search, a batch that shares more than this with another's is taken for the same."""

NamedCandidate = tuple[str, Strategy]


@dataclass(frozen=True)
class Asked:
    """What the candidates proposed on the pool."""

    candidates: list[NamedCandidate]
    """Those that are kept, in the order of their names."""
    proposals: list[Proposal]
    dropped: dict[str, str]
    """name -> why"""
    seconds: dict[str, float]


def ask_candidates(
    view: PoolView, candidates: Sequence[NamedCandidate], batch_size: int, wanted: int, max_overlap: float, seed: int
) -> Asked:
    """Each candidate's proposal of `wanted` points, once. A candidate draws from a generator made from what it is,
    not from where it stands or what it is called, so neither the order nor a duplicate changes anything.

    Of two candidates whose first `batch_size` points overlap by more than `max_overlap`, the one whose name comes
    later in the alphabet is dropped: together they would split one vote.
    """
    kept: list[NamedCandidate] = []
    proposals: list[Proposal] = []
    dropped: dict[str, str] = {}
    seconds: dict[str, float] = {}
    batches: list[torch.Tensor] = []
    for name, strategy in sorted(candidates, key=lambda pair: pair[0]):
        began = perf_counter()
        proposal = strategy.propose(view, wanted, generator(seed, "candidate", repr(strategy)))
        seconds[name] = perf_counter() - began
        batch = proposal.indices[:batch_size].cpu()
        twin = next(
            (kept[i][0] for i, other in enumerate(batches) if _overlap(batch, other) > max_overlap),
            None,
        )
        if twin is not None:
            dropped[name] = f"its batch is that of {twin!r}"
            continue
        kept.append((name, strategy))
        proposals.append(proposal)
        batches.append(batch)
    return Asked(kept, proposals, dropped, seconds)


def _overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.isin(a, b).double().mean())
