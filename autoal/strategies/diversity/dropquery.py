"""DropQuery: clusters of points whose prediction changes when parts of the features are dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered
from autoal.strategies.diversity.kmeans import clustered_picks
from autoal.strategies.parts.last_layer import centred_logits, changes_class, last_layer

__all__ = ["DropQuery", "changed_by_dropout"]


class DropQuery(Strategy):
    """Drops a share `dropout` of each point's features `samples` times, keeps the points whose predicted class changes
    in more than half of the samples, clusters these by k-means into b, and asks for the point nearest each centre.

    enough: where fewer than `enough` b points change that often, fewer changes do, down to one, as in the released
    code. What is then missing of the batch is drawn at random from the other points.

    The features are the embeddings (the rest of them scaled by 1 / (1 - dropout)), clustered at length 1; the
    classifier on them is the model's last layer, recovered from embeddings and log-probs: exact where it is linear, the
    nearest linear one otherwise (ours). Rules as in the released code, read in full (of the paper, the abstract); the
    share of 0.75 is that of scikit-activeml and of a later user's configuration of that code.
    """

    name = "dropquery"
    family = "diversity"
    source = "Gupte, Aklilu, Nirschl and Yeung-Levy 2024, arXiv 2401.14555"
    cost = "N D C times samples + D^3 + k-means of the points that change"
    needs = frozenset({"log_probs", "embeddings"})
    draws = True

    def __init__(self, dropout: float = 0.75, samples: int = 3, enough: int = 25) -> None:
        self.dropout = dropout
        self.samples = samples
        self.enough = enough

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not 0 < self.dropout < 1:
            raise InvalidInput(f"got dropout={self.dropout}; wanted a share above 0 and below 1")
        if self.samples < 1 or self.enough < 0:
            raise InvalidInput(f"got samples={self.samples}, enough={self.enough}; wanted at least 1 and at least 0")
        log_probs = view.pool.require("log_probs")
        weights, embeddings, _ = last_layer(view, rng)
        changes = torch.zeros(len(log_probs), dtype=torch.int64, device=log_probs.device)
        for _ in range(self.samples):
            changes += changed_by_dropout(log_probs, embeddings, weights, self.dropout, rng)
        least = self.samples // 2 + 1
        while least > 1 and int((changes >= least).sum()) < self.enough * batch_size:
            least -= 1
        candidates = (changes >= least).nonzero().flatten()
        return ordered(clustered_picks(view.pool.require("embeddings"), candidates, batch_size, rng), changes)


def changed_by_dropout(
    log_probs_N_C: Tensor, embeddings_N_D: Tensor, weights_C_D: Tensor, dropout: float, rng: torch.Generator
) -> Tensor:
    """(N,) whether the predicted class changes once each feature of each point was set to 0 with probability `dropout`
    and the others were divided by 1 - `dropout`."""
    changed_N = torch.empty(len(log_probs_N_C), dtype=torch.bool, device=log_probs_N_C.device)
    classes, width = weights_C_D.shape
    for rows in chunks(len(embeddings_N_D), 32.0 * width + 40.0 * classes):
        features = embeddings_N_D[rows]
        # Drawn on the CPU, one number after the other: the same on any device and in any chunks.
        kept = (torch.rand(features.shape, generator=rng) >= dropout).to(features.device)
        moved = torch.where(kept, features * (dropout / (1 - dropout)), -features)
        changed_N[rows] = changes_class(centred_logits(log_probs_N_C[rows]), moved, weights_C_D)
    return changed_N
