"""Rows in several parts: a dict or a tuple of arrays and tensors, one row for each point in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoal.data.arrays import filled
from autoal.data.batches import as_parts
from autoal.data.faces import AS_GIVEN, EncodedRows, Faces, Index, one_length, rows_of
from autoal.data.texts import contents_fingerprint
from autoal.encoders import FittedEncoder, fit_encoder

__all__ = ["PartRows", "is_parts", "side_by_side"]


def is_parts(X: Any) -> bool:
    """Whether it is a dict, or a tuple whose members are arrays or tensors, all with a first axis of one length."""
    if isinstance(X, Mapping):
        return bool(X)
    if not isinstance(X, tuple) or not X or not all(isinstance(part, np.ndarray | Tensor) for part in X):
        return False
    return all(part.ndim > 0 for part in X) and len({len(part) for part in X}) == 1 and X[0].ndim > 1


class PartRows(EncodedRows):
    """Rows of a dict or a tuple of arrays, tensors, frames or texts; a part may hold one number a row. A network gets
    them by keyword or by position, an estimator as the dict or tuple they came in; for distances each part is encoded,
    and they stand side by side.

    Raises InvalidInput where the parts differ in length.
    """

    kind = "parts"

    def __init__(self, parts: Any, read: Callable[[Any, str], Any], what: str = "X") -> None:
        """`read(part, what)` gives the rows of one part: `as_rows`."""
        named = dict(parts) if isinstance(parts, Mapping) else dict(enumerate(parts))
        named = {name: filled(part) if isinstance(part, np.ma.MaskedArray) else part for name, part in named.items()}
        self.is_dict = isinstance(parts, Mapping)
        self.parts: dict[Any, Faces] = {name: read(_column(part), f"{what}[{name!r}]") for name, part in named.items()}
        self._given = named
        self.what = what
        self._length = one_length({str(name): len(rows) for name, rows in self.parts.items()}, what)

    def __len__(self) -> int:
        return self._length

    @property
    def notes(self) -> list[str]:
        own = super().notes
        return own + [note for rows in self.parts.values() for note in rows.notes if note not in own]

    @property
    def cost(self) -> int:
        return sum(rows.cost for rows in self.parts.values())

    def native(self, indices: Index) -> Any:
        made = {name: self._part(name, indices) for name in self.parts}
        return made if self.is_dict else tuple(made.values())

    def _part(self, name: Any, indices: Index) -> Any:
        given = self._given[name]
        if isinstance(given, Tensor) or _is_line(given):
            return rows_of(given, indices)
        return self.parts[name].native(indices)

    @property
    def net_forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, *super().net_forms)

    def net_form(self, name: str, indices: Index) -> Any:
        if name != AS_GIVEN:
            return self.take(indices)
        made = {name: _for_a_net(self._part(name, indices)) for name in self.parts}
        count = len(next(iter(made.values())))
        return as_parts(made if self.is_dict else tuple(made.values()), count)

    def fitted_encoder(self) -> FittedEncoder:
        if self.encoder is not None:
            return super().fitted_encoder()
        if self._fitted is None:
            self._fitted = side_by_side(self.native(slice(None)), self.parts)
        return self._fitted

    def fingerprint(self) -> str:
        words = [(str(name), rows.fingerprint()) for name, rows in self.parts.items()]
        return contents_fingerprint("parts", len(self), words)


def _is_line(part: Any) -> bool:
    """Whether a part holds one number a row: an array, a tensor, a Series or a list of them."""
    if isinstance(part, list):
        return bool(part) and all(isinstance(value, int | float | np.number) for value in part)
    kind = getattr(part, "dtype", None)
    if getattr(part, "ndim", 1) != 1 or kind is None or getattr(part, "shape", (0,)) == (0,):
        return False
    return isinstance(part, Tensor) or getattr(kind, "kind", "") in ("b", "i", "u", "f")


def _column(part: Any) -> Any:
    """A part as rows are read: where it holds one number a row, as a column."""
    if not _is_line(part):
        return part
    return part[:, None] if isinstance(part, Tensor) else np.asarray(part).reshape(-1, 1)


def _for_a_net(part: Any) -> Any:
    """Numbers as a tensor, floats of arrays as float32; all else as it is."""
    if _is_line(part) and not isinstance(part, Tensor):
        part = np.asarray(part)
    if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
        return torch.from_numpy(part.astype(np.float32) if part.dtype.kind == "f" else part)
    return part.detach() if isinstance(part, Tensor) else part


def side_by_side(native: Any, parts: Mapping[Any, Faces]) -> FittedEncoder:
    """The encoders of all parts of `native`, which are of the kinds of `parts`."""
    return _SideBySide(
        {
            name: fit_encoder(rows.kind, _encodable(native[name]), rows.encoder, rows.what)
            for name, rows in parts.items()
        }
    )


def _encodable(part: Any) -> Any:
    part = part.detach().cpu().numpy() if isinstance(part, Tensor) else part
    return np.asarray(_column(part)) if _is_line(part) else part


class _SideBySide:
    """Encoders of the parts, one after the other; each counts the same, whatever its number of columns."""

    def __init__(self, encoders: dict[Any, FittedEncoder]) -> None:
        self.encoders = encoders
        self.notes = [note for encoder in encoders.values() for note in encoder.notes]

    def transform(self, native: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        blocks = []
        for name, encoder in self.encoders.items():
            block = encoder.transform(_encodable(native[name]))
            blocks.append(block / np.sqrt(max(1, block.shape[1])))
        return np.concatenate(blocks, axis=1).astype(np.float32)
