"""Norms of the gradient of a loss by a network's weights: of the last layer in closed form, of all from the model.

With g the gradient by the logits, that by the last layer's weight is g (x) h, and that by its bias is g, so the norms
of the two tensors sum to |g| (|h| + 1). Axes: N pool, C classes, D embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.errors import UnknownName
from autoal.outputs import PoolView

__all__ = ["SCOPES", "entropy_slope", "gradient_norm_scores", "label_slope"]

SCOPES = {"last": frozenset({"log_probs", "embeddings"}), "all": frozenset({"gradient_norms"})}
"""Which layers count -> what that needs."""
FINITE = -700.0
"""Log probabilities below this weigh nothing."""


def entropy_slope(log_probs_n_C: Tensor) -> Tensor:
    """(n,) length of the gradient of the entropy by the logits, -p_c (log p_c + H). 0 at even predictions."""
    log_p = log_probs_n_C.double().clamp(min=FINITE)
    entropy = -(log_p.exp() * log_p).sum(dim=1, keepdim=True)
    return (log_p.exp() * (log_p + entropy)).norm(dim=1)


def label_slope(log_probs_n_C: Tensor) -> Tensor:
    """(n,) length of the gradient of the cross-entropy by the logits, |p - e_c|, averaged over labels c by p_c."""
    probs = log_probs_n_C.double().exp()
    squared = probs.square().sum(dim=1, keepdim=True) - 2 * probs + 1
    # 1 - p of a nearly certain class is the sum of the others.
    top = probs.argmax(dim=1, keepdim=True)
    others = probs.scatter(1, top, 0.0)
    squared = squared.scatter(1, top, others.sum(dim=1, keepdim=True).square() + others.square().sum(1, keepdim=True))
    return (probs * squared.clamp_min(0).sqrt()).sum(dim=1)


def gradient_norm_scores(view: PoolView, scope: str, of_entropy: bool) -> Tensor:
    """(N,) float64 sums over parameter tensors of gradient norms. Raises UnknownName for a scope that is none."""
    if scope not in SCOPES:
        raise UnknownName("scope", scope, SCOPES)
    if scope == "all":
        return view.pool.require("gradient_norms")[:, 0 if of_entropy else 1].double()
    log_probs, embeddings = view.pool.require("log_probs"), view.pool.require("embeddings")
    slope = entropy_slope if of_entropy else label_slope
    scores = torch.empty(len(log_probs), dtype=torch.float64, device=log_probs.device)
    for rows in chunks(len(log_probs), 16.0 * embeddings.shape[1] + 48.0 * log_probs.shape[1]):
        lengths = embeddings[rows].double().norm(dim=1)
        scores[rows] = slope(log_probs[rows]) * (lengths + 1)
    return scores
