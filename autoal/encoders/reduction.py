"""Many columns to few: principal components, the same whatever the order of the rows."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from autoal.rng import numpy_rng

__all__ = ["Reduction", "row_sample"]

EXACT_ROWS = 1000
"""Up to here all products of two rows are cheap, and the components exact."""

ITERATIONS = 3
"""Power iterations of the randomised decomposition above that; more changes the leading components very little."""

CHUNK_ROWS = 4096
FARTHEST = 1e30
"""Where a reduced value ends, so that rows that come later stay finite in float32."""

NEGLIGIBLE = 1e-6
"""Share of the largest squared singular value below which a component is rounding noise of float32."""

ROUNDING = 2e-14
"""Squared rounding error of float32, relative to the squared length of the mean row: equal rows differ by so much."""


def row_sample(rows: Any, most: int) -> NDArray[np.int64]:
    """At most `most` row numbers of a dense or sparse (n, d) matrix, in an order that the contents decide.

    The rows are ordered by a checksum, which is as good as chance, so another order of the same rows gives the
    same sample in the same order.
    """
    if sparse.issparse(rows):
        mixed = np.asarray(rows @ numpy_rng(0, "encoders", "row_sample").standard_normal(rows.shape[1]))
        rows = mixed.astype(np.float64)[:, None]
    keys = np.array([zlib.crc32(np.ascontiguousarray(row).tobytes()) for row in rows], dtype=np.uint32)
    return np.argsort(keys, kind="stable")[:most].astype(np.int64)


class Reduction:
    """Principal components of a dense or sparse matrix (n, d) that is finite: (rows - mean) @ components / scale.

    With `unit=True` one scale for all columns makes the mean squared length of a row equal to their number; else
    lengths stay as they are. `size` is the number of columns, at least 1; rows without any difference give zeros.
    """

    def __init__(self, matrix: Any, most: int, unit: bool = True) -> None:
        n, d = matrix.shape
        if sparse.issparse(matrix):
            matrix = sparse.csr_matrix(matrix)  # sparse arrays and matrices multiply alike only with `@`
        mean = np.asarray(matrix.mean(axis=0), dtype=np.float64).ravel()
        wanted = max(1, min(most, n - 1, d))
        components, power = _exact(matrix, mean, wanted) if n <= EXACT_ROWS else _randomised(matrix, mean, wanted)
        self.components = components
        self.offset = (mean @ components.astype(np.float64)).astype(np.float64)
        self.size = int(components.shape[1])
        self.flat = not power > 0
        self.scale = float(np.sqrt(power / self.size)) if unit and not self.flat else 1.0

    def apply(self, matrix: Any) -> NDArray[np.float32]:
        """(n, size)."""
        made = np.zeros((matrix.shape[0], self.size), dtype=np.float32)
        components = self.components.astype(np.float64)  # so that no sum of float32 rows can overflow
        for start in range(0, matrix.shape[0], CHUNK_ROWS):
            product = np.asarray(matrix[start : start + CHUNK_ROWS] @ components, dtype=np.float64)
            made[start : start + CHUNK_ROWS] = np.clip((product - self.offset) / self.scale, -FARTHEST, FARTHEST)
        return made


def _exact(matrix: Any, mean: NDArray[np.float64], wanted: int) -> tuple[NDArray[np.float32], float]:
    """Components (d, k), and the mean squared length of the reduced rows, from the products of all pairs of rows."""
    from scipy.linalg import eigh

    n = matrix.shape[0]
    if sparse.issparse(matrix):
        products = (matrix @ matrix.T).toarray().astype(np.float64)
        centre = np.eye(n) - 1.0 / n
        products = centre @ products @ centre
    else:
        centred = matrix - mean.astype(matrix.dtype)
        products = np.asarray(centred @ centred.T, dtype=np.float64)
    values, vectors = eigh(products, subset_by_index=[n - wanted, n - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    keep = values > max(NEGLIGIBLE * values[0], n * ROUNDING * float(np.square(mean).sum()), 1e-30)
    if not keep.any():
        return np.zeros((matrix.shape[1], 1), dtype=np.float32), 0.0
    values, vectors = values[keep], vectors[:, keep]
    # The columns of `vectors` sum to zero, so the rows need not be centred again here.
    components = np.asarray(matrix.T @ (vectors / np.sqrt(values)), dtype=np.float64)
    components -= np.outer(mean, (vectors / np.sqrt(values)).sum(axis=0))
    return _signed(components), float(values.sum()) / n


def _randomised(matrix: Any, mean: NDArray[np.float64], wanted: int) -> tuple[NDArray[np.float32], float]:
    """As `_exact`. Sparse rows are not centred before, which would fill them: their mean costs one component."""
    from sklearn.utils.extmath import randomized_svd

    dense = not sparse.issparse(matrix)
    rows = matrix - mean.astype(matrix.dtype) if dense else matrix
    wanted = min(wanted, min(rows.shape))
    right = randomized_svd(rows, wanted, n_iter=ITERATIONS, power_iteration_normalizer="QR", random_state=0)[2]
    components = _signed(np.asarray(right, dtype=np.float64).T)
    made = np.asarray(matrix @ components, dtype=np.float64)
    made -= made.mean(axis=0)
    power = float(np.square(made).sum(axis=1).mean())
    if power <= max(ROUNDING * float(np.square(mean).sum()), 1e-30):
        return np.zeros((matrix.shape[1], 1), dtype=np.float32), 0.0
    return components, power


def _signed(components: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each column with its largest entry positive: a decomposition leaves the sign open."""
    largest = components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])]
    return (components * np.where(largest < 0, -1.0, 1.0)).astype(np.float32)
