"""Runs of a selector on made-up rounds, with and without a model: what the shared tests of selectors play."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autoal.data import as_rows
from autoal.models import TorchModel, TrainConfig
from autoal.models.nets import MLP
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.selectors.base import RoundState, Selection, Selector
from tests.helpers import random_outputs

__all__ = ["FakeOracle", "ModelWorld", "World", "copied"]

FIELDS = ("log_probs", "logits", "embeddings", "mc_log_probs", "inputs")


class FakeOracle:
    """Says that the batch with the most points of class 0 is best."""

    def __init__(self, truth: Tensor) -> None:
        self.truth = truth

    def value_after(self, positions: Tensor) -> float:
        return float((self.truth[positions] == 0).sum())


class World:
    """n points with true classes; the outputs of round r are a linear model that grows surer with r."""

    def __init__(self, n: int = 48, labeled: int = 12, classes: int = 3, seed: int = 0) -> None:
        self.outputs = random_outputs(n, seed, classes)
        self.truth = torch.randint(classes, (n,), generator=generator(seed, "truth"))
        self.truth[:labeled] = torch.arange(labeled) % classes
        self.classes = classes
        self.labeled = torch.arange(n) < labeled

    def state(self, round: int, labeled: Tensor, seed: int = 0) -> RoundState:
        """Round `round` with the points of the mask `labeled` (n,)."""
        fields = {name: self.outputs.require(name) for name in FIELDS}
        sharp = 0.5 + 0.2 * round
        fields["logits"] = fields["logits"] * sharp
        fields["log_probs"] = fields["logits"].log_softmax(1)
        fields["mc_log_probs"] = (fields["mc_log_probs"] * sharp).log_softmax(2)
        outputs = ModelOutputs(**fields)
        pool, known = (~labeled).nonzero().flatten(), labeled.nonzero().flatten()
        return RoundState(
            view=PoolView(outputs[pool], outputs[known], self.truth[known], self.classes),
            round=round,
            seed=seed,
            pool_ids=pool + 100,
            labeled_ids=known + 100,
            inputs=as_rows(outputs.require("embeddings")),
            pool_indices=pool,
            labeled_indices=known,
        )

    def play(
        self,
        selector: Selector,
        rounds: int = 4,
        batch_size: int = 5,
        seed: int = 0,
        between: Callable[[int, Selector], Selector] = lambda round, selector: selector,
        asked: Callable[[RoundState], Selection] | None = None,
    ) -> list[list[int]]:
        """Ids bought in each round; `between` may put another selector in its place before a round."""
        labeled, bought = self.labeled.clone(), []
        for round in range(rounds):
            selector = between(round, selector)
            state = self.state(round, labeled, seed)
            answer = selector.select(self.served(selector, state), batch_size)
            ids = state.pool_ids[answer.positions.cpu()]
            bought.append(ids.tolist())
            labeled[ids - 100] = True
        return bought

    def served(self, selector: Selector, state: RoundState) -> RoundState:
        """The state as the runner hands it to this selector: with an oracle for one that cheats."""
        if not getattr(selector, "cheats", False):
            return state
        return replace(state, oracle=FakeOracle(self.truth[state.pool_ids - 100]))


class ModelWorld(World):
    """The same points, with a small network that is trained anew in each round on the rows behind the ids: for
    selectors that train, or look into the task model. With 0 classes a regression."""

    def __init__(self, n: int = 48, labeled: int = 12, classes: int = 3, seed: int = 0) -> None:
        super().__init__(n, labeled, max(classes, 2), seed)
        if classes == 0:
            noise = torch.randn(n, generator=generator(seed, "noise"), dtype=torch.float64)
            self.truth = self.outputs.require("means").double() + 0.1 * noise
        self.classes = classes

    def state(self, round: int, labeled: Tensor, seed: int = 0) -> RoundState:
        state = super().state(round, labeled, seed)
        rows, known, pool = state.inputs, state.labeled_indices, state.pool_indices
        assert known is not None and pool is not None
        width = rows.row_shape[0]
        config = TrainConfig(epochs=1, min_steps=6, batch_size=16)
        model = TorchModel(lambda: MLP(width, self.classes, (8,)), config=config, device="cpu", mc_samples=3)
        model.fit(rows, known, self.truth[known], self.classes, seed=seed)
        fields = frozenset({"log_probs", "logits", "mc_log_probs"} if self.classes else {"means", "mc_means"})
        sides = (
            model.outputs(rows, indices, fields | {"embeddings", "inputs"}, seed=seed, device=torch.device("cpu"))
            for indices in (pool, known)
        )
        return replace(state, view=PoolView(*sides, self.truth[known], self.classes), model=model)


def copied(state: RoundState, rows: Tensor) -> RoundState:
    """The same round where the points of the pool are copies of those at positions `rows` (N,)."""
    assert state.pool_indices is not None
    x = state.inputs.take(torch.arange(len(state.pool_ids) + len(state.labeled_ids))).clone()
    x[state.pool_indices] = x[state.pool_indices[rows]]
    return replace(state, view=replace(state.view, pool=state.view.pool[rows]), inputs=as_rows(x))


def shuffled(state: RoundState, order: Tensor) -> RoundState:
    """The same round with the rows of its pool in another order."""
    changes: Mapping[str, Any] = {
        "view": replace(state.view, pool=state.view.pool[order]),
        "pool_ids": state.pool_ids[order],
        "pool_indices": None if state.pool_indices is None else state.pool_indices[order],
    }
    return replace(state, **changes)
