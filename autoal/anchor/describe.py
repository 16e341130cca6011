"""The pool as a batch is composed from it: ranks, uncertainty, features, rows of coverage and their bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoal.anchor.bandwidth import bandwidth
from autoal.anchor.committee import with_committee
from autoal.anchor.features import point_features, target_features
from autoal.anchor.judges import Judges
from autoal.anchor.ranks import evidence_of
from autoal.anchor.space import Space, coverage_rows, log_reference_distance, nearest_distance
from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies import Proposal

__all__ = ["Described", "describe_pool"]


@dataclass(frozen=True)
class Described:
    """The pool as SearchNet sees it, and the space in which it is covered."""

    ranks: Tensor
    """(N, K)"""
    uncertainty: Tensor
    """(N,) in [0, 1]"""
    features: Tensor
    """(N, F)"""
    shape_pool: Tensor
    """(N, D) rows of length 1"""
    shape_labeled: Tensor
    """(L, D)"""
    bandwidth: float
    """Of the kernel, before SearchNet's factor."""


def describe_pool(
    view: PoolView,
    space: Space,
    judges: Judges,
    proposals: Sequence[Proposal],
    *,
    batch_size: int,
    unasked: int = 0,
    distances: bool = True,
) -> Described:
    """Everything about the real pool that does not depend on SearchNet. Without proposals the ranks of the `unasked`
    candidates are all the same; without `distances` so are those features, which cost more than the rest."""
    if proposals:
        ranks = evidence_of(proposals, batch_size).to(view.device)
    else:
        ranks = torch.zeros(1, unasked, device=view.device).expand(len(view), unasked)
    committee = judges.committee(space.pool, view.num_classes)
    to_labeled = log_sparsity = torch.zeros(len(view), device=view.device)
    if distances:
        to_labeled = torch.log(nearest_distance(space.pool, space.labeled) + 1e-3)
        log_sparsity = log_reference_distance(space.pool, space.reference)
    answers = view.pool.require("log_probs" if view.num_classes else "means").float()
    describe = point_features if view.num_classes else target_features
    uncertainty, z = describe(answers, committee, to_labeled, log_sparsity)
    predicted = None
    if judges.trust is not None:
        of_labeled = judges.committee(space.labeled, view.num_classes)
        predicted = (_mean_of(view.pool, committee), _mean_of(view.labeled, of_labeled), judges.trust)
    shape_pool, shape_labeled = coverage_rows(view, predicted)
    width = bandwidth(shape_labeled)
    return Described(ranks, uncertainty, z, shape_pool, shape_labeled, width)


def _mean_of(outputs: ModelOutputs, committee: Tensor | None) -> Tensor:
    """(n, C) mean probabilities of the model and of the committee (M, n, C)."""
    return with_committee(outputs.require("log_probs").float(), committee).mean(0)
