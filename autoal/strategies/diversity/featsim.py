"""FeatSim: points unlike the labeled points of their predicted class."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import UnknownName
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, top_scores
from autoal.strategies.parts.distances import tiles, unit_rows
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.strata import merged_by_rank

__all__ = ["FeatSim", "largest_cosine", "mean_cosine"]


class FeatSim(Strategy):
    """Asks for the points whose largest (`reduce="mean"`: mean) cosine to the labeled points of their predicted
    class is smallest; the predicted classes take turns.

    `scope="all"`, a class with no labeled point, and a regression compare with all labeled points; turns are taken
    by `scope="class"` alone. With nothing labeled all are equal. A copy of a labeled point comes last in its class.

    The paper's formula is not public; this one is ours, from its description. It reads the embeddings of the task
    model; the contrastive training of the paper belongs to the model.
    """

    name = "featsim"
    family = "diversity"
    source = "after Krishnan et al. 2021, arXiv 2109.06873"
    cost = "N L D"
    needs = frozenset({"log_probs", "embeddings"})
    tasks = BOTH_TASKS

    def __init__(self, reduce: str = "max", scope: str = "class") -> None:
        self.reduce = reduce
        self.scope = scope

    def needs_for(self, task: str) -> frozenset[str]:
        return self.needs if task == "classification" else frozenset({"embeddings"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        likeness = {"max": largest_cosine, "mean": mean_cosine}
        if self.reduce not in likeness:
            raise UnknownName("reduce", self.reduce, likeness)
        if self.scope not in ("class", "all"):
            raise UnknownName("scope", self.scope, ("class", "all"))
        similar = likeness[self.reduce]
        pool, labeled = map(unit_rows, pool_and_labeled(view))
        if view.task == "regression" or self.scope == "all" or len(labeled) == 0:
            return top_scores(-similar(pool, labeled), batch_size, rng)
        predicted = view.pool.require("log_probs").argmax(dim=1)
        labels = view.labels.to(pool.device)
        scores = torch.empty(len(pool), dtype=torch.float64, device=pool.device)
        for c in predicted.unique():
            of_class = labeled[labels == c]
            inside = (predicted == c).nonzero().flatten()
            scores[inside] = -similar(pool[inside], of_class if len(of_class) else labeled)
        return top_scores(merged_by_rank(scores, predicted), batch_size, rng)


def largest_cosine(rows_n_D: Tensor, others_m_D: Tensor) -> Tensor:
    """(n,) float64 largest cosine of each row to another one, for rows of length 1; 0 where there is none."""
    largest_n = rows_n_D.new_zeros(len(rows_n_D), dtype=torch.float64)
    if len(others_m_D):
        for rows in tiles(len(rows_n_D), rows_n_D.element_size() * len(others_m_D), rows_n_D.device):
            largest_n[rows] = (rows_n_D[rows] @ others_m_D.to(rows_n_D.dtype).T).amax(dim=1).double()
    return largest_n


def mean_cosine(rows_n_D: Tensor, others_m_D: Tensor) -> Tensor:
    """(n,) float64 mean cosine of each row to the others, for rows of length 1; 0 where there is none."""
    total_D = others_m_D.sum(dim=0, dtype=torch.float64)
    return rows_n_D.double() @ (total_D / max(len(others_m_D), 1))
