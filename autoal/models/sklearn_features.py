"""Embeddings of a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse, special
from torch import Tensor

from autoal.compute import chunks
from autoal.data.rows import Rows
from autoal.errors import AutoALError, InvalidInput
from autoal.lazy import is_a
from autoal.models.standardise import Standardise, column_moments

if TYPE_CHECKING:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.neural_network import MLPClassifier, MLPRegressor

__all__ = ["SPARSE_WIDTH", "Featurizer", "before_last"]

_NETWORKS = ("sklearn.neural_network", "MLPClassifier", "MLPRegressor")
_PIPELINE = ("sklearn.pipeline", "Pipeline")
SPARSE_WIDTH = 64
"""Columns that sparse inputs are reduced to, where they have more."""
_HELD_BYTES = 2**29

_ACTIVATIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "logistic": special.expit,
}


_PLAIN: WeakKeyDictionary[Rows, tuple[Any, ...]] = WeakKeyDictionary()
"""What was found of rows that no step of a pipeline changes: the same for every model that is fitted on them."""


class Featurizer:
    """From the inputs of a fitted estimator to features (n, D) float32; of None, the inputs themselves, standardised.

    `look_at(rows, inputs)` reads all rows once, without labels, for means, deviations and the reduction of sparse
    inputs; it is remembered until the rows change. The moments do not depend on the order of the rows.
    """

    def __init__(self, fitted: Any) -> None:
        self._fitted = fitted
        self._last = fitted[-1] if is_a(fitted, *_PIPELINE) else fitted
        self._svd: TruncatedSVD | None = None
        self._scale: Standardise | None = None
        self._seen: str | None = None
        self._fill: Tensor | None = None
        self._encodes = False

    def look_at(self, rows: Rows, inputs: Callable[[Tensor], Any], form: str | None = None) -> None:
        """Prepares for `rows`; `inputs(indices)` gives them as the estimator takes them. The same `form` means the same
        inputs, and a further model on the same rows does not read them again."""
        key = rows.fingerprint()
        if key == self._seen or is_a(self._last, *_NETWORKS):
            return
        plain = form is not None and not is_a(self._fitted, *_PIPELINE) and rows.encoder is None
        if plain and _PLAIN.get(rows, ())[:2] == (key, form):
            self._encodes, self._svd, self._fill, self._scale = _PLAIN[rows][2:]
            self._seen = key
            return
        self._svd = self._scale = self._fill = None
        first = None if rows.encoder is not None else self._transformed(inputs(torch.arange(1)))
        self._encodes = not _is_matrix(first)
        if self._encodes:
            rows.encoded(torch.arange(1))
            self._seen = key
            return

        def read() -> Iterator[Any]:
            for part in chunks(len(rows), 64.0 * rows.cost):
                yield self._transformed(inputs(torch.arange(part.start, part.stop)))

        is_sparse = sparse.issparse(first)
        small = is_sparse or 8.0 * len(rows) * rows.cost <= _HELD_BYTES
        parts = partial(iter, list(read())) if small else read  # reading may mean decoding: once is better than twice
        if is_sparse:
            from sklearn.decomposition import TruncatedSVD

            matrix = sparse.vstack(list(parts())).tocsr()
            width = min(SPARSE_WIDTH, matrix.shape[1] - 1, matrix.shape[0] - 1)
            if not np.isfinite(matrix.data).all():
                raise InvalidInput("sparse rows hold NaN or infinite values; fill them in or drop those rows")
            with np.errstate(over="ignore"):  # in a variance that nobody reads
                # Narrower ones are taken as they are: the same numbers in an array lead to the same picks.
                wide = matrix.shape[1] > SPARSE_WIDTH and width > 0
                self._svd = TruncatedSVD(width, random_state=0).fit(matrix) if wide else None
        self._fill = _gap_values(self._dense(part) for part in parts())
        self._scale = Standardise.from_moments(*column_moments(lambda: (self._dense(part) for part in parts())))
        self._seen = key
        if plain:
            _PLAIN[rows] = (key, form, self._encodes, self._svd, self._fill, self._scale)

    def __call__(self, x: Any, rows: Rows, indices: Tensor) -> Tensor:
        """(n, D) of rows[indices], which the estimator takes as `x`."""
        if self._encodes:
            return rows.encoded(indices)
        x = self._transformed(x)
        if is_a(self._last, *_NETWORKS):
            return torch.from_numpy(_hidden(self._last, x).astype(np.float32))
        assert self._scale is not None, "look_at comes first"
        return self._scale(self._dense(x).float())

    def _transformed(self, x: Any) -> Any:
        return before_last(self._fitted, x)

    def _dense(self, x: Any) -> Tensor:
        if self._svd is not None:
            x = self._svd.transform(x)
        x = x.toarray() if sparse.issparse(x) else np.asarray(x)
        kept = x if x.dtype == np.float32 and x.flags.writeable else x.astype(np.float64)  # torch warns of the others
        made = torch.from_numpy(kept.reshape(len(x), -1))
        return made if self._fill is None else torch.where(_known(made), made.double(), self._fill)


def before_last(fitted: Any, x: Any) -> Any:
    """What the last step of a fitted pipeline sees; steps that resample (imblearn's) are for training alone."""
    if is_a(fitted, *_PIPELINE):
        for _, step in fitted.steps[:-1]:
            if step is not None and step != "passthrough" and not hasattr(step, "fit_resample"):
                try:
                    x = step.transform(x)
                except AutoALError:
                    raise
                except Exception as error:
                    raise InvalidInput(f"{type(step).__name__}.transform fails: {error}") from error
    return x


def _hidden(network: MLPClassifier | MLPRegressor, x: Any) -> NDArray[Any]:
    """(n, D) activations of the last hidden layer."""
    activation = _ACTIVATIONS[network.activation]
    for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        x = activation(np.asarray(x @ weights) + bias)
    return np.asarray(x)


def _is_matrix(x: Any) -> bool:
    """Whether it is (n, ...) numbers, dense or sparse; not a frame, whose columns may be anything."""
    if sparse.issparse(x):
        return True
    if isinstance(x, Tensor):
        return not x.is_complex()
    if hasattr(x, "dtypes") and hasattr(x, "to_numpy"):  # what set_output makes of a matrix
        x = x.to_numpy()
    return isinstance(x, np.ndarray) and x.ndim > 1 and x.dtype.kind in "biuf"


def _known(x: Tensor) -> Tensor:
    """Where numbers can be told in single precision, in which distances are measured."""
    return x.float().isfinite()


def _gap_values(parts: Iterator[Tensor]) -> Tensor | None:
    """(d,) mean of each column over its finite values, 0 where there is none; None where there are no gaps."""
    total = count = None
    gaps = False
    for part in parts:
        known = _known(part)
        gaps = gaps or not bool(known.all())
        sums, counts = torch.where(known, part.double(), 0.0).sum(0), known.sum(0)
        total, count = (sums, counts) if total is None or count is None else (total + sums, count + counts)
    if not gaps or total is None or count is None:
        return None
    return total / count.clamp_min(1)
