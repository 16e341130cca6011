"""BADGE: diverse points with large gradients."""

from __future__ import annotations

import torch

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.distances import plus_plus
from autoal.strategies.parts.gradient_embedding import GradientEmbedding

__all__ = ["BADGE"]


class BADGE(Strategy):
    """Asks for points by k-means++ seeding on the gradients of the last layer, as if the predicted class were true.

    The first pick has the largest gradient (`first="uniform"`: is drawn evenly, as in plain k-means++), the others
    are drawn in proportion to the squared distance to the nearest pick. A gradient is an outer product and is
    never formed: memory O(N (C + D)). A point whose gradient equals a pick's comes last; all certain ones count as
    one, with gradient 0.
    """

    name = "badge"
    family = "gradient"
    source = "Ash et al. 2020, arXiv 1906.03671"
    cost = "N b (C + D)"
    needs = frozenset({"log_probs", "embeddings"})
    draws = True

    def __init__(self, first: str = "norm") -> None:
        self.first = first

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        gradient = GradientEmbedding(view.pool.require("log_probs"), view.pool.require("embeddings"))
        size = gradient.size_N
        if self.first == "norm":
            first = random_ties(size, rng, 1)
        elif self.first == "uniform":
            first = torch.randint(len(size), (1,), generator=rng).to(size.device)
        else:
            raise InvalidInput(f"got first={self.first!r}; wanted 'norm' or 'uniform'")
        nearest = gradient.squared_distances(slice(None), first).flatten()
        others = plus_plus(gradient.squared_distances, nearest, batch_size - 1, rng, taken=first)
        return ordered(torch.cat([first, others]), size)
