"""TAILOR: Thompson sampling over candidates, for labels of rare classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoal.rng import numpy_rng
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate

from .rival import CLASSES_ONLY, Memory, Queues, Rival, check_option, labels_of, selection

__all__ = ["Tailor", "class_values", "forget_and_add"]


def class_values(labels: Tensor, num_classes: int) -> Tensor:
    """(C,) what a label of each class is worth: 1 / max(1, its labels), negative for a class with more than half."""
    counts = torch.bincount(labels.cpu(), minlength=num_classes).double()
    values = 1.0 / counts.clamp(min=1.0)
    return torch.where(counts > 0.5 * len(labels), -values, values)


def forget_and_add(
    counts: Mapping[str, Sequence[float]], bought: Sequence[tuple[str, int | None]], gamma: float
) -> dict[str, list[float]]:
    """a <- gamma a + (labels of each class that the candidate's points of the last batch turned out to have)."""
    after = {name: [gamma * one for one in row] for name, row in counts.items()}
    for name, label in bought:
        if label is not None:
            after[name][label] += 1.0
    return after


class Tailor(Rival):
    """For each slot of the batch draws theta_k ~ Dirichlet(a_k + 1) for each candidate, and takes the next point of
    the one with the largest theta_k . v.

    v are `class_values`, the "div" reward of the multi-class case; a starts at ones and is discounted by `gamma` 0.9
    after each batch. The released code also keeps b, the labels a candidate's points did not have; only multi-label
    tasks read it. The reward is class balance: of use where classes are rare, blind to accuracy. Rejected points pay
    nothing. Its experiments begin with one random batch; here a run begins with its first labels.
    """

    name = "tailor"
    source = "Zhang, Shao, Verma and Nowak, NeurIPS 2023, arXiv 2302.07317"
    cost = "0; all candidates"
    tasks = CLASSES_ONLY

    def __init__(self, candidates: str | Sequence[Any] = "default", gamma: float = 0.9) -> None:
        super().__init__(candidates)
        check_option("gamma", gamma, 0, 1)
        self.gamma = gamma

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        candidates, proposals = self._ask(state, portfolio, batch_size)
        names, classes = [name for name, _ in candidates], state.view.num_classes
        counts = memory.get("counts") or {name: [1.0] * classes for name in names}
        if memory:
            labels = labels_of(state, memory["ids"])
            counts = forget_and_add(counts, list(zip(memory["arms"], labels, strict=True)), self.gamma)
        values = class_values(state.view.labels, classes).numpy()
        rng = numpy_rng(state.seed, "rival", self.name, state.round)
        queues, arms = Queues(proposals), []
        for _ in range(batch_size):
            # A Dirichlet draw is a normalised row of gamma draws.
            draws = rng.standard_gamma(np.array([counts[name] for name in names]) + 1.0)
            arm = int(np.argmax(draws @ values / draws.sum(1)))
            queues.take(queues.next(arm))
            arms.append(names[arm])
        ids = state.pool_ids[torch.tensor(queues.taken)].tolist()
        weights = {name: arms.count(name) / batch_size for name in names}
        return selection(queues.taken, candidates, proposals, weights), {"counts": counts, "ids": ids, "arms": arms}
