"""Gradients of the last layer, as two factors. Axes: N points, C classes, D embedding."""

from __future__ import annotations

from torch import Tensor

from autoal.strategies.parts.distances import NOISE, squared_norms

__all__ = ["GradientEmbedding"]


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
