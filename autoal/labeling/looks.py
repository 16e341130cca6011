"""What there is to look at of a row: a picture, a text, or the cells of a table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autoal.data.sources import Pictures, picture_files
from autoal.data.texts import TextRows
from autoal.errors import DataMissing, InvalidInput, RunError, shown
from autoal.session import Session

__all__ = ["Looks", "Picture", "pictures_by_id"]

AS_THEY_ARE = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}
"""Formats that every browser shows."""
MOST_BYTES = 4 * 2**20
MOST_PIXELS = 2048
"""On a side. Larger files and pictures are sent as a preview."""
MOST_CELLS = 200
LONGEST = 100_000
"""Characters of a text or a cell."""


class Picture(NamedTuple):
    content: bytes
    media_type: str


class Looks:
    """Rows of one session as people see them. Only rows are asked for, never paths: what is not in the pool cannot be
    named."""

    def __init__(self, session: Session, about: dict[str, Any], show: str | None = None) -> None:
        self._session = session
        self._files: list[Path] | None = None
        if show is not None:
            self._files = pictures_by_id(Path(show), session.ids)
            return
        path = Path(about["path"]) if about["kind"] == "path" else None
        if path is not None and path.is_dir():
            self._files = Pictures(path).files
            if len(self._files) != about["rows"]:
                raise RunError(
                    f"{path} holds {len(self._files)} pictures, but {session.folder} was made from {about['rows']}; "
                    "put back what is missing, and move what was added elsewhere"
                )

    @property
    def kind(self) -> str:
        """picture, text or fields."""
        if self._files is not None or self._session.rows.kind == "pictures":
            return "picture"
        return "text" if isinstance(self._session.rows, TextRows) else "fields"

    def of(self, row: int) -> dict[str, Any]:
        """As JSON: `text`, or `fields`, pairs of a name and a value; empty for a picture, which is sent by itself."""
        if self.kind == "picture":
            return {}
        native = self._session.rows.native(np.asarray([row]))
        if self.kind == "text":
            value = native.iloc[0] if isinstance(native, pd.Series) else np.asarray(native, dtype=object).reshape(-1)[0]
            return {"text": value[:LONGEST] if isinstance(value, str) else ""}
        pairs = _pairs(native)
        more = len(pairs) - MOST_CELLS
        return {"fields": pairs[:MOST_CELLS] + ([["", f"and {more} more"]] if more > 0 else [])}

    def picture(self, row: int) -> Picture:
        """The file as it is, or a preview where it is huge or of a format that browsers lack; PNG of an array.

        Raises InvalidInput where it cannot be read as a picture by now.
        """
        from PIL import Image

        if self._files is None:
            return _png(_image_of(np.asarray(self._session.rows.native(np.asarray([row])))[0]))
        file = self._files[row]
        try:
            with Image.open(file) as picture:  # reads the head alone
                small = max(picture.size) <= MOST_PIXELS and file.stat().st_size <= MOST_BYTES
                if small and picture.format in AS_THEY_ARE:
                    return Picture(file.read_bytes(), AS_THEY_ARE[picture.format])
                return _preview(picture)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InvalidInput(f"{file.name!r} cannot be read as a picture ({error}); remove or convert it") from error


def pictures_by_id(folder: Path, ids: Sequence[Any]) -> list[Path]:
    """The picture of each row in a folder where they are named by the ids, with or without an ending.

    Raises DataMissing where the folder is not there, InvalidInput where a row has no picture, or two.
    """
    if not folder.is_dir():
        raise DataMissing(f"{str(folder)!r} is not there; wanted the folder of pictures to look at")
    named: dict[str, list[Path]] = {}
    for file in picture_files(folder):
        path = file.relative_to(folder)
        for name in (path.as_posix(), path.with_suffix("").as_posix()):
            named.setdefault(name, []).append(file)
    missing = [id for id in ids if str(id) not in named]
    if missing:
        raise InvalidInput(
            f"{str(folder)!r} has no picture for {len(missing)} of {len(ids)} rows, {shown(missing[0])} the first; "
            "wanted one for each, named by its id, as ID.png"
        )
    twice = [id for id in ids if len(named[str(id)]) > 1]
    if twice:
        raise InvalidInput(f"{str(folder)!r} has more than one picture for {shown(twice[0])}; wanted one for each row")
    return [named[str(id)][0] for id in ids]


def _preview(picture: Any) -> Picture:
    from PIL import Image, ImageOps

    picture.draft("RGB", (MOST_PIXELS, MOST_PIXELS))  # JPEG decodes to a fraction of its size at once
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;"):  # 16 bits and more: the range that is there
        upright = _image_of(np.asarray(upright).astype(np.float64))
    upright.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.LANCZOS)
    if upright.mode in ("RGBA", "LA", "P", "1"):
        return _png(upright)
    made = io.BytesIO()
    upright.convert("RGB").save(made, "JPEG", quality=88)
    return Picture(made.getvalue(), "image/jpeg")


def _png(image: Any) -> Picture:
    made = io.BytesIO()
    image.save(made, "PNG")
    return Picture(made.getvalue(), "image/png")


def _image_of(values: np.ndarray[Any, Any]) -> Any:
    """(h, w), (h, w, c) or (c, h, w) as an image: bytes as they are, numbers from 0 to 1 as such, others stretched."""
    from PIL import Image

    if values.ndim == 3 and values.shape[0] in (1, 3, 4) and values.shape[2] not in (1, 3, 4):
        values = np.moveaxis(values, 0, 2)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.dtype != np.uint8:
        shown = np.nan_to_num(values.astype(np.float64))
        low, high = (0.0, 1.0) if shown.min() >= 0 and 0 < shown.max() <= 1 else (shown.min(), shown.max())
        values = ((shown - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(values))


def _pairs(native: Any) -> list[list[str]]:
    """Names and values of one row."""
    if hasattr(native, "columns"):
        names = [str(name) for name in native.columns]
        values = list(native.iloc[0]) if isinstance(native, pd.DataFrame) else list(native.row(0))
    elif isinstance(native, dict):
        names, values = [str(name) for name in native], [part[0] for part in native.values()]
    else:
        plain = native.toarray() if hasattr(native, "toarray") else native
        first = plain[0]
        if isinstance(first, dict):
            names, values = [str(name) for name in first], list(first.values())
        else:
            values = list(np.asarray(first, dtype=object).reshape(-1)[: MOST_CELLS + 1])
            names = [f"x{place}" for place in range(len(values))]
    return [[name, _cell(value)] for name, value in zip(names, values, strict=True)]


def _cell(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    return (f"{value:.10g}" if isinstance(value, float) else str(value))[:LONGEST]
