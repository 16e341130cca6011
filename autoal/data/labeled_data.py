"""A data set with all its labels, as benchmarks and examples use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabeledData"]


@dataclass(frozen=True, eq=False)
class LabeledData:
    """A data set with its labels. `X` is anything `as_rows` accepts."""

    name: str
    X: Any
    """n rows of inputs."""
    y: NDArray[Any]
    """(n,) int64 class numbers, -1 where the source has no label; (n,) float64 targets of a regression set."""
    classes: NDArray[Any] | None
    """(C,) name of each class; None for a regression set."""
    test_index: NDArray[np.int64] | None = None
    """Rows the source keeps for testing, or None where it leaves the split to the user."""
    group: NDArray[Any] | None = None
    """(n,) rows with equal values belong on the same side of a split; None where rows are independent."""
    notes: tuple[str, ...] = field(default=())
    """What was done to the data on loading."""

    def __len__(self) -> int:
        return len(self.y)
