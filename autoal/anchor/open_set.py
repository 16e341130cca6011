"""Points of no known class: how likely a point is of a class asked for, learned from what the oracle rejected."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.anchor.heads import fit_heads, head_log_probs, with_bias

__all__ = ["log_known"]

FLOOR = 1e-4
"""Least probability: a point that looks foreign counts little, and never nothing."""


def log_known(pool: Tensor, labeled: Tensor, rejected: Tensor, l2: float) -> Tensor:
    """(N,) log probability that a point of `pool` (N, D) is of a known class.

    A logistic head tells the labeled points (L, D) from the rejected ones (R, D), as often as either was bought; its
    ridge `l2` keeps it near that share while few were rejected. With none rejected all logs are 0: nothing is known
    against anybody.
    """
    if len(rejected) == 0:
        return pool.new_zeros(len(pool))
    rows = with_bias(torch.cat([labeled, rejected.to(labeled)])).unsqueeze(0)
    known = torch.cat([torch.ones(len(labeled)), torch.zeros(len(rejected))]).long().to(labeled.device).unsqueeze(0)
    heads = fit_heads(rows, known, torch.ones_like(rows[..., 0]), num_classes=2, l2=l2)
    return head_log_probs(heads, with_bias(pool).unsqueeze(0))[0, :, 1].clamp_min(torch.tensor(FLOOR).log().item())
