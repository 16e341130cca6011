"""Entropies and margins of log-probabilities, in nats and float64. Axes: N points, K posterior samples, C classes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from autoal import compute
from autoal.compute import chunks

__all__ = ["by_rows", "entropy", "margin", "mean_log_probs", "mutual_information", "top_probability"]

IN_CACHE = 4 * 2**20
"""Bytes of temporaries that a core's cache holds."""
LEAST = -800.0
"""The exponential of this and of all below is 0 in float64, and so is p log p."""


def by_rows(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`function` of `rows` in float64, a chunk of rows at a time; it must treat each row by itself."""
    width = rows[0].numel() if len(rows) else 1
    # Four float64 temporaries of the size of the chunk; on a CPU they stay in its cache, which is four times as fast.
    budget = min(compute.CHUNK_BYTES, IN_CACHE) if rows.device.type == "cpu" else None
    parts = [function(rows[part].double()) for part in chunks(len(rows), 32 * width, budget)]
    return torch.cat(parts) if parts else function(rows.double())


def entropy(log_probs: Tensor) -> Tensor:
    """-sum p log p over the last axis, in [0, log C]; 0 log 0 is 0.

    >>> entropy(torch.tensor([[0.0, -torch.inf], [0.5, 0.5]]).log_softmax(1)).round(decimals=4).tolist()
    [0.0, 0.6931]
    """
    finite = log_probs.double().clamp(min=LEAST)
    return -(finite.exp() * finite).sum(dim=-1)


def margin(log_probs: Tensor) -> Tensor:
    """Gap between the two largest probabilities over the last axis, in [0, 1]; 1 where there is one class."""
    if log_probs.shape[-1] == 1:
        return log_probs.new_ones(log_probs.shape[:-1], dtype=torch.float64)
    # Two passes are faster than torch's topk of two.
    log_probs = log_probs.double()
    best, at = log_probs.max(dim=-1, keepdim=True)
    second = log_probs.scatter(-1, at, -torch.inf).amax(dim=-1)
    return best[..., 0].exp() - second.exp()


def top_probability(log_probs: Tensor) -> Tensor:
    """Largest probability over the last axis."""
    return log_probs.double().amax(dim=-1).exp()


def mean_log_probs(log_probs_N_K_C: Tensor) -> Tensor:
    """Log of the mean probability over posterior samples, (N, C)."""
    return log_probs_N_K_C.double().logsumexp(dim=1) - math.log(log_probs_N_K_C.shape[1])


def mutual_information(log_probs_N_K_C: Tensor) -> Tensor:
    """Information between label and model, (N,), in [0, min(log C, log K)]. Rounding below 0 is cut off."""
    finite = log_probs_N_K_C.double().clamp(min=LEAST)
    probs = finite.exp()
    expected_N = -(probs * finite).sum(dim=(1, 2)) / probs.shape[1]
    return (torch.special.entr(probs.mean(dim=1)).sum(dim=-1) - expected_N).clamp(min=0)
