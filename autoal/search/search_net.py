"""SearchNet: weights over candidates for each point, and the value of a point under them.

Axes: K candidates, n points, F features of a point, G numbers that describe the round.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["LIMIT", "SearchNet"]

LIMIT = 3.0
"""A point's value can be moved by at most this factor in the exponent."""
_SMALL = 1e-6


class SearchNet(nn.Module):
    """`W_nk = softmax_k(a_k + g h(r_nk, z_n, context))` and the value

        q_n = u_n^(anchor + beta) exp(limit(strength sum_k (W_nk - 1/K)(r_nk - mean r_k) + w.z_n)).

    Few global numbers (a, beta, w, the kernel's log bandwidth) carry the search while labels are few; the shared
    network h, which sees the point and the round, joins in by `capacity` g. At the start W is uniform, all else zero:
    the value is the anchor's, uncertainty to a power, which makes the composed batch that of uncertainty herding. The
    same h serves every candidate, so the answer does not depend on their order.
    """

    def __init__(
        self, num_candidates: int, num_features: int, num_context: int, *, exponent: float, strength: float
    ) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_candidates))
        self.exponent = nn.Parameter(torch.zeros(()))
        self.feature_weights = nn.Parameter(torch.zeros(num_features))
        self.log_bandwidth = nn.Parameter(torch.zeros(()))
        hidden = 16
        width = 1 + num_features + num_context
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, 1)
        with torch.no_grad():
            # A fixed cosine basis instead of a draw: the start is the same in every process and for every seed.
            grid = torch.arange(hidden * width, dtype=torch.float32).reshape(hidden, width)
            self.first.weight.copy_(torch.cos(1.0 + 2.39996 * grid) / width**0.5)
            self.first.bias.copy_(torch.sin(torch.arange(hidden, dtype=torch.float32)))
            self.second.weight.zero_()
            self.second.bias.zero_()
        self.anchor_exponent = exponent
        self.strength = strength

    def weights(self, ranks: Tensor, features: Tensor, context: Tensor, capacity: float) -> Tensor:
        """(..., n, K) on the simplex, for ranks (..., n, K), features (..., n, F) and context (..., G)."""
        logits = self.logits.expand(ranks.shape)
        if capacity > 0:
            n_k = ranks.shape[:-2] + ranks.shape[-2:]
            row = torch.cat([features, context.unsqueeze(-2).expand(*features.shape[:-1], -1)], dim=-1)
            row = row.unsqueeze(-2).expand(*n_k, -1)
            hidden = torch.tanh(self.first(torch.cat([ranks.unsqueeze(-1), row], dim=-1)))
            logits = logits + capacity * self.second(hidden).squeeze(-1)
        return torch.softmax(logits, dim=-1)

    def log_value(
        self, uncertainty: Tensor, ranks: Tensor, features: Tensor, context: Tensor, capacity: float
    ) -> tuple[Tensor, Tensor]:
        """log q (..., n) and the weights (..., n, K)."""
        weights = self.weights(ranks, features, context, capacity)
        centred = ranks - ranks.mean(dim=-2, keepdim=True)
        preference = self.strength * ((weights - 1.0 / ranks.shape[-1]) * centred).sum(-1)
        # A copy for each episode, so that gradients are summed within episodes first.
        feature_weights = self.feature_weights.expand(*features.shape[:-2], -1).unsqueeze(-2)
        moved = preference + (features * feature_weights).sum(-1)
        power = (self.anchor_exponent + self.exponent).expand(uncertainty.shape[:-1]).unsqueeze(-1)
        return power * torch.log(uncertainty.clamp_min(_SMALL)) + LIMIT * torch.tanh(moved / LIMIT), weights
