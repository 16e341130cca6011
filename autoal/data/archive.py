"""Data sets as `.npz` archives: those in the folder `$AUTOAL_DATA`, and the user's own with X and y.

Keys of an archive: `X` (tabular float32, or uint8 grey images), or `jpeg` and `offsets`, or `utf8` and `offsets`;
`y`; and, some of them, `classes`, `split` (0 train, others test), `group`, `categorical` (which columns hold codes).
"""

from __future__ import annotations

import importlib
import io
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.data.cache import cached_array, content_key
from autoal.data.frames import one_hot
from autoal.data.labeled_data import LabeledData
from autoal.data.labels import class_numbers, class_table, is_missing, label_array
from autoal.data.reading import read_archive_arrays, reading
from autoal.errors import DataMissing, InvalidInput

__all__ = ["archives", "read_archive"]

TEXT_FEATURES = 256
MOST_CODES = 10_000
"""In a column of categories, or as many as there are rows."""


def archives() -> dict[str, Path]:
    """The archives in `$AUTOAL_DATA`, by `folder/name`; empty where the variable is not set."""
    root = os.environ.get("AUTOAL_DATA")
    if not root:
        return {}
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(Path(root).expanduser().glob("*/*.npz"))}


def read_archive(path: Path, name: str, encoder: str | None = None) -> LabeledData:
    """The data set in one `.npz` file, its texts by `encoder` where one is named.

    Raises InvalidInput where a key is missing or the file cannot be read, DataMissing where the encoder is not there.
    """
    content = read_archive_arrays(path)
    with reading(path, "a data set"):
        try:
            return _data_set(content, path, name, encoder)
        except InvalidInput as error:
            named = str(path) in str(error)
            raise error if named else InvalidInput(f"{str(path)!r}: {error}") from error


def _data_set(content: dict[str, NDArray[Any]], path: Path, name: str, encoder: str | None) -> LabeledData:
    if "y" not in content or not content.keys() & {"X", "jpeg", "utf8"}:
        raise InvalidInput(f"{str(path)!r} holds {sorted(content)}; wanted X and y")
    y, classes = _targets(content)
    split = content.get("split")
    for key in ("split", "group"):
        if key in content and content[key].shape != (len(y),):
            raise InvalidInput(f"{str(path)!r} holds {key} of shape {content[key].shape}; wanted ({len(y)},)")
    test = None if split is None else np.flatnonzero(split != 0)
    notes: tuple[str, ...] = ()
    if "jpeg" in content:
        X: Any = cached_array(f"{path.stem}-{content_key(path)}-pixels", lambda: _decoded(content, path))
    elif "utf8" in content:
        key = f"{path.stem}-{content_key(path)}"
        if encoder is not None:
            where = f"{key}-{encoder.replace('/', '_')}"
            X = cached_array(where, lambda: _encoded(_texts(content), encoder))
            notes = (f"text as embedded by {encoder}",)
        else:
            train = np.arange(len(y)) if split is None else np.flatnonzero(split == 0)
            X = cached_array(f"{key}-text{TEXT_FEATURES}", lambda: _text_features(_texts(content), train))
            notes = (
                f"text as TF-IDF reduced to {X.shape[1]} columns, fitted without labels on the {len(train)} training "
                "texts",
            )
    elif content["X"].dtype.kind == "f" and content["X"].ndim == 2:
        X, notes = _tabular(content["X"], content.get("categorical"))
    else:
        X = content["X"]
        if X.ndim < 2:
            raise InvalidInput(f"{str(path)!r} holds X of shape {X.shape}; wanted rows of numbers, (n, ...)")
    if len(X) != len(y):
        raise InvalidInput(f"{str(path)!r} holds {len(X)} rows and {len(y)} labels; wanted as many")
    return LabeledData(name, X, y, classes, test, content.get("group"), notes)


def _targets(content: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Class numbers and class names; or float targets and None."""
    y = label_array(content["y"])
    if "classes" in content:
        numbers, classes = y.astype(np.int64), content["classes"]
        if classes.ndim != 1 or (len(y) and not -1 <= int(numbers.max()) < len(classes)):
            raise InvalidInput(f"y goes up to {numbers.max()} and there are classes of shape {classes.shape}")
        return numbers, classes
    missing = is_missing(y)
    if y.dtype.kind == "f" and (y[~missing] != np.floor(y[~missing])).any():
        return y.astype(np.float64), None
    classes = class_table(y[~missing])
    numbers = np.full(len(y), -1, dtype=np.int64)
    numbers[~missing] = class_numbers(y[~missing], classes)
    return numbers, classes


def _tabular(X: NDArray[Any], categorical: NDArray[Any] | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Numbers with gaps filled by the column's median; coded columns one-hot, zeros where missing."""
    is_code = np.zeros(X.shape[1], dtype=bool) if categorical is None else categorical.astype(bool)
    if is_code.shape != (X.shape[1],):
        raise InvalidInput(f"got `categorical` of shape {is_code.shape} for {X.shape[1]} columns; wanted one for each")
    blocks, filled = [], 0
    for column, coded in zip(X.T, is_code, strict=True):
        gaps = np.isnan(column)
        if coded:
            codes = np.where(gaps, -1, column).astype(np.int64)
            most = max(MOST_CODES, len(column))
            if not np.isfinite(column[~gaps]).all() or codes.max(initial=0) >= most:
                raise InvalidInput(
                    f"a column of codes goes up to {np.max(column[~gaps]):g}, and each code is a column; wanted codes "
                    f"below {most:,}"
                )
            blocks.append(one_hot(codes, int(codes.max(initial=0)) + 1))
            continue
        filled += int(gaps.sum())
        median = np.median(column[~gaps]) if not gaps.all() else 0.0
        blocks.append(np.where(gaps, median, column).astype(np.float32)[:, None])
    notes = [f"{filled} missing numbers filled with the median of their column"] if filled else []
    if is_code.any():
        notes.append(f"{int(is_code.sum())} categorical columns one-hot encoded")
    return np.concatenate(blocks, axis=1), tuple(notes)


def _pieces(content: Mapping[str, NDArray[Any]], key: str) -> list[bytes]:
    data, offsets = content[key].tobytes(), content["offsets"].tolist()
    if offsets != sorted(offsets) or offsets[:1] != [0] or offsets[-1] > len(data):
        raise InvalidInput(f"offsets do not fit the {len(data)} bytes of `{key}`; wanted 0, ascending, up to these")
    return [data[start:stop] for start, stop in itertools.pairwise(offsets)]


def _decoded(content: Mapping[str, NDArray[Any]], path: Path) -> NDArray[np.uint8]:
    """(n, h, w, 3) pixels of the JPEG pictures."""
    from PIL import Image

    pictures = [np.asarray(Image.open(io.BytesIO(piece)).convert("RGB")) for piece in _pieces(content, "jpeg")]
    shapes = {picture.shape for picture in pictures}
    if len(shapes) != 1:
        raise InvalidInput(
            f"{str(path)!r} holds pictures of different sizes ({sorted(shapes)[:3]}...); wanted one size"
        )
    return np.stack(pictures)


def _texts(content: Mapping[str, NDArray[Any]]) -> list[str]:
    return [piece.decode("utf-8", errors="replace") for piece in _pieces(content, "utf8")]


def _encoded(texts: list[str], encoder: str) -> NDArray[np.float32]:
    """(n, D) sentence embeddings."""
    try:
        sentence_transformers = importlib.import_module("sentence_transformers")
    except ImportError as error:
        raise DataMissing(
            f"encoder {encoder!r} needs the package sentence-transformers; pip install sentence-transformers, or leave "
            "`encoder` out for TF-IDF"
        ) from error
    return np.asarray(sentence_transformers.SentenceTransformer(encoder).encode(texts), dtype=np.float32)


def _text_features(texts: list[str], train: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, up to 256) latent semantic features of the texts (TF-IDF, then truncated SVD); labels are not used."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2 if len(train) > 1000 else 1)
    fitted = vectorizer.fit_transform([texts[i] for i in train])
    width = max(1, min(TEXT_FEATURES, fitted.shape[1] - 1, len(train) - 1))
    svd = TruncatedSVD(width, random_state=0).fit(fitted)
    return svd.transform(vectorizer.transform(texts)).astype(np.float32)
