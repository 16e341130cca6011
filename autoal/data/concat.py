"""Rows of two containers of one kind, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from autoal.data.arrays import fingerprint
from autoal.data.batches import Parts
from autoal.data.faces import ENCODED, NUMBERS, Faces, Index, row_selector
from autoal.data.frames import FrameRows
from autoal.data.parts import PartRows, side_by_side
from autoal.data.texts import contents_fingerprint
from autoal.encoders import FittedEncoder, fit_encoder
from autoal.errors import InvalidInput

__all__ = ["ConcatRows"]


class ConcatRows(Faces):
    """The rows of `first`, then those of `second`; both must be of one kind, and have the same columns."""

    def __init__(self, first: Any, second: Any, what: tuple[str, str] = ("X", "X_pool")) -> None:
        if first.kind != second.kind:
            raise InvalidInput(f"{what[0]} holds {first.kind}, {what[1]} {second.kind}; wanted the same in both")
        if isinstance(first, FrameRows) != isinstance(second, FrameRows):
            raise InvalidInput(f"one of {what[0]} and {what[1]} is a DataFrame, the other none; wanted two alike")
        if isinstance(first, FrameRows) and isinstance(second, FrameRows):
            if first.is_pandas != second.is_pandas:
                raise InvalidInput(f"{what[0]} and {what[1]} are of pandas and polars, one each; wanted two alike")
            if first.columns != second.columns:
                raise InvalidInput(
                    f"columns of {what[0]} ({first.columns[:5]}...) and {what[1]} ({second.columns[:5]}...) differ; "
                    "wanted the same in both"
                )
        elif isinstance(first, PartRows) and isinstance(second, PartRows):
            if first.is_dict != second.is_dict or list(first.parts) != list(second.parts):
                raise InvalidInput(
                    f"{what[0]} has the parts {list(first.parts)}, {what[1]} {list(second.parts)}; wanted the same in "
                    "both, in one order"
                )
        elif getattr(first, "is_sparse", False) != getattr(second, "is_sparse", False):
            raise InvalidInput(f"one of {what[0]} and {what[1]} is a sparse matrix, the other dense; wanted two alike")
        elif self._are_numbers(first, second) and tuple(first.row_shape) != tuple(second.row_shape):
            raise InvalidInput(
                f"rows of {what[0]} have shape {tuple(first.row_shape)}, rows of {what[1]} {tuple(second.row_shape)}; "
                "wanted the same columns in both"
            )
        self.first, self.second, self.kind, self.what = first, second, first.kind, f"{what[0]} and {what[1]}"
        self.always_finite = all(getattr(part, "always_finite", False) for part in (first, second))

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    @staticmethod
    def _are_numbers(first: Any, second: Any) -> bool:
        """Whether `take` gives the numbers of both, and not an encoded face."""
        return all(rows.taken_as != ENCODED and getattr(rows, "readable", True) for rows in (first, second))

    @property
    def taken_as(self) -> str:  # type: ignore[override]
        if not self._are_numbers(self.first, self.second):
            return ENCODED
        return str(self.first.taken_as or self.second.taken_as)

    @property
    def readable(self) -> bool:
        return self.taken_as != ENCODED

    @property
    def row_shape(self) -> tuple[int, ...]:
        return tuple(self.first.row_shape) if self.readable else (int(self.take(slice(0, 1)).shape[1]),)

    @property
    def cost(self) -> int:
        return int(self.first.cost)

    @property
    def sources(self) -> list[Any]:
        return [self.first, self.second]

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys([*super().notes, *self.first.notes, *self.second.notes]))

    def take(self, indices: Index) -> Tensor:
        numbers = self._numbers(indices)
        if not self.readable:
            if self._matrix is None:
                self._matrix = self._encoded(slice(None))
            return self._matrix[torch.from_numpy(numbers)]
        late = numbers >= len(self.first)
        out = torch.empty(len(numbers), *self.row_shape)
        mask = torch.from_numpy(late)
        if not late.all():
            out[~mask] = self.first.take(numbers[~late])
        if late.any():
            out[mask] = self.second.take(numbers[late] - len(self.first))
        return out

    def encoded(self, indices: Index) -> Tensor:
        return self._encoded(indices) if self.readable else self.take(indices)

    def _encoded(self, indices: Index) -> Tensor:
        # Containers may hold channels in different places, and items in lists; what `take` gives is the same in both.
        taken = self.encoder is None and self.readable and self.kind in ("pictures", "any")
        rows = self.take(indices).numpy() if taken else self.native(indices)
        return torch.from_numpy(np.asarray(self.fitted_encoder().transform(rows), dtype=np.float32))

    def fitted_encoder(self) -> FittedEncoder:
        if self._fitted is None and self.encoder is None:
            if isinstance(self.first, PartRows):
                self._fitted = side_by_side(self.native(slice(None)), self.first.parts)
            elif self.kind in ("pictures", "any") and self.readable:
                kind = "pictures" if len(self.row_shape) > 1 else "numbers"
                self._fitted = fit_encoder(kind, self.take(slice(None)).numpy(), None, self.what)
        return super().fitted_encoder()

    def native(self, indices: Index) -> Any:
        return self._joined(lambda rows, part: rows.native(part), indices)

    @property
    def forms(self) -> tuple[str, ...]:
        return tuple(name for name in self.first.forms if name in self.second.forms)

    def form(self, name: str, indices: Index) -> Any:
        return self._joined(lambda rows, part: rows.form(name, part), indices)

    @property
    def net_forms(self) -> tuple[str, ...]:
        return tuple(name for name in self.first.net_forms if name in self.second.net_forms)

    def net_form(self, name: str, indices: Index) -> Any:
        if name == NUMBERS:
            return self.take(indices)
        return self._joined(lambda rows, part: rows.net_form(name, part), indices)

    def fingerprint(self) -> str:
        if self.readable and self.kind != "table":
            return fingerprint(self)
        return contents_fingerprint(self.kind, len(self), [rows.fingerprint() for rows in (self.first, self.second)])

    def _joined(self, read: Any, indices: Index) -> Any:
        numbers = self._numbers(indices)
        late = numbers >= len(self.first)
        if not late.any():
            return read(self.first, numbers)
        if late.all():
            return read(self.second, numbers - len(self.first))
        parts = [read(self.first, numbers[~late]), read(self.second, numbers[late] - len(self.first))]
        back = np.argsort(np.concatenate([np.flatnonzero(~late), np.flatnonzero(late)]))
        return _in_order(parts, back, self.what)

    def _numbers(self, indices: Index) -> np.ndarray[Any, np.dtype[np.int64]]:
        selector = row_selector(indices)
        return np.arange(len(self))[selector] if isinstance(selector, slice) else selector


def _in_order(parts: list[Any], back: np.ndarray[Any, np.dtype[np.int64]], what: str) -> Any:
    """The rows of both containers, in the asked order, in a container of their kind."""
    first, second = parts
    if any(sparse.issparse(part) for part in parts):
        return sparse.vstack(parts).tocsr()[back].asformat(first.format)
    if isinstance(first, pd.DataFrame | pd.Series) and isinstance(second, type(first)):
        return pd.concat(parts, ignore_index=True).iloc[back]
    if isinstance(first, Tensor):
        return torch.cat(parts)[torch.from_numpy(back)]
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.concatenate(parts)[back]
    if isinstance(first, list) or isinstance(second, list):
        both = [*first, *second]
        return [both[place] for place in back.tolist()]
    if isinstance(first, Parts) and isinstance(second, Parts):
        return Parts(_in_order([first.values, second.values], back, what), len(first) + len(second))
    if isinstance(first, dict):
        return {name: _in_order([first[name], second[name]], back, what) for name in first}
    if isinstance(first, tuple):
        return tuple(_in_order(list(pair), back, what) for pair in zip(first, second, strict=True))
    if hasattr(first, "vstack") or hasattr(first, "append"):  # polars: a frame or a Series
        both = first.vstack(second) if hasattr(first, "vstack") else first.clone().append(second)
        return both[back]
    if isinstance(first, pd.Series | np.ndarray):
        return _in_order([list(first), list(second)], back, what)
    raise InvalidInput(
        f"got {what} as {type(first).__name__} and {type(second).__name__}; wanted both in one kind of container"
    )
