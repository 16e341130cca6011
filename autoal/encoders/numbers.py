"""Rows of numbers, ready for distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from autoal.encoders.containers import as_array
from autoal.encoders.reduction import Reduction, row_sample
from autoal.encoders.scaling import Standard
from autoal.errors import InvalidInput

__all__ = ["NumberEncoder"]

SPARSE_COLUMNS = 64
FIT_ROWS = 20_000
"""Rows of a sparse matrix that its components are computed from."""


class NumberEncoder:
    """Numbers (n, d), dense or scipy sparse, as float32 (n, D).

    Dense columns are standardised, gaps and infinities stand at the mean, and D is d. Sparse rows of more than 64
    columns become 64 principal components with one scale, for which gaps and infinities count as 0.

    Raises InvalidInput for other shapes, for what is not a real number, and where there are no rows or columns.
    """

    def __init__(self, native: Any, what: str = "X") -> None:
        self.notes: list[str] = []
        self._what = what
        rows = _checked(native, what)
        if 0 in rows.shape:
            raise InvalidInput(f"got {what} of shape {tuple(rows.shape)}; wanted at least one row and one column")
        self._columns = int(rows.shape[1])
        self._reduction: Reduction | None = None
        self._standard: Standard | None = None
        if sparse.issparse(rows) and self._columns > SPARSE_COLUMNS:
            self._reduction = Reduction(rows[row_sample(rows, FIT_ROWS)], SPARSE_COLUMNS)
            flat = self._reduction.flat
        else:
            self._standard = Standard(rows.toarray() if sparse.issparse(rows) else rows)
            flat = not self._standard.told_apart.any()
        if flat:
            self.notes.append(f"the rows of {what} cannot be told apart: every column holds one value")

    def transform(self, native: Any) -> NDArray[np.float32]:
        """(n, D). Raises InvalidInput for rows with another number of columns."""
        rows = _checked(native, self._what)
        if rows.shape[1] != self._columns:
            raise InvalidInput(
                f"got {self._what} with {rows.shape[1]} columns; wanted {self._columns}, as in the rows seen before"
            )
        if self._reduction is not None:
            return self._reduction.apply(sparse.csr_matrix(rows))
        assert self._standard is not None
        return self._standard.apply(rows.toarray() if sparse.issparse(rows) else rows)


def _checked(native: Any, what: str) -> Any:
    """An array or CSR matrix of two dimensions and real numbers."""
    if sparse.issparse(native):
        rows = native.tocsr()
    else:
        try:
            rows = as_array(native)
            if rows.dtype == object:
                rows = rows.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"got {what} that is no array of numbers ({error}); wanted (n, d) numbers") from error
    if rows.dtype.kind not in "biuf":
        raise InvalidInput(f"got {what} of dtype {rows.dtype}; wanted real numbers, e.g. {what}.astype('float32')")
    if rows.ndim != 2:
        raise InvalidInput(f"got {what} of shape {tuple(rows.shape)}; wanted one row per point, (n, d)")
    if sparse.issparse(rows):
        rows = sparse.csr_matrix(rows, dtype=np.float64)
        if not np.isfinite(rows.data).all():
            rows = rows.copy()
            rows.data[~np.isfinite(rows.data)] = 0.0
    return rows
