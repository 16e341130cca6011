"""MaxDiag on the posterior of the gradient kernel."""

from __future__ import annotations

from autoal.strategies.gradient.bmdal import BMDAL

__all__ = ["MaxDiag"]


class MaxDiag(BMDAL):
    """Asks for the points of largest variance under a Bayesian linear model on gradients by all weights.

    `maxdiag_grad_rp-512_train` of the paper: BALD for a Gaussian process. One by one, so that the picks of a batch are
    alike; in the paper worse than random for batches of 256.
    `base` is any kernel of `bmdal`.
    """

    name = "maxdiag"
    source = "Holzmueller et al. 2023, arXiv 2203.09410"
    cost = "N P^2"

    def __init__(self, base: str = "gradient", sigma: float = 1e-3) -> None:
        super().__init__(base, ("posterior",), "maxdiag", "p", sigma=sigma)
