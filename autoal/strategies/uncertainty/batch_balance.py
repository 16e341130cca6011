"""Batch-BALanCe: the batch that tells apart posterior samples which predict differently."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.distances import tiles
from autoal.strategies.parts.edges import Edges, cuts, edge_threshold, edges_between, told_apart
from autoal.strategies.parts.stochastic import stochastic_keys
from autoal.strategies.uncertainty.batchbald import BatchBALD

__all__ = ["BatchBalance", "cluster_seeds", "greedy_cuts"]

CLUSTERED = 6_000
"""Points that are clustered, three for each of the batch at least."""
ROUNDS = 50
"""Most rounds of clustering."""
KEPT_BYTES = 512 * 2**20
"""Memory for what points cut, in a greedy search."""


class BatchBalance(Strategy):
    """Builds the batch whose labels together are expected to rule out most pairs of posterior samples that predict
    differently; which pairs count, and the options for it, are as in BALanCe.

    Greedy for batches up to `greedy_up_to`, with gains worked out exactly: the expectation over all labelings of the
    batch is a product over its points (our derivation; the paper draws labelings). For larger ones BALanCe-Clustering:
    of 6 000 points (three for each of the batch, if that is more), drawn in proportion to BALanCe, the centres of
    clusters of points that cut the same edges.

    Where nothing is left to cut the rest is drawn in proportion to BALanCe; where all pairs agree everywhere it is
    BatchBALD. Points not picked are ordered by BALanCe.
    """

    name = "batch_balance"
    family = "uncertainty"
    source = "Zhang, Khan, Grossman and Chen 2023, arXiv 2112.13737"
    cost = "N C K^2 each pick"
    needs = frozenset({"mc_log_probs", "embeddings"})

    def __init__(self, rho: float = 0.5, threshold: float | str = "auto", greedy_up_to: int = 100) -> None:
        self.rho = rho
        self.threshold = threshold
        self.greedy_up_to = greedy_up_to

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.greedy_up_to < 0:
            raise InvalidInput(f"got greedy_up_to={self.greedy_up_to}; wanted 0 or more")
        log_probs = view.pool.require("mc_log_probs")
        edges = edges_between(log_probs, edge_threshold(view, self.rho, self.threshold))
        if edges is None:
            return BatchBALD()._propose(view, batch_size, rng)
        single_N = told_apart(log_probs, edges)
        if batch_size > self.greedy_up_to:
            return ordered(cluster_seeds(log_probs, edges, single_N, batch_size, rng), single_N)
        order = random_ties(single_N, rng)  # of equal gains the first in this order is taken
        picks, _ = greedy_cuts(log_probs, edges, single_N, order, batch_size)
        if len(picks) < batch_size:
            left = order[~torch.isin(order, picks)]
            keys = stochastic_keys(single_N[left].clamp(min=1e-6), "power", 1.0, rng)
            picks = torch.cat([picks, left[random_ties(keys, rng, batch_size - len(picks))]])
        return ordered(picks, single_N)


def greedy_cuts(
    log_probs_N_K_C: Tensor, edges: Edges, single_N: Tensor, order_N: Tensor, count: int
) -> tuple[Tensor, list[float]]:
    """At most `count` positions, fewer where nothing is left to cut, and by how much each cuts what those before it
    leave. `single_N` is the cut of each point alone, `order_N` lists positions, the first of equal ones first."""
    samples = 2 * edges.pairs
    # What is left of each edge, where labels are drawn from each sample, in units of `scale`.
    left_JE, scale = single_N.new_full((samples * len(edges.left_E),), 1 / (samples * edges.pairs)), 1.0
    kept_n_JE = _all_cuts(log_probs_N_K_C, order_N[: KEPT_BYTES // (4 * len(left_JE))], edges)
    gains_n = single_N[order_N].clone()
    places: list[int] = []
    gains: list[float] = []
    while len(places) < count:
        place = int(gains_n.argmax())
        cut_JE = cuts(log_probs_N_K_C[order_N[place]][None], edges)[0]
        gain = float(cut_JE @ left_JE)
        if not gain > 0:
            break
        places.append(place)
        gains.append(gain * scale)
        left_JE = left_JE * (1 - cut_JE)
        largest = float(left_JE.amax())
        if largest == 0:
            break
        # Little is left after a few picks, but which edges still tells points apart.
        left_JE, scale = left_JE / largest, scale * largest
        gains_n[: len(kept_n_JE)] = (kept_n_JE @ left_JE.float()).double()
        for part in tiles(len(gains_n) - len(kept_n_JE), _width(log_probs_N_K_C, edges), gains_n.device):
            part = slice(part.start + len(kept_n_JE), part.stop + len(kept_n_JE))
            gains_n[part] = cuts(log_probs_N_K_C[order_N[part]], edges) @ left_JE
        gains_n[places] = -torch.inf
    return order_N[places], gains


def cluster_seeds(log_probs_N_K_C: Tensor, edges: Edges, single_N: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """(count,) positions, one from each cluster, by falling `single_N`.

    Two points are as alike as what they cut alone exceeds what they cut together. That is an inner product, so neither
    all pairs of points nor their labelings are gone through.
    """
    likely_N = single_N.clamp(min=1e-6)
    drawn = random_ties(stochastic_keys(likely_N, "power", 1.0, rng), rng, max(CLUSTERED, 3 * count))
    seeds = random_ties(stochastic_keys(likely_N[drawn], "power", 1.0, rng), rng, count)
    points_D_F = _all_cuts(log_probs_N_K_C, drawn, edges)
    alone_D = points_D_F.square().sum(dim=1)
    numbers = torch.arange(count, device=drawn.device)
    seen: set[tuple[int, ...]] = set()
    for _ in range(ROUNDS):
        cluster_D = torch.empty_like(drawn)
        for part in tiles(len(drawn), 4.0 * count, drawn.device):
            cluster_D[part] = (points_D_F[part] @ points_D_F[seeds].T).argmax(dim=1)
        cluster_D[seeds] = numbers  # nothing is more like a seed than itself, but copies are as much
        sums_b_F = points_D_F.new_zeros(count, points_D_F.shape[1]).index_add(0, cluster_D, points_D_F)
        central_D = torch.empty_like(alone_D)
        for part in tiles(len(drawn), 8.0 * points_D_F.shape[1], drawn.device):
            central_D[part] = (points_D_F[part] * sums_b_F[cluster_D[part]]).sum(dim=1) - alone_D[part]
        order = central_D.argsort(descending=True, stable=True)
        order = order[cluster_D[order].argsort(stable=True)]
        first = torch.ones_like(order, dtype=torch.bool)
        first[1:] = cluster_D[order[1:]] != cluster_D[order[:-1]]
        seeds = order[first]
        state = tuple(seeds.tolist())
        if state in seen:
            break
        seen.add(state)
    return drawn[seeds[single_N[drawn[seeds]].argsort(descending=True, stable=True)]]


def _all_cuts(log_probs_N_K_C: Tensor, which_n: Tensor, edges: Edges) -> Tensor:
    """(n, J E) `cuts` of these positions, float32."""
    cuts_n_JE = torch.empty(len(which_n), 2 * edges.pairs * len(edges.left_E), device=which_n.device)
    for part in tiles(len(which_n), _width(log_probs_N_K_C, edges), which_n.device):
        cuts_n_JE[part] = cuts(log_probs_N_K_C[which_n[part]], edges)
    return cuts_n_JE


def _width(log_probs_N_K_C: Tensor, edges: Edges) -> float:
    """Bytes a point takes while its cuts are worked out."""
    return 8.0 * (2 * edges.pairs * len(edges.left_E) + 6 * log_probs_N_K_C[0].numel())
