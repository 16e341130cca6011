"""Batches drawn from scores: a top-b of perturbed keys is b draws without replacement.

With Gumbel noise e and coldness beta, keys log w + e / beta draw with probability proportional to w^beta. At infinite
coldness they order points as the scores do, at 0 at random.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies.base import random_ties

__all__ = ["gumbel", "stochastic_keys"]


def gumbel(count: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """(count,) standard Gumbel numbers, float64."""
    even = torch.rand(count, generator=rng, dtype=torch.float64)
    return -(-even.clamp_min(torch.finfo(torch.float64).tiny).log()).log().to(device)


def stochastic_keys(scores_N: Tensor, kind: str, coldness: float, rng: torch.Generator) -> Tensor:
    """(N,) finite keys whose top b are drawn: by s^beta (`"power"`), e^(beta s) (`"softmax"`) or rank^-beta
    (`"softrank"`, rank 1 for the best, equal scores ranked at random).

    For `"power"` a score of 0 or less is never drawn before a positive one; such scores share one key.
    """
    if not coldness > 0:
        raise InvalidInput(f"got coldness={coldness}; wanted a positive number")
    scores_N = scores_N.double()
    noise_N = gumbel(len(scores_N), rng, scores_N.device) / coldness
    if kind == "softmax":
        return scores_N + noise_N
    if kind == "softrank":
        ranks_N = torch.empty_like(scores_N)
        places = torch.arange(1, len(scores_N) + 1, dtype=torch.float64, device=scores_N.device)
        ranks_N[random_ties(scores_N, rng)] = places
        return noise_N - ranks_N.log()
    if kind != "power":
        raise UnknownName("kind of stochastic batch", kind, ("power", "softmax", "softrank"))
    positive = scores_N > 0
    keys_N = scores_N.log() + noise_N
    last = keys_N[positive].min() if bool(positive.any()) else keys_N.new_zeros(())
    return torch.where(positive, keys_N, last - 1)
