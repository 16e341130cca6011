"""FRE: points far from the subspace that the labeled points of their predicted class span."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, top_scores
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.strata import merged_by_rank

__all__ = ["FRE", "reconstruction_error"]

ROUNDING = 1e-13
"""Errors below this share of the squared distance to the mean are 0: what float32 features leave of one."""


class FRE(Strategy):
    """Asks for the points with the largest feature reconstruction error: the squared distance of the embedding to
    the principal subspace, with `variance` of the variance, of the labeled points of the predicted class.

    The predicted classes take turns: the worst of each, then the second of each. A class with one labeled point is
    that point, so that the error is the squared distance to it. Ours: a class with none is judged by the subspace of
    all labeled points, where the published code gives its points 0; and at least one direction is always left out,
    since with few features the variance asked for may need them all. `per_class=False`, and a regression, have the
    subspace of all labeled points alone, and no turns. With nothing labeled all are equal. Outliers come first.

    Only the query of the paper is here, on the embeddings of the task model, however it was trained; its contrastive
    training belongs to the model.
    """

    name = "fre"
    family = "diversity"
    source = "Krishnan et al. 2021, arXiv 2109.06873"
    cost = "L D min(L, D) + N D K, K components"
    needs = frozenset({"log_probs", "embeddings"})
    tasks = BOTH_TASKS

    def __init__(self, variance: float = 0.995, per_class: bool = True) -> None:
        self.variance = variance
        self.per_class = per_class

    def needs_for(self, task: str) -> frozenset[str]:
        return self.needs if task == "classification" else frozenset({"embeddings"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not 0 < self.variance <= 1:
            raise InvalidInput(f"got variance={self.variance}; wanted a share above 0 and at most 1")
        pool, labeled = pool_and_labeled(view)
        if len(labeled) == 0:
            return top_scores(torch.zeros(len(pool), device=pool.device), batch_size, rng)
        if view.task == "regression" or not self.per_class:
            return top_scores(reconstruction_error(pool, labeled, self.variance), batch_size, rng)
        predicted = view.pool.require("log_probs").argmax(dim=1)
        labels = view.labels.to(pool.device)
        error = torch.empty(len(pool), dtype=torch.float64, device=pool.device)
        for c in predicted.unique():
            of_class = labeled[labels == c]
            inside = (predicted == c).nonzero().flatten()
            error[inside] = reconstruction_error(pool[inside], of_class if len(of_class) else labeled, self.variance)
        return top_scores(merged_by_rank(error, predicted), batch_size, rng)


def reconstruction_error(points_n_D: Tensor, known_L_D: Tensor, variance: float) -> Tensor:
    """(n,) float64 squared distance to the principal subspace of `known_L_D` (L >= 1) about its mean."""
    known = known_L_D.double()
    mean_D = known.mean(dim=0)
    _, lengths, directions = torch.linalg.svd(known - mean_D, full_matrices=False)
    noise = torch.finfo(known_L_D.dtype).eps * known.abs().amax() * max(known.shape) ** 0.5
    share = lengths.square().cumsum(0) / lengths.square().sum().clamp_min(torch.finfo(torch.float64).tiny)
    count = min(int((share <= variance).sum()) + 1, int((lengths > noise).sum()), known.shape[1] - 1)
    basis_K_D = directions[:count]
    error_n = points_n_D.new_empty(len(points_n_D), dtype=torch.float64)
    for rows in chunks(len(points_n_D), 32 * points_n_D.shape[1]):
        centred = points_n_D[rows].double() - mean_D
        error_n[rows] = (centred - (centred @ basis_K_D.T) @ basis_K_D).square().sum(dim=1)
        error_n[rows].masked_fill_(error_n[rows] < ROUNDING * centred.square().sum(dim=1), 0)
    return error_n
