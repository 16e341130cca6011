"""Heads that speak for the model, where they can, and how far predictions are to be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autoal.anchor.committee import (
    agreement,
    bagged_and_halved,
    committee_of,
    compared,
    is_of_their_kind,
    with_committee,
)
from autoal.anchor.features import standardised, target_scale
from autoal.anchor.heads import LinearHeads, with_bias
from autoal.anchor.policy import FEW
from autoal.anchor.space import Space
from autoal.compute import chunks
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.settings import SearchConfig

__all__ = ["Judges", "judges_of"]

TILE = 2**26
"""Bytes of what the committee says at a time: no more than a processor keeps near."""
HALVINGS = 4
"""How often the labels are halved to see on what the halves agree."""


@dataclass(frozen=True)
class Judges:
    """What heads on the labels of a round say beside the model."""

    heads: LinearHeads | None
    """Cross-fitted, `members` of them; None where none were asked for, where they are of another kind, and with more
    than `FEW` labels."""
    members: int
    kin: bool
    """Whether the model could be one of the heads; True where there is nothing to compare."""
    trust: Tensor | None
    """() in [0, 1]: on what heads agree that were fitted on two halves of the labels; None in a regression."""

    def committee(self, features: Tensor, num_classes: int) -> Tensor | None:
        """(M, n, C) probabilities for features (n, D'), (M, n) predictions in a regression; None without heads."""
        found = committee_of(self.heads, with_bias(features).unsqueeze(0), self.members, num_classes)
        return None if found is None else found[0]

    def mean(self, outputs: ModelOutputs, features: Tensor) -> Tensor:
        """(n, C) mean probabilities of the model and of the committee, for features (n, D')."""
        log_probs = outputs.require("log_probs")
        mean = log_probs.new_empty(log_probs.shape, dtype=torch.float32)
        num_classes = log_probs.shape[1]
        for rows in chunks(len(mean), 16.0 * (self.members + 1) * (num_classes + features.shape[1]), TILE):
            committee = self.committee(features[rows], num_classes)
            mean[rows] = with_committee(log_probs[rows].float(), committee).mean(0)
        return mean


def judges_of(view: PoolView, space: Space, config: SearchConfig, seed: int) -> Judges:
    """The judges of a round, from its labels, the model's answers and the positions of all points alone."""
    rows, labels = with_bias(space.labeled).unsqueeze(0), view.labels.unsqueeze(0)
    targets = standardised(labels, *target_scale(labels, view.num_classes))

    def fitted(members: int, halvings: int = 0) -> tuple[LinearHeads | None, LinearHeads | None]:
        return bagged_and_halved(
            rows, targets, members, halvings, num_classes=view.num_classes, l2=config.head_l2,
            rng=generator(seed, "compose", "folds"), halving_rng=generator(seed, "compose", "halves"),
        )  # fmt: skip

    if not view.num_classes:
        return Judges(fitted(config.value_heads)[0], config.value_heads, True, None)
    many = len(view.labels) > FEW  # then one halving tells as much, and two heads are enough to know their kind
    members = min(2, config.value_heads) if many else config.value_heads
    heads, halved = fitted(members, 1 if many else HALVINGS)
    trust = None if halved is None else agreement(halved, with_bias(space.reference).unsqueeze(0))[0]
    judges = Judges(heads, members, True, trust)
    log_probs = view.pool.require("log_probs")
    some = compared(len(log_probs), view.num_classes, generator(seed, "compose", "kind")).to(log_probs.device)
    committee = judges.committee(space.pool[some], view.num_classes)
    if committee is None:
        return judges
    if not is_of_their_kind(log_probs[some].float(), committee):
        return Judges(None, 0, False, trust)
    # With many labels heads add nothing to a linear model and take from boosting, which passes for one now and then
    # (baselines/results/hundreds-ablation.md).
    return Judges(None, 0, True, trust) if many else judges
