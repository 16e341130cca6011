"""LCMD-TP on the gradient kernel: the proposal of the BMDAL paper."""

from __future__ import annotations

from autoal.strategies.gradient.bmdal import BMDAL

__all__ = ["LCMD"]


class LCMD(BMDAL):
    """Asks for the farthest point of the largest cluster, again and again: points belong to the nearest labeled or
    chosen point, and a cluster is as large as the sum of its squared distances. Distances are those of gradients by
    all weights.

    `lcmd-tp_grad_rp-512` of the paper, best of its grid on 15 regression sets. Every pick looks at all points.
    `base` is any kernel of `bmdal`.
    """

    name = "lcmd"
    source = "Holzmueller et al. 2023, arXiv 2203.09410"
    cost = "N P (L + b)"

    def __init__(self, base: str = "gradient") -> None:
        super().__init__(base, (), "lcmd", "tp")
