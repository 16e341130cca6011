"""What the labels of several points together would say about the model. Axes: N points, K posterior samples,
C classes, M label configurations.

A configuration is one way to label a batch. For each the table holds the weight of every posterior sample given those
labels, so that what a further point would add is a mean of one-point quantities. Products of many probabilities never
appear outside a logarithm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.strategies._distances import tiles

__all__ = ["LabelTable", "expected_entropy"]

NEGLIGIBLE = 1e-16
"""Probability of all configurations together that may be left out of an exact table."""


class LabelTable:
    """The label configurations of a growing batch, all of them while they are at most `limit`, else `draws` drawn.

    A drawn configuration belongs to one posterior sample and has its labels drawn from it, which is an exact draw
    from the joint distribution of the labels. Every sample owns equally many: M is `draws` rounded down to a multiple
    of K, at least K. With `limit=0` all are drawn from the start. Draws come from `rng`.
    """

    def __init__(
        self,
        samples: int,
        rng: torch.Generator,
        device: torch.device | str = "cpu",
        *,
        limit: int = 10_000,
        draws: int = 10_000,
    ) -> None:
        if samples < 1 or limit < 0 or draws < 1:
            raise InvalidInput(
                f"got samples={samples}, limit={limit}, draws={draws}; wanted at least 1, 0 and 1 of them"
            )
        self.samples, self.limit, self.draws, self._rng = samples, limit, draws, rng
        self.owners_M: Tensor | None = None
        """(M,) the sample a drawn configuration belongs to; None while all are enumerated."""
        self._log_joint_M_K = torch.zeros(1, samples, dtype=torch.float64, device=device)
        self._seen: list[Tensor] = []

    @property
    def exact(self) -> bool:
        return self.owners_M is None

    @property
    def mass_M(self) -> Tensor:
        """(M,) probability of each configuration, float64."""
        if self.exact:
            return (self._log_joint_M_K.logsumexp(dim=1) - math.log(self.samples)).exp()
        count = len(self._log_joint_M_K)
        return self._log_joint_M_K.new_full((count,), 1 / count)

    @property
    def weights_M_K(self) -> Tensor:
        """(M, K) p(sample | labels), float64; rows sum to 1."""
        return self._log_joint_M_K.softmax(dim=1)

    def extend(self, log_probs_K_C: Tensor) -> None:
        """One more point joins the batch."""
        log_probs_K_C = log_probs_K_C.double()
        if self.owners_M is None:
            self._seen.append(log_probs_K_C)
            classes = log_probs_K_C.shape[1]
            if len(self._log_joint_M_K) * classes <= self.limit:
                joint_M_C_K = self._log_joint_M_K[:, None, :] + log_probs_K_C.T
                self._log_joint_M_K = joint_M_C_K.reshape(-1, self.samples)
                mass_M = self.mass_M
                # Impossible configurations would turn into NaN, and those that hardly ever happen cost time.
                self._log_joint_M_K = self._log_joint_M_K[mass_M > NEGLIGIBLE / len(mass_M)]
                return
            count = max(1, self.draws // self.samples)
            self.owners_M = torch.arange(self.samples, device=log_probs_K_C.device).repeat(count)
            self._log_joint_M_K = log_probs_K_C.new_zeros(count * self.samples, self.samples)
            seen, self._seen = self._seen, []
        else:
            seen = [log_probs_K_C]
        for rows_K_C in seen:
            self._log_joint_M_K += rows_K_C[:, _drawn_labels(rows_K_C, self.owners_M, self._rng)].T


def _drawn_labels(log_probs_K_C: Tensor, owners_M: Tensor, rng: torch.Generator) -> Tensor:
    """(M,) a label from the owner of each configuration, never one that it holds for impossible."""
    below_K_C = log_probs_K_C.exp().cumsum(dim=1)
    below_K_C = below_K_C / below_K_C[:, -1:]
    even_M = torch.rand(len(owners_M), generator=rng, dtype=torch.float64).to(below_K_C.device)
    return (below_K_C[owners_M] <= even_M[:, None]).sum(dim=1)


def expected_entropy(table: LabelTable, log_probs_n_K_C: Tensor) -> Tensor:
    """(n,) entropy of each point's label once the labels of the table's batch are known, a mean over these; float64.

    Enumerated tables are worked out in float64, drawn ones in float32: their noise is far above its rounding.
    """
    dtype = torch.float64 if table.exact else torch.float32
    weights_M_K, mass_M = table.weights_M_K.to(dtype), table.mass_M.to(dtype)
    n, samples, classes = log_probs_n_K_C.shape
    entropy_n = log_probs_n_K_C.new_empty(n, dtype=torch.float64)
    for rows in tiles(n, 3 * dtype.itemsize * len(mass_M) * classes, log_probs_n_K_C.device):
        probs_n_C_K = log_probs_n_K_C[rows].to(dtype).exp().transpose(1, 2)
        mixed_M_nC = weights_M_K @ probs_n_C_K.reshape(-1, samples).T
        entropy_nC = mass_M @ torch.special.entr(mixed_M_nC)
        entropy_n[rows] = entropy_nC.double().reshape(-1, classes).sum(dim=1)
    return entropy_n
