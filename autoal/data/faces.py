"""What rows of every kind share: the container they came in, and the numbers that stand for them in distances."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoal.encoders import FittedEncoder, fit_encoder
from autoal.errors import InvalidInput

__all__ = [
    "AS_GIVEN",
    "ENCODED",
    "FIRST",
    "NUMBERS",
    "EncodedRows",
    "Faces",
    "Index",
    "one_length",
    "row_selector",
    "rows_of",
]

Index = Tensor | slice | NDArray[np.int64]
"""What `take` and `native` accept: row numbers (n,), or a slice."""

AS_GIVEN = "as they were given"
"""The first form in which rows are handed to an estimator, always."""
FIRST = "of each item the first part alone"
"""Where items have several parts and the model takes one."""
NUMBERS = "them as float32 numbers"
"""What a network gets where it refuses rows as they were given."""
ENCODED = "numbers that an encoder made of them"
"""What `take` gives of rows that are no numbers."""


def row_selector(indices: Index) -> slice | NDArray[np.int64]:
    """`indices` as something numpy can index with."""
    if isinstance(indices, slice):
        return indices
    if isinstance(indices, Tensor):
        indices = indices.detach().cpu().numpy()
    return np.asarray(indices, dtype=np.int64)


def rows_of(container: Any, indices: Index) -> Any:
    """The asked rows of an array, a tensor, a frame, a Series, a list or a tuple, in a container of its kind (of a
    tuple, where they are not a slice, a list)."""
    chosen = row_selector(indices)
    if hasattr(container, "iloc"):
        return container.iloc[chosen]
    if isinstance(container, Tensor):
        return container[chosen if isinstance(chosen, slice) else torch.from_numpy(chosen)]
    if isinstance(container, np.ndarray):
        return np.array(container[chosen], copy=True)
    if isinstance(container, list | tuple) and not isinstance(chosen, slice):
        return [container[place] for place in chosen.tolist()]
    return container[chosen]


class Faces:
    """Rows have three faces: `native`, in the user's own container, for the user's model; `encoded`, numbers (n, D) for
    distances, made only when something asks for them; and what a fitted model makes of them, which the model gives.

    `forms` names the containers in which an estimator may get the rows: as they were given, and, should it refuse
    those, the others in turn.
    """

    kind = "numbers"
    """What the rows are: numbers, pictures, table, texts, or any."""
    what = "X"
    encoder: Any = None
    """The user's encoder; None for the one that suits the rows."""
    _fitted: FittedEncoder | None = None
    _matrix: Tensor | None = None
    """The encoded face of all rows, where it is kept."""

    def __len__(self) -> int:
        raise NotImplementedError  # of the classes below

    def native(self, indices: Index) -> Any:
        """The asked rows in the container they came in."""
        raise NotImplementedError

    @property
    def notes(self) -> list[str]:
        """What was inferred from the rows so far, one sentence each."""
        return [] if self._fitted is None else list(self._fitted.notes)

    @property
    def sources(self) -> list[Any]:
        """The rows as the user counts them: these alone, or those that were put one after the other."""
        return [self]

    @property
    def cost(self) -> int:
        """Numbers in a row, roughly: only sizes of chunks depend on it."""
        return 256

    @property
    def forms(self) -> tuple[str, ...]:
        return (AS_GIVEN,)

    def form(self, name: str, indices: Index) -> Any:
        """The asked rows in the form called `name`, of `forms`."""
        return self.native(indices)

    @property
    def net_forms(self) -> tuple[str, ...]:
        """The same for a network: the last is always `take`, tensors of numbers."""
        return (NUMBERS,)

    def net_form(self, name: str, indices: Index) -> Any:
        """The asked rows in the form called `name`, of `net_forms`: a tensor, or the parts that `forward` takes."""
        return self.take(indices)

    def fingerprint(self) -> str:
        """Cheap hash of the rows, equal for equal contents."""
        raise NotImplementedError

    row_shape: Any = ()
    """Shape of one row of `take`."""
    taken_as: str = ""
    """What `take` gives, in words, where it is not the rows as numbers."""

    def take(self, indices: Index) -> Tensor:
        """float32 (n, *row_shape) on the CPU, the caller's own copy."""
        raise NotImplementedError

    def encoded(self, indices: Index) -> Tensor:
        """(n, D) float32, finite, for distances."""
        return torch.from_numpy(np.asarray(self.fitted_encoder().transform(self.native(indices)), dtype=np.float32))

    def fitted_encoder(self) -> FittedEncoder:
        """The encoder, fitted on all rows, without labels, when first asked for. Raises InvalidInput where there is
        none for rows of this kind, or they cannot be told apart."""
        if self._fitted is None:
            self._fitted = fit_encoder(self.kind, self.native(slice(None)), self.encoder, self.what)
        return self._fitted

    def use(self, encoder: Any) -> None:
        """Takes the user's encoder; None leaves what there is."""
        if encoder is not None and encoder is not self.encoder:
            self.encoder, self._fitted, self._matrix = encoder, None, None

    def encode_as(self, other: Faces) -> None:
        """From now on these rows are encoded as those of `other` are, so that distances between both mean something."""
        self.encoder, self._fitted = other.encoder, None
        self._fitted = copy.copy(other.fitted_encoder())


class EncodedRows(Faces):
    """Rows that are no numbers by themselves: `take` gives their encoded face, made once for all of them."""

    always_finite = True  # gaps are for the user's model to take or refuse; encoders fill them
    taken_as = ENCODED

    @property
    def row_shape(self) -> tuple[int, ...]:
        """(D,) of the encoded face."""
        return (int(self.take(slice(0, 1)).shape[1]),)

    def take(self, indices: Index) -> Tensor:
        """float32 (n, D), the encoded face, the caller's own copy."""
        if self._matrix is None:
            self._matrix = super().encoded(slice(None))
        index = indices if isinstance(indices, slice) else torch.as_tensor(indices, dtype=torch.int64)
        return self._matrix[index].clone()

    def encoded(self, indices: Index) -> Tensor:
        return self.take(indices)

    def use(self, encoder: Any) -> None:
        """Takes the user's encoder; None leaves what there is."""
        if encoder is not None and encoder is not self.encoder:
            self.encoder, self._fitted, self._matrix = encoder, None, None

    def encode_as(self, other: Faces) -> None:
        super().encode_as(other)
        self._matrix = None


def one_length(lengths: dict[str, int], what: str) -> int:
    """The length that all parts have. Raises InvalidInput where they differ."""
    if len(set(lengths.values())) != 1:
        raise InvalidInput(f"parts of {what} differ in length: {lengths}; wanted one row for each point in each")
    return next(iter(lengths.values()))
