"""A support vector machine with an RBF kernel for two classes, refitted thousands of times on parts of one set."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import _libsvm
from torch import Tensor

from autoal.data.rows import Rows
from autoal.errors import InvalidInput, MissingOutput, NotFitted
from autoal.models.sklearn_features import Featurizer
from autoal.models.targets import check_labels
from autoal.outputs import ModelOutputs

__all__ = ["KernelSVM"]

Array = NDArray[np.float64]
WHOLE_GRAM = 6000
"""Rows up to which all kernel values are kept: 290 MB in float64."""


class KernelSVM:
    """ModelAdapter of `sklearn.svm.SVC(kernel="rbf", gamma="auto", C=c)`, the same numbers in a tenth of the time.

    Kernel values of a set are computed once and kept, and libsvm is called below the input checks of SVC, which take
    longer than such small fits. Two classes only. The sum over support vectors is taken row by row, so equal rows get
    equal decisions wherever they stand.

    `logits` are -d/2 and d/2 for the decision d, float64, and `log_probs` their log-softmax: the class is the one SVC
    predicts and |d| is the margin, but no probability is calibrated. Embeddings are the standardised inputs.
    """

    def __init__(self, c: float = 1.0) -> None:
        if not c > 0:
            raise InvalidInput(f"got c={c}; wanted a number above 0")
        self.c = c
        self._kernels: weakref.WeakKeyDictionary[Any, tuple[Any, Array]] = weakref.WeakKeyDictionary()
        self._fitted: tuple[Rows, NDArray[np.int64], Array, float] | None = None
        self._standard = Featurizer(None)

    @property
    def provides(self) -> frozenset[str]:
        return frozenset({"log_probs", "logits", "embeddings", "inputs"})

    def fit(self, rows: Rows, indices: Tensor, labels: Tensor, num_classes: int, *, seed: int) -> None:
        """Fits on rows[indices], in that order: within its tolerance libsvm's answer depends on it.

        Raises InvalidInput for labels of one class, and where there are not two classes.
        """
        check_labels(labels, num_classes)
        if num_classes != 2 or len(labels.unique()) != 2:
            raise InvalidInput(
                f"got labels of {len(labels.unique())} of {num_classes} classes; svm_rbf wants two, with a label of "
                "each: use logistic_regression, or more first labels"
            )
        at = indices.cpu().numpy()
        gram = np.ascontiguousarray(self._kernel(rows, rows, at, at))
        _libsvm.set_verbosity_wrap(0)
        support, _, _, dual, intercept, *_ = _libsvm.fit(
            gram, labels.cpu().numpy().astype(np.float64), svm_type=0, kernel="precomputed", C=self.c, tol=1e-3,
            shrinking=1, cache_size=200.0,
        )  # fmt: skip
        # libsvm's first class is the smaller label, and its decision is above 0 there; SVC turns both signs.
        self._fitted = rows, at[support], -dual[0], -float(intercept[0])

    def outputs(
        self, rows: Rows, indices: Tensor, needs: frozenset[str], *, seed: int, device: torch.device
    ) -> ModelOutputs:
        """The fields in `needs` for rows[indices], on `device`. Raises MissingOutput, NotFitted."""
        if missing := sorted(needs - self.provides):
            raise MissingOutput(f"svm_rbf cannot give {', '.join(missing)}, only {', '.join(sorted(self.provides))}")
        found: dict[str, Tensor] = {}
        if needs & {"log_probs", "logits"}:
            decision = self._decision(rows, indices)
            logits = torch.stack([-decision / 2, decision / 2], dim=1)
            found = {"logits": logits, "log_probs": logits.log_softmax(dim=1)}
        if needs & {"embeddings", "inputs"}:
            fitted_on = self._model()[0]
            self._standard.look_at(fitted_on, lambda part: _numbers(fitted_on, part))
            inputs = self._standard(_numbers(rows, indices), rows, indices)
            found |= {"embeddings": inputs, "inputs": inputs}
        return ModelOutputs(**{name: found[name].to(device) for name in needs})

    def predict_log_probs(self, rows: Rows, indices: Tensor) -> Tensor:
        """(n, 2) float64 log probabilities on the CPU."""
        needs = frozenset({"log_probs"})
        return self.outputs(rows, indices, needs, seed=0, device=torch.device("cpu")).require("log_probs")

    def predict_means(self, rows: Rows, indices: Tensor) -> Tensor:
        raise MissingOutput("svm_rbf is a classifier and has no targets; use a model for regressions")

    def _model(self) -> tuple[Rows, NDArray[np.int64], Array, float]:
        if self._fitted is None:
            raise NotFitted("the model has not been trained; call fit first")
        return self._fitted

    def _decision(self, rows: Rows, indices: Tensor) -> Tensor:
        fitted_on, support, dual, intercept = self._model()
        kernel = self._kernel(rows, fitted_on, indices.cpu().numpy(), support)
        return torch.from_numpy(np.einsum("ns,s->n", kernel, dual) + intercept)

    def _kernel(self, left: Rows, right: Rows, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Array:
        """Kernel values of left[rows] and right[columns]; of sets that are not too large, all are kept."""
        if max(len(left), len(right)) > WHOLE_GRAM:
            return _rbf(_numbers(left, torch.from_numpy(rows)), _numbers(right, torch.from_numpy(columns)))
        known = self._kernels.get(left)
        if known is None or known[0] is not right:
            known = (right, _rbf(_numbers(left, slice(None)), _numbers(right, slice(None))))
            self._kernels[left] = known
        return known[1][np.ix_(rows, columns)]


def _numbers(rows: Rows, indices: Any) -> Any:
    """The rows as they are where they are a matrix, pictures as one row each."""
    return rows.form(rows.forms[1] if rows.kind == "pictures" else rows.forms[0], indices)


def _rbf(left: Any, right: Any) -> Array:
    """gamma = 1 / d, which SVC calls "auto"."""
    values: Array = rbf_kernel(left, right, gamma=1.0 / left.shape[1])
    return values
