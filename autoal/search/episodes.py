"""Episodes: the labeled set split again and again into support, pseudo-pool and validation.

Candidates are scored on the pseudo-pool by heads that have not seen it, exactly as they will be scored on the pool
by a model that has not seen that. So no score, loss or feature of a labeled point comes from a head trained on it.

Axes: E episodes, S support, P pseudo-pool, V validation, K candidates, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from autoal.outputs import ModelOutputs, PoolView, Validation
from autoal.rng import generator
from autoal.search.config import SearchConfig
from autoal.search.fit_net import HeadProblem, LinearHeads, fit_heads, head_log_probs, with_bias
from autoal.search.ranks import rank_scores
from autoal.search.space import Space, geometry, log_reference_distance
from autoal.strategies import Proposal, Strategy

__all__ = ["Episodes", "NamedCandidate", "bagged_heads", "importance_weights", "point_features", "simulate"]

MC_DROPOUT = 0.5
NamedCandidate = tuple[str, Strategy]


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
    """(E, P, P) in the space of coverage, in units of the squared bandwidth."""
    covered: Tensor
    """(E, P) squared distance to the nearest support point, in the same units."""
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
    rank_in_class = torch.empty(len(labels), dtype=torch.long)
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
    pool = min(config.max_pool, max(2, round(config.pool_share * n_labeled)))
    share = 1.0 - config.pool_share if n_validation else config.support_share
    support = min(3 * config.max_pool, n_labeled - pool, max(2, round(share * n_labeled)))
    # Half of the validation points judge on either side.
    validation = n_validation // 2 if n_validation else n_labeled - pool - support
    return support, pool, min(2 * config.max_pool, validation)


def bagged_heads(
    features: Tensor, labels: Tensor, folds: int, *, num_classes: int, l2: float, rng: torch.Generator
) -> LinearHeads | None:
    """`folds` heads for each stack of points (E, n, D) with labels (E, n), each without one fold; (E * folds) heads."""
    if folds < 2 or features.shape[1] < folds:
        return None
    episodes, n, width = features.shape
    fold = (torch.stack([torch.randperm(n, generator=rng) for _ in range(episodes)]) % folds).to(features.device)
    weights = torch.stack([(fold != f).to(features.dtype) for f in range(folds)], dim=1).reshape(episodes * folds, n)
    wide = features.unsqueeze(1).expand(-1, folds, -1, -1).reshape(episodes * folds, n, width)
    tiled = labels.unsqueeze(1).expand(-1, folds, -1).reshape(episodes * folds, n)
    return fit_heads(wide, tiled, weights, num_classes=num_classes, l2=l2, tolerance=1e-3, max_steps=60)


def committee_probs(heads: LinearHeads | None, features: Tensor, folds: int) -> Tensor | None:
    """(E, folds, n, C) probabilities of features (E, n, D) under each stack's own heads."""
    if heads is None:
        return None
    episodes, n, width = features.shape
    wide = features.unsqueeze(1).expand(-1, folds, -1, -1).reshape(episodes * folds, n, width)
    return head_log_probs(heads, wide).exp().reshape(episodes, folds, n, -1)


def point_features(
    log_probs: Tensor, committee: Tensor | None, to_labeled: Tensor, log_sparsity: Tensor
) -> tuple[Tensor, Tensor]:
    """Uncertainty (..., n) = 1 - margin of the mean probability, and features (..., n, 4), standardised over n.

    `log_probs` (..., n, C), `committee` (..., M, n, C), log distance to the labeled set (..., n), log distance to
    the neighbors (..., n). Features: both distances, the entropy's percentile, the committee's disagreement.
    """
    probs = log_probs.exp()
    disagreement = torch.zeros_like(to_labeled)
    if committee is not None:
        members = torch.cat([committee, probs.unsqueeze(-3)], dim=-3)
        mean = members.mean(-3)
        disagreement = _entropy(mean) - _entropy(members).mean(-2)
        probs = mean
    top = probs.topk(min(2, probs.shape[-1]), dim=-1).values
    uncertainty = 1.0 - (top[..., 0] - top[..., -1] if probs.shape[-1] > 1 else top[..., 0])
    entropy = _entropy(probs)
    percentile = entropy.argsort(-1).argsort(-1).to(probs.dtype)
    z = torch.stack([to_labeled, -log_sparsity, percentile, disagreement], dim=-1)
    centred = z - z.mean(-2, keepdim=True)
    # Limited to three standard deviations: one far point must not own the value of the batch.
    deviation = centred.square().mean(-2, keepdim=True).sqrt()
    return uncertainty.clamp(0, 1), (centred / deviation.clamp_min(1e-6)).clamp(-3, 3)


def _entropy(probs: Tensor) -> Tensor:
    return -torch.special.xlogy(probs, probs).sum(-1)


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
) -> Episodes:
    """`count` episodes inside the labeled set. `validation_from` (L,) bool: points that may validate; of the points
    of `validation`, (V,) bool, where there are such.

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
    if config.importance:
        weights = importance_weights(judging, space.pool, generator(seed, purpose, "importance"))
    validation_weights = weights[v] / weights[v].sum(1, keepdim=True)
    problem = HeadProblem.build(
        features[s], labels[s], features[p], labels[p], with_bias(judging)[v], judging_labels[v], validation_weights,
        num_classes=view.num_classes, batch=batch, l2=config.head_l2,
    )  # fmt: skip
    ones = torch.ones_like(labels[s], dtype=features.dtype)
    heads = fit_heads(
        problem.support, problem.support_labels, ones,
        num_classes=view.num_classes, l2=config.head_l2, whitener=problem.whitener,
    )  # fmt: skip
    log_probs_pool, log_probs_support = head_log_probs(heads, problem.pool), head_log_probs(heads, problem.support)
    fold_heads = bagged_heads(
        problem.support, problem.support_labels, config.value_heads,
        num_classes=view.num_classes, l2=config.head_l2, rng=generator(seed, purpose, "folds"),
    )  # fmt: skip
    committee = committee_probs(fold_heads, problem.pool, config.value_heads)

    raw = geometry(view.labeled)
    shape = functional.normalize(raw, dim=1)
    to_support = torch.stack([_squared(space.labeled[p[e]], space.labeled[s[e]]).amin(1) for e in range(count)])
    log_sparsity = log_reference_distance(space.labeled, space.reference)[p]
    uncertainty, z = point_features(
        log_probs_pool, committee, 0.5 * torch.log(to_support + 1e-6), log_sparsity
    )  # fmt: skip

    needs_mc = any("mc_log_probs" in strategy.needs for _, strategy in candidates)
    samples = view.labeled.mc_log_probs.shape[1] if view.labeled.mc_log_probs is not None else 10
    ranks, proposals, distances, covered = [], [], [], []
    for e in range(count):
        mc_pool = mc_support = None
        if needs_mc:
            mask_rng = generator(seed, purpose, "dropout", e)
            mc_pool, mc_support = _head_dropout(heads, e, problem, samples, mask_rng)
        has_embeddings = view.labeled.embeddings is not None
        episode_view = PoolView(
            pool=ModelOutputs(log_probs_pool[e], raw[p[e]] if has_embeddings else None, mc_pool),
            labeled=ModelOutputs(log_probs_support[e], raw[s[e]] if has_embeddings else None, mc_support),
            labels=labels[s[e]],
            num_classes=view.num_classes,
            costs=None,
        )
        wanted = min(sizes[1], max(2, round(config.proposal_factor * batch)))
        row = tuple(
            strategy.propose(episode_view, wanted, generator(seed, purpose, "candidate", repr(strategy), e))
            for _, strategy in candidates
        )
        proposals.append(row)
        ranks.append(torch.stack([rank_scores(proposal, batch) for proposal in row], dim=1))
        scale = bandwidth(shape[s[e]], shape[p[e]], config, wanted) ** 2
        distances.append(_squared(shape[p[e]], shape[p[e]]) / scale)
        covered.append(_squared(shape[p[e]], shape[s[e]]).amin(1) / scale)
    return Episodes(
        problem=problem,
        heads=heads,
        ranks=torch.stack(ranks).to(features.device),
        features=z,
        uncertainty=uncertainty,
        squared_distances=torch.stack(distances),
        covered=torch.stack(covered),
        proposals=tuple(proposals),
        members=members,
    )


def bandwidth(labeled: Tensor, pool: Tensor, config: SearchConfig, batch_size: int) -> float:
    """Of the coverage kernel, on normalised points. Raises nothing; 1 where there is nothing to measure."""
    if config.bandwidth == "labeled":
        from autoal.strategies._coverage import smallest_labeled_distance

        return smallest_labeled_distance(labeled)
    if len(pool) < 2:
        return 1.0
    sample = pool[:: max(1, len(pool) // 1000)]
    neighbor = min(len(sample) - 1, max(1, len(sample) // max(2, batch_size)))
    return float(_squared(sample, sample).kthvalue(neighbor + 1, dim=1).values.median().sqrt().clamp_min(1e-3))


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return (x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)


def _head_dropout(
    heads: LinearHeads, episode: int, problem: HeadProblem, samples: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Log probabilities (P, K, C) and (S, K, C) of one head under K dropout masks on its input, each the same for
    every point: what MC dropout before a model's last layer is."""
    weight = (heads.whitener[episode] @ heads.weight[episode]).detach()
    keep = (torch.rand(samples, weight.shape[0], generator=rng) >= MC_DROPOUT).to(weight) / (1 - MC_DROPOUT)
    keep[:, -1] = 1.0  # the bias is not dropped
    masked = keep.unsqueeze(-1) * weight
    both = [torch.einsum("nd,kdc->nkc", x[episode], masked) for x in (problem.pool, problem.support)]
    pool, support = (functional.log_softmax(logits, dim=-1) for logits in both)
    return pool, support
