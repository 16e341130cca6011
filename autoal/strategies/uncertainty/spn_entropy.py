"""Entropy of the class probabilities of a sum-product network."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.spn_classes import breadth, log_posterior, novelty

__all__ = ["SPNEntropy"]


class SPNEntropy(Strategy):
    """Asks for the points whose class is least certain under a sum-product network of the labeled embeddings.

    One density for each class (LearnSPN, Gaussian leaves), learned on whitened embeddings of the labeled points; in
    nats, from 0 to log C. With labels of one class only: the points least likely under that class.

    weighted: times how evenly the classes' densities share the point, their priors left out. This weight is ours: the
    paper's abstract names one and does not give it. Learner, leaves and whitening are ours as well, for the same
    reason. The network is not the task model, so it can be right where that is wrong, and the other way round.
    """

    name = "spn_entropy"
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
        log_p = log_posterior(densities, view.labels).clamp(min=-740.0)
        scores = -(log_p.exp() * log_p).sum(dim=1)
        return top_scores(scores * breadth(densities) if self.weighted else scores, batch_size, rng)
