"""Heads on parts of the labels: a committee whose members lack one fold each, and halves, to see on what they agree.

Axes: E sets of labels, n points, D features (a constant column included), M members, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoal.anchor.heads import LinearHeads, fit_heads, head_outputs

__all__ = [
    "agreement",
    "bagged_and_halved",
    "bagged_heads",
    "committee_of",
    "compared",
    "is_of_their_kind",
    "with_committee",
]

COMPARED = 2000
FEWEST = 200
ANSWERS = 200_000
"""Pool points on which the model is compared with the heads: so many, or, of many classes, fewer, for so many
probabilities in all."""


def fit_on_parts(features: Tensor, labels: Tensor, parts: Tensor, *, num_classes: int, l2: float) -> LinearHeads:
    """(E * k) heads for stacks of points (E, n, D) with labels (E, n), each on one of the parts (E, k, n) of its own
    stack, a mask of zeros and ones."""
    episodes, n, width = features.shape
    k = parts.shape[1]
    wide = features.unsqueeze(1).expand(-1, k, -1, -1).reshape(episodes * k, n, width)
    tiled = labels.unsqueeze(1).expand(-1, k, -1).reshape(episodes * k, n)
    weights = parts.reshape(episodes * k, n).to(features)
    return fit_heads(wide, tiled, weights, num_classes=num_classes, l2=l2, tolerance=1e-3, max_steps=60)


def folds_left_out(episodes: int, n: int, folds: int, rng: torch.Generator) -> Tensor:
    """(E, folds, n) bool: all points but those of one fold, drawn for each stack."""
    fold = torch.stack([torch.randperm(n, generator=rng) for _ in range(episodes)]) % folds
    return fold.unsqueeze(1) != torch.arange(folds).unsqueeze(1)


def halves(labels: Tensor, halvings: int, rng: torch.Generator) -> Tensor:
    """(E, 2 * halvings, n) bool: the two halves of each halving, one after the other, drawn class by class of `labels`
    (E, n)."""
    first = torch.zeros(len(labels), halvings, labels.shape[1], dtype=torch.bool)
    for e, each in enumerate(labels.cpu()):
        for h in range(halvings):
            order = torch.randperm(len(each), generator=rng)
            first[e, h, order[each[order].argsort(stable=True)][h % 2 :: 2]] = True
    return torch.stack([first, ~first], dim=2).flatten(1, 2)


def bagged_heads(
    features: Tensor, labels: Tensor, folds: int, *, num_classes: int, l2: float, rng: torch.Generator
) -> LinearHeads | None:
    """`folds` heads for each stack of points (E, n, D) with labels (E, n), each without one fold; (E * folds) heads."""
    return bagged_and_halved(features, labels, folds, 0, num_classes=num_classes, l2=l2, rng=rng, halving_rng=rng)[0]


def bagged_and_halved(
    features: Tensor,
    labels: Tensor,
    folds: int,
    halvings: int,
    *,
    num_classes: int,
    l2: float,
    rng: torch.Generator,
    halving_rng: torch.Generator,
) -> tuple[LinearHeads | None, LinearHeads | None]:
    """`bagged_heads`, and heads (E * 2 * halvings) on the `halves` of the same points, fitted in one go: the steps of
    the one cost hardly more with the other beside them. None for what was not asked for, or has too few points."""
    episodes, n = labels.shape
    parts = []
    asked = (folds if 2 <= folds <= n else 0, 2 * halvings)
    if asked[0]:
        parts.append(folds_left_out(episodes, n, folds, rng))
    if asked[1]:
        parts.append(halves(labels, halvings, halving_rng))
    if not parts:
        return None, None
    heads = fit_on_parts(features, labels, torch.cat(parts, dim=1), num_classes=num_classes, l2=l2)
    bagged = heads.of_parts(episodes, slice(asked[0])) if asked[0] else None
    return bagged, heads.of_parts(episodes, slice(asked[0], None)) if asked[1] else None


def agreement(heads: LinearHeads, on: Tensor) -> Tensor:
    """(E,) in [0, 1]: correlation, over points `on` (E, m, D), of the square roots of the probabilities under two
    heads that were fitted on two halves of the same labels; mean over the halvings. `heads` are those of `halves`."""
    copies = len(heads.whitener) // len(on)
    roots = functional.log_softmax(head_outputs(heads, on, copies), dim=-1).div(2).exp()
    centred = roots - roots.mean(2, keepdim=True)
    one, other = centred[:, 0::2], centred[:, 1::2]
    lengths = one.square().sum((2, 3)).sqrt() * other.square().sum((2, 3)).sqrt()
    return ((one * other).sum((2, 3)) / lengths.clamp_min(1e-12)).mean(1).clamp(0, 1)


def compared(n: int, num_classes: int, rng: torch.Generator) -> Tensor:
    """Positions of the pool points, of n, on which the model is compared with the heads."""
    return torch.randperm(n, generator=rng)[: min(COMPARED, max(FEWEST, ANSWERS // num_classes))]


def is_of_their_kind(log_probs: Tensor, committee: Tensor) -> bool:
    """Whether the model could be one of the heads: on pool points its probabilities, (n, C) in logarithms, are no
    farther from those of the members (M, n, C) than members are from one another, in mean total variation.

    Heads whose answers are others than the model's tell what would be worth knowing to them, not to it.
    """
    to_members = (committee - log_probs.exp().to(committee)).abs().mean()
    count = len(committee)
    among = sum((committee - committee.roll(shift, dims=0)).abs().mean() for shift in range(1, count))
    return bool(to_members * (count - 1) <= among)


def committee_of(heads: LinearHeads | None, features: Tensor, folds: int, num_classes: int) -> Tensor | None:
    """(E, folds, n, C) probabilities of features (E, n, D) under each stack's own heads; predictions (E, folds, n) in
    a regression."""
    if heads is None:
        return None
    outputs = head_outputs(heads, features, folds)
    return functional.log_softmax(outputs, dim=-1).exp() if num_classes else outputs.squeeze(-1)


def with_committee(log_probs: Tensor, committee: Tensor | None) -> Tensor:
    """(..., M + 1, n, C) probabilities of the committee (..., M, n, C), if there is one, and the model's own after."""
    own = log_probs.exp().unsqueeze(-3)
    return own if committee is None else torch.cat([committee, own], dim=-3)
