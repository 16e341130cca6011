"""Texts to numbers: TF-IDF of words and of runs of characters, then few principal components."""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.encoders.containers import texts_of
from autoal.encoders.reduction import Reduction
from autoal.errors import InvalidInput

__all__ = ["SPACELESS", "TextEncoder"]

MOST_COLUMNS = 128
FIT_TEXTS = 10_000
"""Vocabulary and components come from at most so many texts, drawn by a checksum: enough for 128 components."""

MOST_WORDS = 20_000
MOST_RUNS = 20_000
LONGEST = 5_000
"""Characters of a text that are read. What a text is about shows at its beginning, and time stays bounded."""

SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Characters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese."""


class TextEncoder:
    """Texts (n,) as float32 (n, D), D at most `most`, n - 1 and the size of the vocabulary.

    Words and pairs of words, and runs of 3 to 5 characters within words (1 to 3 where words are not spaced), TF-IDF
    weighted, rows of length 1, then principal components with one scale for all columns: the mean squared length
    of a row is D. Missing texts are empty. Texts that are all alike give one column of zeros, and a note.

    Raises InvalidInput for rows that are no texts, and where there are none.
    """

    def __init__(self, native: Any, most: int = MOST_COLUMNS, what: str = "X") -> None:
        self.notes: list[str] = []
        self._what = what
        texts = texts_of(native, what)
        if not texts:
            raise InvalidInput(f"got {what} without rows; wanted at least one text")
        # Sorted by their checksum, so that the order of the rows changes nothing.
        fitted = sorted(texts, key=lambda text: (zlib.crc32(text.encode("utf-8", "replace")), text))[:FIT_TEXTS]
        self._vectorizers = _vectorizers(fitted)
        self._reduction: Reduction | None = None
        if self._vectorizers:
            made = Reduction(self._weights(fitted), most)
            self._reduction = None if made.flat else made
        if self._reduction is None:
            self.notes.append(f"the texts of {what} cannot be told apart: all are empty or the same")

    def transform(self, native: Any) -> NDArray[np.float32]:
        """(n, D)."""
        texts = texts_of(native, self._what)
        if self._reduction is None or not texts:
            return np.zeros((len(texts), 1 if self._reduction is None else self._reduction.size), dtype=np.float32)
        parts = [texts[start : start + FIT_TEXTS] for start in range(0, len(texts), FIT_TEXTS)]
        return np.concatenate([self._reduction.apply(self._weights(part)) for part in parts])

    def _weights(self, texts: list[str]) -> Any:
        """Sparse (n, vocabulary), each row of length 1, or 0 where nothing in it is known."""
        from scipy import sparse
        from sklearn.preprocessing import normalize

        texts = [text[:LONGEST] for text in texts]
        blocks = [vectorizer.transform(texts) for vectorizer in self._vectorizers]
        return normalize(sparse.hstack(blocks, format="csr"), copy=False)


def _vectorizers(texts: list[str]) -> list[Any]:
    """The fitted TF-IDF of words and of runs of characters, without those that find nothing in these texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [text[:LONGEST] for text in texts]
    sample = "".join(texts[:200])
    spaceless = len(SPACELESS.findall(sample)) > 0.3 * max(1, len(sample))
    shared: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float32}
    both = [
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", max_features=MOST_WORDS, **shared),
        TfidfVectorizer(
            analyzer="char" if spaceless else "char_wb",
            ngram_range=(1, 3) if spaceless else (3, 5),
            max_features=MOST_RUNS,
            **shared,
        ),
    ]
    found = []
    for vectorizer in both:
        try:
            found.append(vectorizer.fit(texts))
        except ValueError as error:  # texts of punctuation only have no words, empty ones have nothing at all
            if "empty vocabulary" not in str(error):
                raise
    return found
