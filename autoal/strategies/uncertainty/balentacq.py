"""BalEntAcq: balanced entropy acquisition."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, mean_log_probs

__all__ = ["BalEntAcq", "balanced_entropy", "beta_entropy"]

FLOOR = 1e-9
"""Least mean and least variance of a class probability."""
SMALLEST = 1e-12
GAUSSIAN = 1e8
"""Concentration above which a Beta distribution is taken for a Gaussian: the logarithms of gamma lose digits there."""


class BalEntAcq(Strategy):
    """Asks for the points where entropy and the spread of the class probabilities are in balance.

    With a Beta distribution fitted to the samples of each class probability, BalEnt = (sum m h + H) / (H + log 2): m
    the mean, h the entropy of the probability once its class is seen, H the entropy of m. Score 1 / BalEnt where it is
    positive, else BalEnt: first come points just above 0, not those with the widest spread. No batch interaction.

    The spread needs many samples, K of 20 or more (the paper takes 100); with K = 1 all points are equal. Samples
    that are certain and disagree would get an h of minus infinity; a + b of the Beta is held at 1 / K or more (ours).
    compat: `reference` repeats the released code, whose 1e-32 inside a logarithm spoils points of little spread; for
    comparisons only.
    """

    name = "balentacq"
    family = "uncertainty"
    source = "Woo 2023, arXiv 2105.14559"
    cost = "N K C"
    needs = frozenset({"mc_log_probs"})

    def __init__(self, compat: str | None = None) -> None:
        self.compat = compat

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.compat not in (None, "reference"):
            raise InvalidInput(f"got compat={self.compat!r}; wanted None or 'reference'")
        reference = self.compat is not None
        scores = by_rows(lambda rows: balanced_entropy(rows, reference), view.pool.require("mc_log_probs"))
        return top_scores(scores, batch_size, rng)


def balanced_entropy(log_probs_N_K_C: Tensor, reference: bool = False) -> Tensor:
    """(N,) scores, float64; 0 for all where K = 1."""
    n, samples, _ = log_probs_N_K_C.shape
    if samples == 1:
        return log_probs_N_K_C.new_zeros(n, dtype=torch.float64)
    mean_N_C = mean_log_probs(log_probs_N_K_C).exp().clamp(FLOOR, 1 - FLOOR)
    variance_N_C = log_probs_N_K_C.double().exp().var(dim=1).clamp_min(FLOOR)
    total_N_C = mean_N_C * (1 - mean_N_C) / variance_N_C - 1  # a + b, small where the samples are near 0 and 1
    if reference:
        h_N_C = _with_epsilon(mean_N_C * total_N_C, (1 - mean_N_C) * total_N_C)
    else:
        total_N_C = total_N_C.clamp_min(1 / samples)
        h_N_C = beta_entropy(mean_N_C * total_N_C + 1, (1 - mean_N_C) * total_N_C)
    entropy_N = torch.special.entr(mean_N_C).sum(dim=1)
    balanced_N = ((mean_N_C * h_N_C.clamp(max=0)).sum(dim=1) + entropy_N) / (entropy_N + math.log(2))
    return torch.where(balanced_N >= 0, 1 / balanced_N.clamp_min(SMALLEST), balanced_N)


def beta_entropy(a: Tensor, b: Tensor) -> Tensor:
    """Differential entropy of Beta(a, b) in nats, float64.

    >>> beta_entropy(torch.tensor(2.0), torch.tensor(1.0)).item()  # doctest: +ELLIPSIS
    -0.19314...
    """
    a, b = a.double(), b.double()
    total = a + b
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(total)
    exact = log_beta - (a - 1) * a.digamma() - (b - 1) * b.digamma() + (total - 2) * total.digamma()
    variance = a / total * (b / total) / (total + 1)
    return torch.where(total > GAUSSIAN, 0.5 * (2 * math.pi * math.e * variance).log(), exact)


def _with_epsilon(a: Tensor, b: Tensor) -> Tensor:
    """The entropy of Beta(a + 1, b) as the released code has it, a and b of any sign."""
    log_beta = torch.lgamma(a + 1) + torch.lgamma(b) - torch.lgamma(a + b + 1)
    h = (log_beta.exp() + 1e-32).log() - a * (a + 1).digamma() - (b - 1) * b.digamma()
    return (h + (a + b - 1) * (a + b + 1).digamma()).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
