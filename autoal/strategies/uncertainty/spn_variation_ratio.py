"""Variation ratio of the class probabilities of a sum-product network."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.spn_classes import breadth, log_posterior, novelty

__all__ = ["SPNVariationRatio"]


class SPNVariationRatio(Strategy):
    """Asks for the points whose likeliest class is least likely under a sum-product network.

    The score is 1 - max p, in [0, 1 - 1/C]. The network and the option are those of `spn_entropy`.
    """

    name = "spn_variation_ratio"
    family = "uncertainty"
    source = "Khosravani and Zilles 2024, arXiv 2206.09798; LearnSPN: Gens and Domingos 2013"
    cost = "N D^2 + L 32^2 + N leaves"
    needs = frozenset({"embeddings"})

    def __init__(self, weighted: bool = False) -> None:
        self.weighted = weighted

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        densities, alone = novelty(view)
        if alone is not None:
            return top_scores(alone, batch_size, rng)
        log_p = log_posterior(densities, view.labels)
        # The sum of the others, not 1 minus the largest: certain points keep their order down to 1e-300.
        scores = log_p.topk(log_p.shape[1], dim=1).values[:, 1:].exp().sum(dim=1)
        return top_scores(scores * breadth(densities) if self.weighted else scores, batch_size, rng)
