"""What the labels of several points together would say about the model. Axes: N points, K posterior samples,
C classes, M label configurations.

A configuration is one way to label a batch. For each the table holds the weight of every posterior sample given those
labels, so that what a further point would add is a mean of one-point quantities. Products of many probabilities never
appear outside a logarithm.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.strategies.parts.distances import tiles

__all__ = ["Configurations", "LabelTable", "condensed", "expected_entropy", "merged"]

NEGLIGIBLE = 1e-16
"""Probability of all configurations together that may be left out of an exact table."""


class Configurations(NamedTuple):
    """Ways to label a batch."""

    weights_M_K: Tensor
    """What each would make of the posterior samples; rows sum to 1."""
    mass_M: Tensor
    """How likely each is."""


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

    @property
    def configurations(self) -> Configurations:
        """In float64 where all are enumerated, else in float32: the noise of draws is far above its rounding."""
        dtype = torch.float64 if self.exact else torch.float32
        return Configurations(self.weights_M_K.to(dtype), self.mass_M.to(dtype))

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


def expected_entropy(known: Configurations, log_probs_n_K_C: Tensor) -> Tensor:
    """(n,) entropy of each point's label once the labels of a batch are known, a mean over these; float64."""
    weights_M_K, mass_M = known
    n, samples, classes = log_probs_n_K_C.shape
    entropy_n = log_probs_n_K_C.new_empty(n, dtype=torch.float64)
    for rows in tiles(n, 3 * weights_M_K.itemsize * len(mass_M) * classes, log_probs_n_K_C.device):
        probs_n_C_K = log_probs_n_K_C[rows].to(weights_M_K.dtype).exp().transpose(1, 2)
        mixed_M_nC = weights_M_K @ probs_n_C_K.reshape(-1, samples).T
        entropy_nC = mass_M @ torch.special.entr(mixed_M_nC)
        entropy_n[rows] = entropy_nC.double().reshape(-1, classes).sum(dim=1)
    return entropy_n


def condensed(known: Configurations, share: float = 1e-3) -> Configurations:
    """Configurations that leave next to nothing open are put together by their likeliest sample.

    They are those that hold the least of what is open about the model, `share` of it in all: information that can
    still be gained is overstated by no more than that, in practice by far less.
    """
    weights_M_K, mass_M = known
    open_M = torch.special.entr(weights_M_K.double()).sum(dim=1) * mass_M.double()
    values, order_M = open_M.sort()
    settled = order_M[values.cumsum(0) <= share * values.sum()]
    best = weights_M_K[settled].argmax(dim=1)
    samples = weights_M_K.shape[1]
    mass_K = mass_M.new_zeros(samples).index_add(0, best, mass_M[settled])
    sums_K_K = weights_M_K.new_zeros(samples, samples).index_add(0, best, weights_M_K[settled] * mass_M[settled, None])
    held, rest = mass_K > 0, torch.ones_like(mass_M, dtype=torch.bool).index_fill(0, settled, False)
    means_K_K = sums_K_K[held] / mass_K[held, None]
    return Configurations(torch.cat([means_K_K, weights_M_K[rest]]), torch.cat([mass_K[held], mass_M[rest]]))


def merged(known: Configurations, levels: int, steps: int = 4) -> Configurations:
    """At most 2^levels groups of configurations with like weights, each with its mean weights.

    Entropy is concave, so `expected_entropy` of the groups is an upper bound on that of `known`. Groups are halved at
    the median along their longest axis, found by `steps` of power iteration.
    """
    weights_M_K, mass_M = known
    lacking = -len(mass_M) % 2**levels
    weights_M_K = torch.cat([weights_M_K, weights_M_K[:1].expand(lacking, -1)])
    mass_M = torch.cat([mass_M, mass_M.new_zeros(lacking)])
    tiny = torch.finfo(mass_M.dtype).tiny
    members_G_m = torch.arange(len(mass_M), device=mass_M.device)[None]
    for _ in range(levels):
        rows_G_m_K, mass_G_m_1 = weights_M_K[members_G_m], mass_M[members_G_m][:, :, None]
        sums_G_K = (rows_G_m_K * mass_G_m_1).sum(dim=1)
        apart_G_m_K = rows_G_m_K - (sums_G_K / mass_G_m_1.sum(dim=1).clamp_min(tiny))[:, None]
        spread_G_K = (apart_G_m_K.square() * mass_G_m_1).sum(dim=1)
        axis_G_K = torch.nn.functional.one_hot(spread_G_K.argmax(dim=1), spread_G_K.shape[1]).to(mass_M.dtype)
        for _ in range(steps):
            along_G_m_1 = apart_G_m_K @ axis_G_K[:, :, None]
            axis_G_K = (apart_G_m_K * along_G_m_1 * mass_G_m_1).sum(dim=1)
            axis_G_K = axis_G_K / axis_G_K.norm(dim=1, keepdim=True).clamp_min(tiny)
        order_G_m = (apart_G_m_K @ axis_G_K[:, :, None])[:, :, 0].argsort(dim=1)
        members_G_m = members_G_m.gather(1, order_G_m).reshape(2 * len(members_G_m), -1)
    mass_G = mass_M[members_G_m].sum(dim=1)
    sums_G_K = (weights_M_K[members_G_m] * mass_M[members_G_m][:, :, None]).sum(dim=1)
    held = mass_G > 0
    return Configurations(sums_G_K[held] / mass_G[held, None], mass_G[held])
