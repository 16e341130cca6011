"""AlfaMix: clusters of points whose prediction changes when a little of a class is mixed into their features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered
from autoal.strategies.diversity.kmeans import clustered_picks
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.last_layer import centred_logits, changes_class, last_layer

__all__ = ["AlphaMix", "class_means", "flipped_at"]


class AlphaMix(Strategy):
    """Mixes the embedding z of each point with the mean embedding z* of each class, (1 - a) z + a z*, keeps the points
    whose predicted class changes for some class, clusters these by k-means into b, and asks for the point nearest each
    centre.

    The ratios a (one a feature) have the closed form of the paper: e |v| / |g| g / v, for v = z* - z, the gradient g by
    z of the cross-entropy with the predicted class, and e = level / sqrt(D). The level rises by `step` up to 1, until
    more than b points have changed. `clamp` (ours) keeps every ratio from 0 to the level, so that the mix lies between
    z and z*; without it the move is e |v| long and straight up the loss, as in the released code. A class without
    labels has the mean of all labeled points for z*. What is missing of the batch is drawn at random; so is all of it
    where nothing is labeled.

    The classifier on the embeddings is the model's last layer, recovered from embeddings and log-probs: exact where it
    is linear, the nearest linear one otherwise (ours). Ratios learned by gradient steps, the paper's other variant, are
    left out. Formulas as in the released code, read in full.
    """

    name = "alphamix"
    family = "diversity"
    source = "Parvaneh et al. 2022, arXiv 2203.07034"
    cost = "N D C^2 each level + D^3 + k-means of the points that change"
    needs = frozenset({"log_probs", "embeddings"})
    draws = True

    def __init__(self, step: float = 0.2, clamp: bool = True) -> None:
        self.step = step
        self.clamp = clamp

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not 0 < self.step <= 1:
            raise InvalidInput(f"got step={self.step}; wanted a number above 0 and at most 1")
        log_probs, (pool, labeled) = view.pool.require("log_probs"), pool_and_labeled(view)
        level = torch.full((len(pool),), torch.inf, dtype=torch.float64, device=pool.device)
        if len(labeled):
            weights, embeddings, unit = last_layer(view, rng)
            means = class_means(labeled.double() / unit, view.labels.to(pool.device), view.num_classes)
            for i in range(1, math.ceil(1 / self.step - 1e-9) + 1):
                left = level.isinf().nonzero().flatten()
                now = min(1.0, i * self.step)
                flipped = flipped_at(
                    log_probs[left], embeddings[left], weights, means.to(embeddings.dtype), now, self.clamp
                )
                level[left[flipped]] = now
                if int(level.isfinite().sum()) > batch_size:
                    break
        candidates = level.isfinite().nonzero().flatten()
        return ordered(clustered_picks(pool, candidates, batch_size, rng), -level.clamp(max=2.0))


def class_means(embeddings_L_D: Tensor, labels_L: Tensor, num_classes: int) -> Tensor:
    """(C, D) mean embedding of each class; of a class without labels that of all rows."""
    means = embeddings_L_D.mean(dim=0).repeat(num_classes, 1)
    for label in labels_L.unique().tolist():
        means[label] = embeddings_L_D[labels_L == label].mean(dim=0)
    return means


def flipped_at(
    log_probs_N_C: Tensor, embeddings_N_D: Tensor, weights_C_D: Tensor, means_C_D: Tensor, level: float, clamp: bool
) -> Tensor:
    """(N,) whether mixing at this level with some class mean changes the predicted class. No N x C x D is made."""
    flipped_N = torch.zeros(len(log_probs_N_C), dtype=torch.bool, device=log_probs_N_C.device)
    classes, width = weights_C_D.shape
    small = torch.finfo(embeddings_N_D.dtype).tiny
    for rows in chunks(len(embeddings_N_D), 6.0 * embeddings_N_D.element_size() * width + 40.0 * classes):
        logits, points = centred_logits(log_probs_N_C[rows]), embeddings_N_D[rows]
        uphill = _directions(log_probs_N_C[rows], weights_C_D)
        for mean_D in means_C_D:
            towards = mean_D - points
            length = level / math.sqrt(width) * torch.linalg.vector_norm(towards, dim=1, keepdim=True)
            moved = length * uphill
            if clamp:
                # a v for a = moved / v from 0 to the level: on the way to the mean, and no further.
                ratio = moved / torch.where(towards.abs() < small, small, towards)
                moved = ratio.clamp_(0.0, level).mul_(towards)
            flipped_N[rows] |= changes_class(logits, moved, weights_C_D)
    return flipped_N


def _directions(log_probs_n_C: Tensor, weights_C_D: Tensor) -> Tensor:
    """(n, D) unit gradients of the cross-entropy with the predicted class, by the embedding; 0 where there is none."""
    predicted_n = log_probs_n_C.argmax(dim=1, keepdim=True)
    double = log_probs_n_C.double()
    # expm1: p - 1 keeps its digits where p is nearly 1. Only the direction counts, however short the gradient is.
    slopes = double.exp().scatter(1, predicted_n, double.gather(1, predicted_n).expm1())
    slopes = slopes / slopes.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    gradient = slopes.to(weights_C_D.dtype) @ weights_C_D
    size = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    return torch.where(size > 0, gradient / size.clamp_min(torch.finfo(size.dtype).tiny), 0.0)
