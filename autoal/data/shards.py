"""A pool in parts that are read one at a time, so that its size is bounded by the disk and not by memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoal.data.rows import Rows, as_rows
from autoal.errors import InvalidInput, shown

__all__ = ["ENGINES", "Shard", "Shards"]

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Shard:
    """Rows `start` to `stop` of one source; row 0 of them is row `offset` of the whole pool."""

    source: Any
    start: int
    stop: int
    offset: int

    def __len__(self) -> int:
        return self.stop - self.start

    def open(self) -> Rows:
        """The rows: read, or mapped, now."""
        if isinstance(self.source, Path) and self.source.suffix != ".npy":
            rows = as_rows(self.source)
            _same_length(rows, self.stop, self.source)
            return rows
        array = _array(self.source)
        _same_length(array, self.stop, self.source, at_least=True)
        return as_rows(array[self.start : self.stop])


class Shards:
    """A pool as a list of `parts`, in this order: paths of `.npy` files, tables (.parquet, .csv), folders of pictures,
    or arrays and DataFrames. Row numbers run on from one to the next.

    A `.npy` file or an array is cut into shards of `shard_rows` rows; any other part is a shard, read whole. Shards
    depend on the parts alone, never on who works on them, and so does the answer.

    `engine="local"` reads them in this process, or in `workers` of its children. `engine="ray"` makes a task of each,
    in the cluster of `ray.init()`, in which paths must mean the same files on every machine; extra `[ray]`.

    >>> import numpy as np
    >>> pool = Shards([np.zeros((700, 3)), np.ones((300, 3))], shard_rows=400)
    >>> len(pool), [len(shard) for shard in pool.shards]
    (1000, [400, 300, 300])

    Raises InvalidInput for parts that hold nothing or cannot be one pool, DataMissing for paths that are not there.
    """

    def __init__(
        self,
        parts: Sequence[Any],
        *,
        shard_rows: int = 250_000,
        engine: Literal["local", "ray"] = "local",
        workers: int = 1,
    ) -> None:
        if isinstance(parts, (str, Path)) or not isinstance(parts, Sequence) or not len(parts):
            raise InvalidInput(f"got parts={shown(parts)}; wanted a list of paths or arrays, one at least")
        if engine not in ENGINES:
            raise InvalidInput(f"got engine={engine!r}; wanted 'local' or 'ray'")
        for name, value in (("shard_rows", shard_rows), ("workers", workers)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInput(f"got {name}={shown(value)}; wanted an integer, 1 or more")
        self.engine, self.workers = engine, workers
        self.shards: list[Shard] = []
        offset = 0
        for number, part in enumerate(parts):
            source = Path(part).expanduser().absolute() if isinstance(part, (str, Path)) else part
            length, step = _length(source, f"parts[{number}]"), shard_rows
            if isinstance(source, Path) and source.suffix != ".npy":
                step = max(1, length)
            for start in range(0, length, step):
                stop = min(length, start + step)
                self.shards.append(Shard(source, start, stop, offset + start))
            offset += length
        if not offset:
            raise InvalidInput("the parts hold no row; wanted some")
        self._length = offset

    def __len__(self) -> int:
        return self._length

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(S,) first row of each shard."""
        return np.asarray([shard.offset for shard in self.shards], dtype=np.int64)

    def take(self, indices: NDArray[np.int64]) -> Any:
        """The rows at these numbers, in their order and in the container they came in; each shard is read once."""
        indices = np.asarray(indices, dtype=np.int64)
        owner = np.searchsorted(self.offsets, indices, side="right") - 1
        order = np.argsort(owner, kind="stable")
        parts = []
        for number in np.unique(owner).tolist():
            shard = self.shards[number]
            inside = indices[owner == number] - shard.offset
            parts.append(shard.open().native(torch.from_numpy(inside)))
        return _rearranged(_joined(parts), np.argsort(order))


def _length(source: Any, what: str) -> int:
    if isinstance(source, Path) and source.suffix == ".parquet" and source.is_file():
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile

        try:
            return int(ParquetFile(source).metadata.num_rows)
        except (ArrowInvalid, OSError) as error:
            raise InvalidInput(f"{what}={str(source)!r} cannot be read as parquet ({error})") from error
    if isinstance(source, Path) and source.suffix != ".npy":
        return len(as_rows(source, what))
    return len(_array(source, what))


def _array(source: Any, what: str = "X") -> Any:
    """What can be cut by rows: a mapped file, an array, a tensor, or a frame."""
    if isinstance(source, Path):
        from autoal.data.sources import read_rows

        return read_rows(source, what)
    if not isinstance(source, (np.ndarray, Tensor, pd.DataFrame)) or getattr(source, "ndim", 2) < 1:
        raise InvalidInput(f"got {what} of type {type(source).__name__}; wanted a path, an array or a pandas DataFrame")
    return source


def _same_length(rows: Any, wanted: int, source: Any, at_least: bool = False) -> None:
    if len(rows) != wanted and not (at_least and len(rows) > wanted):
        where = repr(str(source)) if isinstance(source, Path) else "a part"
        raise InvalidInput(f"{where} has {len(rows)} rows and had {wanted} when the pool was made; make Shards anew")


def _joined(parts: list[Any]) -> Any:
    """Containers of one kind, one after the other."""
    kinds = sorted({type(part).__name__ for part in parts})
    if len(kinds) > 1:
        raise InvalidInput(f"parts of the pool hold rows of {' and '.join(kinds)}; wanted the same in all")
    first = parts[0]
    if isinstance(first, pd.DataFrame | pd.Series):
        if isinstance(first, pd.DataFrame):
            columns = [list(part.columns) for part in parts]
            other = next((there for there in columns if there != columns[0]), None)
            if other is not None:
                raise InvalidInput(f"parts of the pool have columns {columns[0][:5]}... and {other[:5]}...")
        return pd.concat(parts, ignore_index=True)
    if isinstance(first, np.ndarray | Tensor):
        shapes = sorted({tuple(part.shape[1:]) for part in parts})
        if len(shapes) > 1:
            raise InvalidInput(f"parts of the pool have rows of shape {shapes[0]} and {shapes[1]}; wanted one shape")
        return np.concatenate(parts) if isinstance(first, np.ndarray) else torch.cat(parts)
    return [row for part in parts for row in part]


def _rearranged(rows: Any, order: NDArray[np.int64]) -> Any:
    if isinstance(rows, pd.DataFrame | pd.Series):
        return rows.iloc[order].reset_index(drop=True)
    return [rows[place] for place in order.tolist()] if isinstance(rows, list) else rows[order]
