"""FALCUN: uncertain points whose predicted probabilities differ from those of the points chosen before."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered
from autoal.strategies.parts.distances import tiles
from autoal.strategies.parts.information import by_rows, margin

__all__ = ["Falcun", "relevance"]

KEPT_BYTES = 2**28
"""Probabilities that take more are not kept beside the log-probabilities they are made of."""


class Falcun(Strategy):
    """Draws each point with a probability in proportion to (u + d)^`gamma` among those that are left.

    u is 1 - margin. d starts as u and falls, pick after pick, to the smallest L1 distance between the point's class
    probabilities and those of a pick; it is scaled to [0, 1] over the points that are left (0 where all are alike). So
    the first picks are uncertain, later ones differ from them. `gamma` 0 is random, a large one takes the best.
    Where no point has a positive weight the draw is even.

    Formulas and `gamma` as in the authors' code, read in full; of the paper, the abstract. Ours: sums of weights run
    over (u + d) / max(u + d), which is the same draw and cannot underflow.
    """

    name = "falcun"
    family = "diversity"
    source = "Gilhuber, Beer, Ma and Seidl 2024, ECML PKDD"
    cost = "N b C"
    needs = frozenset({"log_probs"})
    draws = True

    def __init__(self, gamma: float = 10.0) -> None:
        self.gamma = gamma

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not 0 <= self.gamma < float("inf"):
            raise InvalidInput(f"got gamma={self.gamma}; wanted a number of at least 0")
        log_probs = view.pool.require("log_probs")
        unsure = by_rows(lambda rows: 1 - margin(rows), log_probs).clamp(min=0)
        apart, left = unsure.clone(), torch.ones(len(unsure), dtype=torch.bool, device=unsure.device)
        probs_of = _probabilities(log_probs)
        uniform = torch.rand(batch_size, generator=rng, dtype=torch.float64).tolist()
        picks: list[int] = []
        for share in uniform:
            picks.append(_drawn(relevance(unsure, apart, left), left, self.gamma, share))
            left[picks[-1]] = False
            apart = torch.minimum(apart, _l1_distances(probs_of, len(unsure), picks[-1]))
        return ordered(torch.tensor(picks, device=unsure.device), unsure)


def relevance(unsure_N: Tensor, apart_N: Tensor, left_N: Tensor) -> Tensor:
    """(N,) u + d, with d scaled to [0, 1] over the points that are left; 0 for the others."""
    low, high = torch.where(left_N, apart_N, torch.inf).amin(), torch.where(left_N, apart_N, -torch.inf).amax()
    scaled_N = (apart_N - low).div_(high - low) if high > low else torch.zeros_like(apart_N)
    return scaled_N.add_(unsure_N).mul_(left_N)


def _drawn(relevance_N: Tensor, left_N: Tensor, gamma: float, share: float) -> int:
    """The position at which a `share` of all weight is reached."""
    largest = float(relevance_N.max())
    weights_N = left_N.double()
    if largest > 0:
        weights_N *= (relevance_N / largest).pow_(gamma)
    cumulative_N = weights_N.cumsum(0)
    place = torch.searchsorted(cumulative_N, share * cumulative_N[-1], right=True)
    if place < len(weights_N) and weights_N[place] > 0:
        return int(place)
    # A product that rounds up to the whole sum lies behind the last point that has a weight.
    return int(weights_N.nonzero()[-1])


def _probabilities(log_probs_N_C: Tensor) -> Callable[[slice | int], Tensor]:
    """What gives the float64 probabilities of rows: worked out once where they are few, else each time."""
    if 8 * log_probs_N_C.numel() <= KEPT_BYTES:
        return log_probs_N_C.double().exp().__getitem__
    return lambda rows: log_probs_N_C[rows].double().exp()


def _l1_distances(probs_of: Callable[[slice | int], Tensor], n: int, pick: int) -> Tensor:
    """(N,) float64 sums over classes of |p - p of the pick|."""
    own_C = probs_of(pick)
    distances_N = torch.empty(n, dtype=torch.float64, device=own_C.device)
    for rows in tiles(n, 24.0 * len(own_C), own_C.device):
        distances_N[rows] = torch.cdist(probs_of(rows), own_C[None], p=1.0)[:, 0]
    return distances_N
