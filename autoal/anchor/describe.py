"""The pool as a batch is composed from it: ranks, uncertainty, features, rows of coverage and their bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoal.anchor.bandwidth import bandwidth
from autoal.anchor.features import NUM_FEATURES, point_features, target_features, uncertainty_of
from autoal.anchor.judges import Judges
from autoal.anchor.ranks import evidence_of
from autoal.anchor.space import Shape, Space, log_reference_distance, nearest_distance
from autoal.outputs import PoolView
from autoal.strategies import Proposal

__all__ = ["Described", "describe_pool"]


@dataclass(frozen=True)
class Described:
    """The pool as SearchNet sees it, and the space in which it is covered. What is the same for every point has one
    row."""

    ranks: Tensor
    """(N, K), or (1, K) where no candidate was asked and features are not read."""
    uncertainty: Tensor
    """(N,) in [0, 1]"""
    features: Tensor
    """(N, F), or (1, F) zeros where nobody reads them."""
    shape: Shape
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
    reads: bool = True,
    some: Tensor | None = None,
) -> Described:
    """Everything about the real pool that does not depend on SearchNet. Without proposals the ranks of the `unasked`
    candidates are all the same; features, which cost more than the rest, are there where it `reads` them. Where
    candidates were asked about `some` (P,) of the points, the rank of every other one is their mean."""
    ranks = evidence_of(proposals, batch_size) if proposals else torch.zeros(len(view) if reads else 1, unasked)
    if some is not None and proposals:
        ranks = ranks.mean(0).expand(len(view), -1).index_copy(0, some.to(ranks.device), ranks)
    mean = judges.mean(view.pool, space.pool) if view.num_classes else None
    features = torch.zeros(1, NUM_FEATURES, device=view.device)
    if reads or mean is None:
        committee = judges.committee(space.pool, view.num_classes)
        to_labeled = log_sparsity = torch.zeros(len(view), device=view.device)
        if reads:
            to_labeled = torch.log(nearest_distance(space.pool, space.labeled) + 1e-3)
            log_sparsity = log_reference_distance(space.pool, space.reference)
        answers = view.pool.require("log_probs" if view.num_classes else "means").float()
        describe = point_features if view.num_classes else target_features
        uncertainty, features = describe(answers, committee, to_labeled, log_sparsity)
    else:
        uncertainty = uncertainty_of(mean)
    predicted = None
    if judges.trust is not None and mean is not None:
        predicted = (mean, judges.mean(view.labeled, space.labeled), judges.trust)
    shape = Shape.of(view, predicted)
    return Described(ranks.to(view.device), uncertainty, features, shape, bandwidth(shape.labeled))
