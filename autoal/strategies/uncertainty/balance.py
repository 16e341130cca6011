"""BALanCe: the points that tell apart posterior samples which predict differently."""

from __future__ import annotations

import torch

from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.edges import edge_threshold, edges_between, told_apart
from autoal.strategies.uncertainty.bald import label_information

__all__ = ["Balance"]


class Balance(Strategy):
    """Asks for the points whose label is expected to rule out most pairs of posterior samples that predict differently:
    samples that amount to the same need not be told apart.

    The two halves of the K samples make K/2 pairs. A pair counts where its predicted classes differ on a share of the
    pool that is at least a threshold, `rho` times the model's error, which falls as labels come in. We take the
    held-out error of a last layer fitted to labeled embeddings over five folds, and 0.05 below ten labels or two
    labeled classes; a number for `threshold` sets it. The paper likes a `rho` of 1/2, and 1/4 in a pool with repeats.

    Where no pair counts the threshold is halved until one does (ours); where all pairs agree everywhere it is BALD.
    Pairs are compared on the whole pool, where the paper draws 10 000 points. Takes every copy of a repeated point.
    """

    name = "balance"
    family = "uncertainty"
    source = "Zhang, Khan, Grossman and Chen 2023, arXiv 2112.13737"
    cost = "N K C"
    needs = frozenset({"mc_log_probs", "embeddings"})

    def __init__(self, rho: float = 0.5, threshold: float | str = "auto") -> None:
        self.rho = rho
        self.threshold = threshold

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        log_probs = view.pool.require("mc_log_probs")
        edges = edges_between(log_probs, edge_threshold(view, self.rho, self.threshold))
        scores = label_information(view) if edges is None else told_apart(log_probs, edges)
        return top_scores(scores, batch_size, rng)
