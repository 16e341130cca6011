"""BADGE: diverse points with large gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies._distances import NOISE, plus_plus, squared_norms
from autoal.strategies.base import Proposal, Strategy, ordered, random_ties

__all__ = ["BADGE", "GradientEmbedding"]


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
            first = random_ties(size, rng)[:1]
        elif self.first == "uniform":
            first = torch.randint(len(size), (1,), generator=rng).to(size.device)
        else:
            raise InvalidInput(f"got first={self.first!r}; wanted 'norm' or 'uniform'")
        nearest = gradient.squared_distances(slice(None), first).flatten()
        others = plus_plus(gradient.squared_distances, nearest, batch_size - 1, rng, taken=first)
        return ordered(torch.cat([first, others]), size)


class GradientEmbedding:
    """g = (p - one-hot of the predicted class) x embedding, (N, C D), kept as its two factors."""

    def __init__(self, log_probs_N_C: Tensor, embeddings_N_D: Tensor) -> None:
        predicted_N = log_probs_N_C.argmax(dim=1, keepdim=True)
        # expm1: p - 1 keeps its digits where p is nearly 1.
        residual = log_probs_N_C.exp().scatter(1, predicted_N, log_probs_N_C.gather(1, predicted_N).expm1())
        self.residual_N_C = residual.float()
        largest = float(embeddings_N_D.abs().amax()) or 1.0
        self.embeddings_N_D = (embeddings_N_D if 1e-6 < largest < 1e6 else embeddings_N_D / largest).float()
        self.size_N = squared_norms(self.residual_N_C) * squared_norms(self.embeddings_N_D)

    def squared_distances(self, rows: slice | Tensor, picks: Tensor) -> Tensor:
        """(n, m): |g|^2 + |g'|^2 - 2 (residual . residual') (embedding . embedding')."""
        products = self.residual_N_C[rows] @ self.residual_N_C[picks].T
        products *= self.embeddings_N_D[rows] @ self.embeddings_N_D[picks].T
        sizes = self.size_N[rows, None] + self.size_N[picks]
        squared = sizes - 2 * products
        return squared.masked_fill_(squared < NOISE * sizes, 0)
