"""The floor every learned selector must beat: each slot of the batch goes to a candidate drawn uniformly."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.strategies import Proposal

__all__ = ["uniform_mixture"]


def uniform_mixture(proposals: list[Proposal], batch_size: int, rng: torch.Generator) -> Tensor:
    """(b,) positions: for each slot a candidate is drawn, and its best point that is not yet taken is bought.

    Each proposal must hold at least `batch_size` points.
    """
    draws = torch.randint(0, len(proposals), (batch_size,), generator=rng).tolist()
    queues = [iter(proposal.indices.tolist()) for proposal in proposals]
    taken: list[int] = []
    seen: set[int] = set()
    for k in draws:
        point = next(i for i in queues[k] if i not in seen)
        taken.append(point)
        seen.add(point)
    return torch.tensor(taken, dtype=torch.long)
