"""The pool as a batch is composed from it: ranks, uncertainty, features, rows of coverage and their bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoal.anchor.bandwidth import bandwidth
from autoal.anchor.committee import agreement, bagged_and_halved, committee_of, with_committee
from autoal.anchor.features import point_features, standardised, target_features, target_scale
from autoal.anchor.heads import with_bias
from autoal.anchor.ranks import evidence_of
from autoal.anchor.space import Space, coverage_rows, log_reference_distance, nearest_distance
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.settings import SearchConfig
from autoal.strategies import Proposal

__all__ = ["Described", "describe_pool"]

HALVINGS = 4
"""How often the labels are halved to see on what the halves agree."""


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
    view: PoolView, space: Space, proposals: Sequence[Proposal], config: SearchConfig, *, batch_size: int, seed: int
) -> Described:
    """Everything about the real pool that does not depend on SearchNet."""
    ranks = evidence_of(proposals, batch_size, config.evidence).to(view.device)
    rows = with_bias(space.labeled).unsqueeze(0)
    labels = view.labels.unsqueeze(0)
    with_predictions = config.space == "predictions" and bool(view.num_classes)
    folds, halved = bagged_and_halved(
        rows, standardised(labels, *target_scale(labels, view.num_classes)),
        config.value_heads, HALVINGS if with_predictions else 0,
        num_classes=view.num_classes, l2=config.head_l2,
        rng=generator(seed, "compose", "folds"), halving_rng=generator(seed, "compose", "halves"),
    )  # fmt: skip
    committee = committee_of(folds, with_bias(space.pool).unsqueeze(0), config.value_heads, view.num_classes)
    to_labeled = torch.log(nearest_distance(space.pool, space.labeled) + 1e-3)
    log_sparsity = log_reference_distance(space.pool, space.reference)
    answers = view.pool.require("log_probs" if view.num_classes else "means").float()
    describe = point_features if view.num_classes else target_features
    uncertainty, z = describe(answers, committee[0] if committee is not None else None, to_labeled, log_sparsity)
    predicted = None
    if halved is not None:
        trust = agreement(halved, with_bias(space.reference).unsqueeze(0))[0]
        of_labeled = committee_of(folds, rows, config.value_heads, view.num_classes)
        predicted = (_mean_of(view.pool, committee), _mean_of(view.labeled, of_labeled), trust)
    shape_pool, shape_labeled = coverage_rows(view, space, config.space, predicted)
    width = bandwidth(shape_labeled, shape_pool, config, batch_size)
    return Described(ranks, uncertainty, z, shape_pool, shape_labeled, width)


def _mean_of(outputs: ModelOutputs, committee: Tensor | None) -> Tensor:
    """(n, C) mean probabilities of the model and of the committee (1, M, n, C)."""
    own = outputs.require("log_probs").float()
    return with_committee(own, committee[0] if committee is not None else None).mean(0)
