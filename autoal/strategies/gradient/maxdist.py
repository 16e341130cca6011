"""MaxDist-TP on the gradient kernel."""

from __future__ import annotations

from autoal.strategies.gradient.bmdal import BMDAL

__all__ = ["MaxDist"]


class MaxDist(BMDAL):
    """Asks for the point whose gradient by all weights is farthest from those of all labeled and chosen points:
    k-center on the gradient kernel.

    `maxdist-tp_grad_rp-512` of the paper. Good for the largest errors; drawn to outliers.
    `base` is any kernel of `bmdal`.
    """

    name = "maxdist"
    source = "Holzmueller et al. 2023, arXiv 2203.09410"
    cost = "N P (L + b)"

    def __init__(self, base: str = "gradient") -> None:
        super().__init__(base, (), "maxdist", "tp")
