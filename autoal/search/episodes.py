"""Episodes: the labeled set split again and again into support, pseudo-pool and validation.

Candidates are scored on the pseudo-pool by heads that have not seen it, exactly as they will be scored on the pool
by a model that has not seen that. So no score, loss or feature of a labeled point comes from a head trained on it.

Axes: E episodes, S support, P pseudo-pool, V validation, K candidates, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autoal.anchor.bandwidth import bandwidth
from autoal.anchor.candidates import PROPOSED, NamedCandidate
from autoal.anchor.committee import agreement, bagged_and_halved, committee_of, with_committee
from autoal.anchor.features import point_features, standardised, target_features, target_scale
from autoal.anchor.heads import LinearHeads, fit_heads, head_log_probs, with_bias
from autoal.anchor.ranks import evidence_of
from autoal.anchor.space import Shape, Space, beside_predictions, log_reference_distance, squared_distances
from autoal.outputs import PoolView, Validation
from autoal.rng import generator
from autoal.search.fit_net import HeadProblem
from autoal.search.simulated import SimulatedModel
from autoal.settings import SearchConfig
from autoal.strategies import Proposal

__all__ = ["Episodes", "importance_weights", "simulate"]

SUPPORT_SHARE = 0.4
"""Share of the labels that teach; where others judge, all but the pseudo-pool do."""
POOL_SHARE = 0.35
"""Share of the labels that plays the pool; what is left judges. A larger support gained nothing that could be measured
(baselines/results/ablation.md)."""


@dataclass(frozen=True)
class Episodes:
    """E simulated rounds whose labels are all known."""

    problem: HeadProblem
    heads: LinearHeads
    """Heads fitted on the support: where FitNet starts."""
    ranks: Tensor
    """(E, P, K)"""
    features: Tensor
    """(E, P, F)"""
    uncertainty: Tensor
    """(E, P) in [0, 1]"""
    squared_distances: Tensor
    """(E, P + S, P + S) of pseudo-pool and support, in the space of coverage, in units of the squared bandwidth."""
    proposals: tuple[tuple[Proposal, ...], ...]
    """What each candidate proposed in each episode."""
    members: tuple[tuple[Tensor, Tensor, Tensor], ...]
    """Positions in the labeled set of support, pseudo-pool and validation of each episode; the last among the
    further validation points where there are such."""

    @property
    def count(self) -> int:
        return int(self.ranks.shape[0])


def split(
    labels: Tensor, num_classes: int, sizes: tuple[int, int, int], validation_from: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (S,), (P,), (V,): validation from the points allowed, two of each class in the support if it can be."""
    size_s, size_p, size_v = sizes
    order = torch.randperm(len(labels), generator=rng)
    rank_in_class = torch.full((len(labels),), 2, dtype=torch.long)  # no point is kept for a class in a regression
    for c in range(num_classes):
        where = order[labels[order] == c]
        rank_in_class[where] = torch.arange(len(where))
    kept_for_support = rank_in_class < 2
    free = order[~kept_for_support[order]]
    allowed = free[validation_from[free]]
    if len(allowed) < size_v:
        # Many classes with few labels each: validation comes first, coverage of the classes second.
        rest = order[kept_for_support[order] & validation_from[order]]
        allowed = torch.cat([allowed, rest])
    validation = allowed[:size_v]
    left = torch.ones(len(labels), dtype=torch.bool)
    left[validation] = False
    free = free[left[free]]
    pool = free[:size_p]
    if len(pool) < size_p:
        rest = order[left[order] & kept_for_support[order]].flip(0)
        pool = torch.cat([pool, rest[: size_p - len(pool)]])
    left[pool] = False
    support = order[left[order]][:size_s]
    return support.sort().values, pool.sort().values, validation.sort().values


def episode_sizes(n_labeled: int, config: SearchConfig, n_validation: int = 0) -> tuple[int, int, int]:
    """Sizes of support, pseudo-pool and validation for L labels, and for `n_validation` more that only validate."""
    pool = min(config.max_pool, max(2, round(POOL_SHARE * n_labeled)))
    share = 1.0 - POOL_SHARE if n_validation else SUPPORT_SHARE
    support = min(3 * config.max_pool, n_labeled - pool, max(2, round(share * n_labeled)))
    # Half of the validation points judge on either side.
    validation = n_validation // 2 if n_validation else n_labeled - pool - support
    return support, pool, min(2 * config.max_pool, validation)


def importance_weights(labeled: Tensor, pool: Tensor, rng: torch.Generator) -> Tensor:
    """(L,) P(pool | x) / P(labeled | x), cross-fitted, clipped to [0.2, 5], with mean 1.

    Labels bought actively are not a fair sample of the pool; this weighs the validation loss back towards it.
    """
    n, folds = len(labeled), 5
    if n < 2 * folds:
        return labeled.new_ones(n)
    sample = pool[torch.randperm(len(pool), generator=rng)[: max(1000, 2 * n)].to(pool.device)]
    x = with_bias(torch.cat([labeled, sample]))
    side = torch.cat([torch.zeros(n, dtype=torch.long), torch.ones(len(sample), dtype=torch.long)]).to(labeled.device)
    fold = torch.randperm(n, generator=rng).to(labeled.device) % folds
    weights = x.new_ones(folds, len(x))
    for f in range(folds):
        weights[f, :n] = (fold != f).to(x.dtype)
    # Both sides count the same in all, so that the odds are the density ratio.
    weights[:, n:] *= weights[:, :n].sum(1, keepdim=True) / len(sample)
    heads = fit_heads(
        x.expand(folds, -1, -1), side.expand(folds, -1), weights, num_classes=2, l2=5.0, tolerance=1e-3, max_steps=60
    )
    log_p = head_log_probs(heads, with_bias(labeled).expand(folds, -1, -1))[fold, torch.arange(n)]
    ratio = (log_p[:, 1] - log_p[:, 0]).exp().clamp(0.2, 5.0)
    return ratio / ratio.mean()


def simulate(
    view: PoolView,
    space: Space,
    candidates: Sequence[NamedCandidate],
    config: SearchConfig,
    *,
    batch_share: float,
    validation_from: Tensor,
    count: int,
    seed: int,
    purpose: str,
    validation: Validation | None = None,
    fair: bool = False,
) -> Episodes:
    """`count` episodes inside the labeled set. `validation_from` (L,) bool: points that may validate; of the points
    of `validation`, (V,) bool, where there are such. They are weighed towards the pool unless they are a `fair` sample
    of it.

    `batch_share` is the real batch over the number of labels; each candidate is called once per episode.
    """
    labels, n_labeled = view.labels, len(view.labels)
    sizes = episode_sizes(n_labeled, config, 0 if validation is None else len(validation.labels))
    batch = max(2, min(sizes[1] - 1, round(sizes[1] * min(0.3, 3.0 * batch_share))))
    rng = generator(seed, purpose, "splits")
    if validation is None:
        members = tuple(split(labels.cpu(), view.num_classes, sizes, validation_from, rng) for _ in range(count))
    else:
        inner = (sizes[0], sizes[1], 0)
        nobody = torch.zeros(n_labeled, dtype=torch.bool)
        drawn = [split(labels.cpu(), view.num_classes, inner, nobody, rng) for _ in range(count)]
        allowed = validation_from.nonzero().flatten()
        judges = [allowed[torch.randperm(len(allowed), generator=rng)[: sizes[2]]].sort().values for _ in drawn]
        members = tuple((s_, p_, judge) for (s_, p_, _), judge in zip(drawn, judges, strict=True))
    s, p, v = (torch.stack([m[i] for m in members]).to(labels.device) for i in range(3))

    features = with_bias(space.labeled)
    judging, judging_labels = space.labeled, labels
    if validation is not None:
        judging, judging_labels = space.project(validation.outputs), validation.labels
    weights = judging.new_ones(len(judging))
    if not fair:
        weights = importance_weights(judging, space.pool, generator(seed, purpose, "importance"))
    validation_weights = weights[v] / weights[v].sum(1, keepdim=True)
    shift, unit = target_scale(labels[s], view.num_classes)
    targets = [standardised(y, shift, unit) for y in (labels[s], labels[p], judging_labels[v])]
    problem = HeadProblem.build(
        features[s], targets[0], features[p], targets[1], with_bias(judging)[v], targets[2], validation_weights,
        num_classes=view.num_classes, batch=batch, l2=config.head_l2,
    )  # fmt: skip
    ones = torch.ones_like(labels[s], dtype=features.dtype)
    heads = fit_heads(
        problem.support, problem.support_labels, ones,
        num_classes=view.num_classes, l2=config.head_l2, whitener=problem.whitener,
    )  # fmt: skip
    if not view.num_classes:
        problem = replace(problem, noise=held_out_noise(heads, problem))
    fold_heads, halved = bagged_and_halved(
        problem.support, problem.support_labels, config.value_heads, int(view.num_classes > 0),
        num_classes=view.num_classes, l2=config.head_l2,
        rng=generator(seed, purpose, "folds"), halving_rng=generator(seed, purpose, "halves"),
    )  # fmt: skip
    committee = committee_of(fold_heads, problem.pool, config.value_heads, view.num_classes)

    shape = Shape.of(view).labeled
    predicted = None
    if halved is not None:
        # One halving is enough where there are many episodes.
        predicted = _predicted(problem, heads, fold_heads, committee, config), agreement(halved, problem.pool)
    to_support = torch.stack(
        [squared_distances(space.labeled[p[e]], space.labeled[s[e]]).amin(1) for e in range(count)]
    )
    log_sparsity = log_reference_distance(space.labeled, space.reference)[p]
    to_labeled = 0.5 * torch.log(to_support + 1e-6)
    if view.num_classes:
        uncertainty, z = point_features(head_log_probs(heads, problem.pool), committee, to_labeled, log_sparsity)
    else:
        means = heads(problem.pool).detach().squeeze(-1)
        uncertainty, z = target_features(means, committee, to_labeled, log_sparsity)

    needs = frozenset[str]().union(*(strategy.needs_for(view.task) for _, strategy in candidates))
    model = SimulatedModel(view, problem, heads, needs, seed, purpose, shift, unit)
    views = model.episode_views(s, p)
    ranks, proposals, distances = [], [], []
    named = [(repr(strategy), strategy) for _, strategy in candidates]  # the text takes longer than some answers
    for e in range(count):
        wanted = min(sizes[1], PROPOSED * batch)
        row = tuple(
            strategy.propose(views[e], wanted, generator(seed, purpose, "candidate", text, e))
            for text, strategy in named
        )
        proposals.append(row)
        ranks.append(evidence_of(row, batch))
        both = shape[torch.cat([p[e], s[e]])]
        if predicted is not None:
            both = beside_predictions(both, predicted[0][e], predicted[1][e])
        width = bandwidth(both[sizes[1] :])
        distances.append(squared_distances(both, both) / width**2)
    return Episodes(
        problem=problem,
        heads=heads,
        ranks=torch.stack(ranks).to(features.device),
        features=z,
        uncertainty=uncertainty,
        squared_distances=torch.stack(distances),
        proposals=tuple(proposals),
        members=members,
    )


def _predicted(
    problem: HeadProblem,
    heads: LinearHeads,
    fold_heads: LinearHeads | None,
    committee: Tensor | None,
    config: SearchConfig,
) -> Tensor:
    """Probabilities (E, P + S, C) of pseudo-pool and support by the support's heads."""
    of_support = committee_of(fold_heads, problem.support, config.value_heads, problem.num_classes)
    probs = [
        with_committee(head_log_probs(heads, rows), members).mean(-3)
        for rows, members in ((problem.pool, committee), (problem.support, of_support))
    ]
    return torch.cat(probs, dim=1)


def held_out_noise(heads: LinearHeads, problem: HeadProblem) -> Tensor:
    """(E, 1) deviation of the validation targets around the support's prediction: one number for all episodes, from
    the median of the misses, so that a few of them do not make it."""
    missed = (problem.validation_labels - heads(problem.validation).detach().squeeze(-1)).abs()
    return torch.full_like(problem.noise, max(1.4826 * float(missed.median()), 1e-3))
