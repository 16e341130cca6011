"""No rows at all, beside precomputed outputs: a count, so that positions mean something."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autoal.data.faces import Faces, Index
from autoal.errors import InvalidInput

__all__ = ["NoRows"]


class NoRows(Faces):
    """`count` rows of which only what somebody else computed is known.

    Raises InvalidInput where a model asks for the rows themselves.
    """

    kind = "nothing"
    always_finite = True
    row_shape: tuple[int, ...] = ()

    def __init__(self, count: int) -> None:
        if count == 0:
            raise InvalidInput("got X=None and empty embeddings or probs; wanted one row for each point")
        self._count = count

    def __len__(self) -> int:
        return self._count

    def native(self, indices: Index) -> Any:
        raise InvalidInput(
            "got X=None, and a model that wants the rows; wanted X, or model=None with embeddings= or probs="
        )

    def take(self, indices: Index) -> Tensor:
        return self.native(indices)

    def fingerprint(self) -> str:
        return f"nothing-{self._count}"
