"""What a cell records of each round for the rules that say when to stop. No test label, and nothing a selector sees."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoal.experiment.config import ExperimentConfig
from autoal.experiment.metrics import evaluate, evaluate_targets
from autoal.experiment.task import Task
from autoal.experiment.task_models import make_model
from autoal.models.base import ModelAdapter
from autoal.rng import derive_seed, generator
from autoal.selectors.base import RoundState
from autoal.stopping.record import STOP_SET, compared, uncertainty

__all__ = ["Watch", "cross_validated"]

FOLDS = 5
FEWEST = 10
"""Labels below which nothing is cross-validated."""


class Watch:
    """Follows one cell. Every number is a function of the models and the batches: a cell that is continued records
    what it would have recorded."""

    def __init__(self, config: ExperimentConfig, task: Task, seed: int, device: torch.device) -> None:
        self.config, self.task, self.seed, self.device = config, task, seed, device
        rows = torch.randperm(len(task.ids), generator=generator(seed, "stop set"))[:STOP_SET]
        self.rows = rows.sort().values
        self.before: np.ndarray[Any, Any] | None = None
        """What the model of the round before predicted of the stop set."""

    def look(self, model: ModelAdapter) -> np.ndarray[Any, Any]:
        """What `model` predicts of the stop set; the next round is compared with it."""
        if self.task.num_classes:
            said = model.predict_log_probs(self.task.rows, self.rows).argmax(1)
        else:
            said = model.predict_means(self.task.rows, self.rows)
        self.before = said.cpu().numpy()
        return self.before

    def round(
        self, model: ModelAdapter, state: RoundState, picked: Tensor, diagnostics: Mapping[str, Any], number: int
    ) -> dict[str, Any]:
        """Fields of `autoal.stopping.Round` for round `number`, in which `picked` (b,) positions of the pool were
        bought, those that an audit drew last."""
        kind = "classification" if self.task.num_classes else "regression"
        before, pool = self.before, state.view.pool
        now = self.look(model)
        found: dict[str, Any] = {"trained": len(state.labeled_ids)}
        if before is not None:
            found.update(compared(before, now, kind))
        if kind == "classification":
            log_probs = pool.require("log_probs")
            found.update(uncertainty(log_probs.double().cpu().numpy()))
            assert state.pool_indices is not None
            rows, said = state.pool_indices[picked], log_probs.argmax(1).cpu()[picked]
            mine = ~self.task.rejected[rows]
            right = (said == self.task.labels[rows]) & mine
            random = int(diagnostics.get("audit", {}).get("random", 0))
            found.update(asked=int(mine.sum()), right=int(right.sum()))
            if random:
                found.update(audited=int(mine[-random:].sum()), audited_right=int(right[-random:].sum()))
        if self.config.cross_validate:
            assert state.labeled_indices is not None
            value = cross_validated(self.config, self.task, state.labeled_indices, self.seed, number, self.device)
            found.update({} if value is None else {"value": value})
        return found


def cross_validated(
    config: ExperimentConfig, task: Task, labeled: Tensor, seed: int, number: int, device: torch.device
) -> float | None:
    """The metric of `config` over five folds of the labels at `labeled` (L,); None where there are fewer than ten, or
    a fold would be left with one class."""
    from sklearn.model_selection import KFold, StratifiedKFold

    labels = task.labels[labeled]
    if len(labeled) < FEWEST or (task.num_classes and int((torch.bincount(labels) > 1).sum()) < 2):
        return None
    split_seed = derive_seed(seed, "folds", number) % 2**31
    if task.num_classes:
        most = int(torch.bincount(labels).max())
        folds: Any = StratifiedKFold(min(FOLDS, most), shuffle=True, random_state=split_seed)
    else:
        folds = KFold(FOLDS, shuffle=True, random_state=split_seed)
    predicted: Tensor | None = None
    with warnings.catch_warnings():
        # Of classes with fewer labels than folds, which are in what part they can be, and of many classes.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (train, test) in enumerate(folds.split(labels.numpy(), labels.numpy())):
            model = make_model(config.model, tuple(task.rows.row_shape), task.num_classes, device)
            own, at = derive_seed(seed, "cross-validation", number, fold), labeled[test]
            model.fit(task.rows, labeled[train], labels[train], task.num_classes, seed=own)
            said = model.predict_log_probs(task.rows, at) if task.num_classes else model.predict_means(task.rows, at)
            predicted = said.new_zeros(len(labeled), *said.shape[1:]) if predicted is None else predicted
            predicted[torch.from_numpy(test)] = said
    assert predicted is not None
    if task.num_classes:
        return evaluate(predicted, labels)[config.metric]
    return evaluate_targets(predicted, labels)[config.metric]
