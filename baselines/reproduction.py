"""Strategies of "Re-Benchmarking Pool-Based Active Learning for Binary Classification" (Lu, Li and Lin 2023, arXiv
2306.08954), as its tables were made.

They are not our candidates of the same idea: ties go to the first point, and the model that chooses need not be the
one that is tested. What that benchmark calls RS is `random` here, and Core-Set is `kcenter` on the inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.experiment.config import ModelSpec
from autoal.experiment.task_models import check_model, make_model
from autoal.rng import derive_seed, numpy_rng
from autoal.selectors.base import RoundState, Selection

__all__ = ["FirstUncertain", "VotingCommittee"]


class _WithoutMemory:
    source = "Lu, Li and Lin 2023, arXiv 2306.08954"

    def reset(self) -> None:
        """Nothing is remembered."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""


class FirstUncertain(_WithoutMemory):
    """The most uncertain points, by the task model or by a model of its own; the first of those that are equal.

    `query` is a model as a config names it, trained on the same labels as the task model, in the same order; None is
    the task model. `rule` is `margin`, the distance between the two largest log probabilities, smallest first (for
    two classes in the order of margins in probability, and of |decision| for an SVM), or `entropy`.

    Raises InvalidInput for another rule, UnknownName or ConfigError for a model that is not there.
    """

    cost = "0; with `query`, one model of its own"

    def __init__(self, query: str | Mapping[str, Any] | None = None, rule: str = "margin") -> None:
        if rule not in ("margin", "entropy"):
            raise InvalidInput(f"got rule={rule!r}; wanted 'margin' or 'entropy'")
        self.query = None if query is None else ModelSpec.model_validate(query)
        if self.query is not None:
            check_model(self.query)
        self.rule = rule
        self.name = "first-uncertain"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"log_probs"})

    def select(self, state: RoundState, batch_size: int) -> Selection:
        log_probs = self._log_probs(state).double().cpu()
        if self.rule == "margin":
            top = log_probs.topk(2, dim=1).values
            utilities = top[:, 1] - top[:, 0]
        else:
            utilities = -(log_probs.exp() * log_probs).sum(dim=1)
        return Selection(utilities.argsort(descending=True, stable=True)[:batch_size], utilities)

    def _log_probs(self, state: RoundState) -> Tensor:
        if self.query is None:
            return state.view.pool.require("log_probs")
        assert state.labeled_indices is not None and state.pool_indices is not None
        classes = state.view.num_classes
        model = make_model(self.query, tuple(state.inputs.row_shape), classes, torch.device("cpu"))
        labels, seed = state.view.labels.cpu(), derive_seed(state.seed, "query model", state.round)
        with _unfinished_is_fine():
            model.fit(state.inputs, state.labeled_indices, labels, classes, seed=seed)
        return model.predict_log_probs(state.inputs, state.pool_indices)


class VotingCommittee(_WithoutMemory):
    """Query by committee as that benchmark has it from libact: logistic regression, linear SVM, RBF-SVM and linear
    discriminant analysis, each trained on a bootstrap of the labels that holds every class; the highest entropy of
    their votes, ties at random (Seung, Opper and Sompolinsky 1992)."""

    name = "voting-committee"
    cost = "0; four models of its own"
    needs = frozenset({"log_probs"})

    def select(self, state: RoundState, batch_size: int) -> Selection:
        assert state.labeled_indices is not None and state.pool_indices is not None
        rng = numpy_rng(state.seed, "committee", state.round)
        labels = state.view.labels.cpu().numpy()
        known, pool = (np.asarray(state.inputs.native(part)) for part in (state.labeled_indices, state.pool_indices))
        votes = []
        for member in (
            LogisticRegression(),
            SVC(kernel="linear"),
            SVC(kernel="rbf", gamma="auto"),
            LinearDiscriminantAnalysis(),
        ):
            bag = _bootstrap(labels, rng)
            with _unfinished_is_fine():
                votes.append(member.fit(known[bag], labels[bag]).predict(pool))
        share = np.stack([np.mean(np.stack(votes) == c, axis=0) for c in range(state.view.num_classes)])
        entropy = -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=0)
        order = rng.permutation(len(entropy))
        best = order[np.argsort(-entropy[order].round(12), kind="stable")[:batch_size]]
        return Selection(torch.from_numpy(best), torch.from_numpy(entropy))


def _bootstrap(labels: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Positions drawn with replacement until every class of `labels` is among them."""
    classes = len(np.unique(labels))
    while True:
        bag = rng.integers(len(labels), size=len(labels))
        if len(np.unique(labels[bag])) == classes:
            return bag


def _unfinished_is_fine() -> warnings.catch_warnings:
    """A logistic regression cut after 100 steps is what was published."""
    caught = warnings.catch_warnings(action="ignore", category=ConvergenceWarning)
    return caught
