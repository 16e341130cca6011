"""Rows in several parts: a dict or a tuple of arrays and tensors, one row for each point in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoal.data.faces import AS_GIVEN, EncodedRows, Index, one_length, row_selector
from autoal.data.texts import contents_fingerprint
from autoal.encoders import FittedEncoder

__all__ = ["PartRows", "Parts", "is_parts"]


class Parts:
    """What a network's `forward` takes besides one tensor: by position, or by keyword. Every part has n rows."""

    def __init__(self, values: tuple[Any, ...] | dict[str, Any], count: int) -> None:
        self.values, self.count = values, count

    def __len__(self) -> int:
        return self.count

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count,)

    def to(self, where: Any) -> Parts:
        """The parts on a device; a dtype changes nothing, since they go through as they are."""
        if not isinstance(where, torch.device):
            return self
        return Parts(_moved(self.values, where), self.count)

    def call(self, function: Any) -> Any:
        """function(*parts) or function(**parts)."""
        return function(**self.values) if isinstance(self.values, dict) else function(*self.values)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _moved(part, device) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(part, device) for part in value)
    return value


def is_parts(X: Any) -> bool:
    """Whether it is a dict, or a tuple whose members are arrays or tensors, all with a first axis of one length."""
    if isinstance(X, Mapping):
        return bool(X)
    if not isinstance(X, tuple) or not X or not all(isinstance(part, np.ndarray | Tensor) for part in X):
        return False
    return all(part.ndim > 0 for part in X) and len({len(part) for part in X}) == 1 and X[0].ndim > 1


class PartRows(EncodedRows):
    """Rows of a dict or a tuple of arrays, tensors, frames or texts. A network gets them by keyword or by position, an
    estimator as the dict or tuple they came in; for distances each part is encoded, and they stand side by side.

    Raises InvalidInput where the parts differ in length.
    """

    kind = "parts"

    def __init__(self, parts: Any, read: Callable[[Any, str], Any], what: str = "X") -> None:
        """`read(part, what)` gives the rows of one part: `as_rows`."""
        named = dict(parts) if isinstance(parts, Mapping) else dict(enumerate(parts))
        self.is_dict = isinstance(parts, Mapping)
        self.parts = {name: read(part, f"{what}[{name!r}]") for name, part in named.items()}
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
        if isinstance(given, Tensor):
            chosen = row_selector(indices)
            return given[chosen if isinstance(chosen, slice) else torch.from_numpy(chosen)]
        return self.parts[name].native(indices)

    @property
    def net_forms(self) -> tuple[str, ...]:
        return (AS_GIVEN, *super().net_forms)

    def net_form(self, name: str, indices: Index) -> Any:
        if name != AS_GIVEN:
            return self.take(indices)
        made: dict[Any, Any] = {}
        for part in self.parts:
            value = self._part(part, indices)
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
                value = torch.from_numpy(value.astype(np.float32) if value.dtype.kind == "f" else value)
            made[part] = value.detach() if isinstance(value, Tensor) else value
        count = len(next(iter(made.values())))
        return Parts({str(k): v for k, v in made.items()} if self.is_dict else tuple(made.values()), count)

    def fitted_encoder(self) -> FittedEncoder:
        if self.encoder is not None:
            return super().fitted_encoder()
        if self._fitted is None:
            self._fitted = _SideBySide({name: rows.fitted_encoder() for name, rows in self.parts.items()})
        return self._fitted

    def fingerprint(self) -> str:
        words = [(str(name), rows.fingerprint()) for name, rows in self.parts.items()]
        return contents_fingerprint("parts", len(self), words)


class _SideBySide:
    """Encoders of the parts, one after the other; each counts the same, whatever its number of columns."""

    def __init__(self, encoders: dict[Any, FittedEncoder]) -> None:
        self.encoders = encoders
        self.notes = [note for encoder in encoders.values() for note in encoder.notes]

    def transform(self, native: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        blocks = []
        for name, encoder in self.encoders.items():
            part = native[name]
            block = encoder.transform(part.detach().cpu().numpy() if isinstance(part, Tensor) else part)
            blocks.append(block / np.sqrt(max(1, block.shape[1])))
        return np.concatenate(blocks, axis=1).astype(np.float32)
