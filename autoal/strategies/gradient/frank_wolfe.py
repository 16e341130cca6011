"""FrankWolfe-P on random features of the gradient kernel's ACS inner product."""

from __future__ import annotations

from autoal.strategies.gradient.bmdal import BMDAL

__all__ = ["FrankWolfe"]


class FrankWolfe(BMDAL):
    """Asks for points whose labels together would tell most like those of the whole pool: Frank-Wolfe steps towards the
    sum of random features of the expected log likelihood (ACS-FW), of a Bayesian linear model with unknown noise on
    gradients by all weights.

    `fw-p_grad_rp-512_acs-rf-hyper-512` of the paper. A classification has no targets to learn the noise from: they
    are taken for 0 (ours). `width` is how many random features are drawn.
    `base` is any kernel of `bmdal`.
    """

    name = "frank_wolfe"
    source = "Holzmueller et al. 2023, arXiv 2203.09410; Pinsler et al. 2019, arXiv 1908.02144"
    cost = "N P (P + K) + N K b, K = 512 random features"
    draws = True

    def __init__(self, base: str = "gradient", width: int = 512) -> None:
        super().__init__(base, ("acs_rf_hyper",), "frank_wolfe", "p", width=width)
