"""KMeansPP-P on random features of the gradient kernel's ACS inner product."""

from __future__ import annotations

from autoal.strategies.gradient.bmdal import BMDAL

__all__ = ["KMeansPP"]


class KMeansPP(BMDAL):
    """Draws points by k-means++ seeding on random features of what their labels would tell a Bayesian linear model on
    gradients by all weights.

    `kmeanspp-p_grad_rp-512_acs-rf-512` of the paper. `sigma` is the noise relative to a kernel of mean 1 on the labeled
    points, `width` how many random features are drawn.
    `base` is any kernel of `bmdal`.
    """

    name = "kmeanspp"
    source = "Holzmueller et al. 2023, arXiv 2203.09410"
    cost = "N P (P + K + b), K = 512 random features"
    draws = True

    def __init__(self, base: str = "gradient", sigma: float = 1e-3, width: int = 512) -> None:
        super().__init__(base, ("acs_rf",), "kmeanspp", "p", sigma=sigma, width=width)
