"""k-center in the first principal components."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy
from autoal.strategies.diversity.kcenter import k_center
from autoal.strategies.parts.distances import centred
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["KCenterPCA", "principal_coordinates"]


class KCenterPCA(Strategy):
    """k-center on the first `components` principal components of pool and labeled embeddings, where they have more.

    Cheaper per pick than k-center, and deaf to directions of little variance: to noise, and to rare points that
    differ in those alone. Coordinates are float32; DeepAL+ has float16, which overflows above 65 504.
    """

    name = "kcenter_pca"
    family = "diversity"
    source = "DeepAL+ of Zhan et al. 2022, arXiv 2203.13450; k-center of Sener and Savarese 2018, arXiv 1708.00489"
    cost = "N D^2 + N (L + b) K, K = 50 components"
    needs = frozenset({"embeddings"})
    tasks = BOTH_TASKS

    def __init__(self, components: int = 50) -> None:
        self.components = components

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.components < 1:
            raise InvalidInput(f"got components={self.components}; wanted 1 or more")
        pool, labeled = pool_and_labeled(view)
        return k_center(*principal_coordinates(pool, labeled, self.components), batch_size, rng)


def principal_coordinates(pool_N_D: Tensor, labeled_L_D: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """(N, K) and (L, K) float32, by falling variance over both sets; centred alone where D <= K."""
    pool_N_D, labeled_L_D = centred(pool_N_D, labeled_L_D)
    width = pool_N_D.shape[1]
    if width <= components:
        return pool_N_D, labeled_L_D
    total = pool_N_D.new_zeros(width, dtype=torch.float64)
    gram = pool_N_D.new_zeros(width, width, dtype=torch.float64)
    for side in (pool_N_D, labeled_L_D):
        for rows in chunks(len(side), 8 * width):
            part = side[rows].double()
            total += part.sum(dim=0)
            gram += part.T @ part
    count = len(pool_N_D) + len(labeled_L_D)
    scatter = gram - torch.outer(total, total) / count
    basis = torch.linalg.eigh(scatter).eigenvectors[:, -components:].flip(1).float()
    mean = (total / count).float()
    return (pool_N_D - mean) @ basis, (labeled_L_D - mean) @ basis
