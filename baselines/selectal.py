"""SelectAL: finds out whether labels are few or many by what the model misses when some are taken away."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autoal.anchor.heads import fit_heads, with_bias
from autoal.anchor.space import Space
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate
from autoal.strategies.parts.distances import mean_neighbour_distance, unit_rows

from .rival import CLASSES_ONLY, Memory, Rival, check_option, selection

__all__ = ["SelectAL", "family_that_matters", "removal_per_class", "removed"]

SPLITS = 5
REPEATS = 5
VALIDATION_SHARE = 0.05
NEIGHBOURS = 20
FAMILIES = ("typiclust", "random", "badge")


def removal_per_class(labels: Tensor, num_classes: int, share: float) -> int:
    """min(max(floor(share L / C), 1), points of the smallest class that has any)."""
    counts = torch.bincount(labels, minlength=num_classes)
    return min(max(int(share * len(labels) / num_classes), 1), int(counts[counts > 0].min()))


def removed(wanted: Tensor, labels: Tensor, count: int) -> Tensor:
    """(L,) bool: of each class the `count` points of the highest `wanted` (L,); a class keeps one point (ours)."""
    out = torch.zeros(len(labels), dtype=torch.bool)
    for c in labels.unique().tolist():
        members = (labels == c).nonzero().flatten()
        order = members[wanted[members].sort(descending=True, stable=True).indices]
        out[order[: min(count, len(members) - 1)]] = True
    return out


def family_that_matters(accuracy: Mapping[str, float]) -> str:
    """The family whose points are missed most: the lowest accuracy; of equal ones the one for fewer labels (ours)."""
    return min(FAMILIES, key=lambda name: (accuracy[name], FAMILIES.index(name)))


class SelectAL(Rival):
    """Random, TypiClust (for few labels) or BADGE (for many), by what removing such points costs.

    From each class `min(max(floor(epsilon L / C), 1), smallest class)` labeled points are removed: random ones (5
    times), the most typical, or the least typical, which stand for BADGE. A model is trained on the rest, and the
    family whose removal leaves the lowest accuracy on 5 random validation sets of 5 % of the labels is used.
    `epsilon` is 0.05. Takes no candidates.

    Ours, since the original code was not found: the model is a head on embeddings, as in the port on fixed features
    of dal-toolbox; the validation sets are the same for all families; typicality is that of TypiClust within a class.
    """

    name = "selectal"
    source = "Hacohen and Weinshall, NeurIPS 2023, arXiv 2306.03543"
    cost = "0; 35 heads on embeddings"
    tasks = CLASSES_ONLY
    reads = frozenset({"log_probs", "embeddings"})
    strict = True

    def __init__(self, epsilon: float = 0.05) -> None:
        super().__init__(list(FAMILIES))
        check_option("epsilon", epsilon, 0, 1)
        self.epsilon = epsilon

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        accuracy = self.accuracies(state)
        family = family_that_matters(accuracy)
        candidates, proposals = self._ask(state, [pair for pair in portfolio if pair[0] == family], batch_size)
        found = {"accuracy": accuracy}
        return selection(proposals[0].indices, candidates, proposals, {family: 1.0}, diagnostics=found), {}

    def accuracies(self, state: RoundState) -> dict[str, float]:
        """Validation accuracy after the points of each family are removed, in [0, 1]."""
        view, rng = state.view, self._rng(state)
        labels = view.labels.cpu()
        count = removal_per_class(labels, view.num_classes, self.epsilon)
        typical = _typicality(view.labeled.require("embeddings").cpu(), labels)
        families = ["random"] * REPEATS + ["typiclust", "badge"]
        wanted = [torch.rand(len(labels), generator=rng) for _ in range(REPEATS)] + [typical, -typical]
        gone = torch.stack([removed(one, labels, count) for one in wanted])
        held = torch.zeros(SPLITS, len(labels), dtype=torch.bool)
        size = max(1, round(VALIDATION_SHARE * len(labels)))
        for split in range(SPLITS):
            held[split, torch.randperm(len(labels), generator=rng)[:size]] = True

        # One stack of heads: families x splits. Points held out or removed weigh nothing.
        trained = ~(gone.unsqueeze(1) | held).flatten(0, 1)
        features = with_bias(Space.of(view, 64, rng).labeled.cpu()).unsqueeze(0).expand(len(trained), -1, -1)
        targets = labels.unsqueeze(0).expand(len(trained), -1)
        heads = fit_heads(features, targets, trained.to(features.dtype), num_classes=view.num_classes, l2=1.0)
        with torch.no_grad():
            right = (heads(features).argmax(2) == targets).reshape(len(families), SPLITS, -1)
        each = (right & held).double().sum((1, 2)) / held.sum()
        return {
            name: float(each[torch.tensor([family == name for family in families])].mean()) for name in sorted(FAMILIES)
        }


def _typicality(embeddings: Tensor, labels: Tensor) -> Tensor:
    """(L,) 1 / (mean distance to the nearest 20 of its class + 1e-5), on embeddings of length 1."""
    out = torch.zeros(len(labels), dtype=torch.float64)
    points = unit_rows(embeddings)
    for c in labels.unique().tolist():
        members = (labels == c).nonzero().flatten()
        if len(members) > 1:
            near = min(NEIGHBOURS, len(members) - 1)
            out[members] = 1.0 / (mean_neighbour_distance(points[members], near) + 1e-5)
    return out
