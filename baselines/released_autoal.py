"""The selector that the code released with AutoAL amounts to, rebuilt as it behaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoal.anchor.space import geometry
from autoal.data import as_rows
from autoal.models.standardise import Standardise
from autoal.paper.search import make_net
from autoal.rng import derive_seed, generator, isolated
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate
from autoal.settings import PaperConfig

from .rival import CLASSES_ONLY, Memory, Rival, best, selection

__all__ = ["PAPER_CANDIDATES", "ReleasedAutoAL", "untrained_weights"]

PAPER_CANDIDATES = ("entropy", "margin", "least_confidence", "kmeans", "bald", "variation_ratio", "mean_std")
ROWS = 512


def untrained_weights(
    read: Callable[[Tensor], Tensor], labeled: int, pool: int, num_candidates: int, seed: int, device: torch.device
) -> Tensor:
    """(pool, K) raw outputs of a SearchNet nobody has trained. `read` gives inputs (n, ...) of rows 0..labeled-1, the
    labeled points, and labeled..labeled+pool-1, the pool.

    Its batch norms, where it has any, have seen thirty mini-batches of labeled points, as the released loop shows them.
    """
    known = read(torch.arange(labeled))
    scaling = Standardise.of(as_rows(known), torch.arange(labeled))
    with isolated(derive_seed(seed, "search net")), torch.no_grad():
        net: nn.Module = make_net(tuple(known.shape[1:]), num_candidates, PaperConfig()).to(device)
        net.train()
        rng = generator(seed, "mini-batches")
        for _ in range(30):
            rows = torch.randperm(labeled, generator=rng)[:64]
            if len(rows) > 1:  # a batch norm has no variance of one point
                net(scaling(known[rows]).to(device))
        net.eval()
        parts = torch.arange(labeled, labeled + pool).split(ROWS)
        return torch.cat([net(scaling(read(rows)).to(device)).cpu().double() for rows in parts])


class ReleasedAutoAL(Rival):
    """AutoAL's released code as it behaves: a vote of seven candidates whose weights an untrained network gives.

    There the relaxed selection is `sigmoid(1e11 (softmax - threshold))`, whose gradient is exactly 0, and the terms
    that should move SearchNet are constants; what is left of training is weight decay, which scales all its outputs
    alike, and batch-norm statistics. Scores meet the losses of other points besides. So the network is rebuilt without
    the training: made once from the seed of the run, the same in every round, its raw and signed outputs as weights.
    A point that only negatively weighted candidates picked comes behind all that nobody picked, and those tie by id.

    Not rebuilt: ImageNet weights under the trunk, random augmentation while scoring, and a query of fewer than
    `batch_size` points when the pool runs out. For anything but images the network is our MLP. `random_vote` is the
    same without the network.
    """

    name = "released_autoal"
    source = "code released with Wang, Zhan and Huang 2025, arXiv 2410.13853, rebuilt without what has no effect"
    cost = "0; all candidates, a pass of an untrained network"
    tasks = CLASSES_ONLY

    def __init__(self, candidates: str | Sequence[Any] = PAPER_CANDIDATES) -> None:
        super().__init__(candidates)

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        candidates, proposals = self._ask(state, portfolio, batch_size)
        n = len(state.pool_ids)
        seed = derive_seed(state.seed, "rival", self.name)
        read, labeled = _inputs(state)
        weights = untrained_weights(read, labeled, n, len(candidates), seed, state.view.device)
        votes = torch.zeros(n, len(proposals), dtype=torch.float64)
        for k, proposal in enumerate(proposals):
            votes[proposal.indices, k] = 1.0
        merit = (weights * votes).sum(1)
        equal = {name: 1.0 for name, _ in candidates}
        return selection(best(merit, state.pool_ids, batch_size), candidates, proposals, equal, merit), {}


def _inputs(state: RoundState) -> tuple[Callable[[Tensor], Tensor], int]:
    """Raw inputs of the labeled points and then of the pool, embeddings where there are none; how many are labeled."""
    if state.inputs is not None and state.labeled_indices is not None and state.pool_indices is not None:
        rows, where = state.inputs, torch.cat([state.labeled_indices, state.pool_indices])
        return lambda wanted: rows.take(where[wanted]), len(state.labeled_indices)
    both = torch.cat([geometry(state.view.labeled), geometry(state.view.pool)]).cpu()
    return lambda wanted: both[wanted], len(state.view.labels)
