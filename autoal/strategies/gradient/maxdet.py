"""MaxDet-P on the posterior of the gradient kernel."""

from __future__ import annotations

from autoal.strategies.gradient.bmdal import BMDAL

__all__ = ["MaxDet"]


class MaxDet(BMDAL):
    """Asks for the batch of largest joint variance, greedily: log det of the posterior covariance of a Bayesian linear
    model on gradients by all weights, plus noise.

    `maxdet-p_grad_rp-512_train` of the paper: BatchBALD for a Gaussian process. `sigma` is the noise of the posterior
    and of the determinant, relative to a kernel of mean 1 on the labeled points. Memory O(N (P + b)), float64.
    `base` is any kernel of `bmdal`.
    """

    name = "maxdet"
    source = "Holzmueller et al. 2023, arXiv 2203.09410"
    cost = "N P (P + b) + N b^2"

    def __init__(self, base: str = "gradient", sigma: float = 1e-3) -> None:
        super().__init__(base, ("posterior",), "maxdet", "p", sigma=sigma)
