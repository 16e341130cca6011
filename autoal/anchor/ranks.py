"""What SearchNet sees of a candidate: how much it wants each point, on one scale for all candidates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoal.strategies import Proposal

__all__ = ["evidence_of", "pick_matrix", "rank_scores"]


def evidence_of(proposals: Sequence[Proposal], batch_size: int) -> Tensor:
    """(N, K) float32 in [0, 1]: what SearchNet sees of K candidates, K >= 1."""
    return torch.stack([rank_scores(proposal, batch_size) for proposal in proposals], dim=1)


def rank_scores(proposal: Proposal, batch_size: int) -> Tensor:
    """(N,) float32 in [0, 1]: half the percentile of the score, half `exp(-place / (2 batch_size))`.

    The percentile says how near a miss was; the second half is about what the candidate would really buy, and the
    paper's indicator is its hard limit. Equal scores share one rank.
    """
    scores = proposal.scores
    n = len(scores)
    _, inverse, counts = torch.unique(-scores, sorted=True, return_inverse=True, return_counts=True)
    before = counts.cumsum(0) - counts
    place = (before + 0.5 * (counts - 1))[inverse].double()
    percentile = 1.0 - place / max(1, n - 1)
    return (0.5 * percentile + 0.5 * torch.exp(-place / (2.0 * batch_size))).float()


def pick_matrix(proposals: Sequence[Proposal], batch_size: int, n: int) -> Tensor:
    """(N, K) bool: whether candidate k put point n among its first `batch_size`."""
    picked = torch.zeros(n, len(proposals), dtype=torch.bool)
    for k, proposal in enumerate(proposals):
        picked[proposal.indices[:batch_size].cpu(), k] = True
    return picked
