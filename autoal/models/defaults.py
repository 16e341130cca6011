"""The estimator for rows that are no plain numbers, where the user names no model."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin

from autoal.compute import chunks
from autoal.data.rows import Rows

__all__ = ["MANY_LABELS", "default_estimator", "suits_estimator"]

MANY_LABELS = 300
"""Labels from which on boosting is fitted to tables: its leaves hold twenty rows, and of fewer labels it makes few."""


def suits_estimator(rows: Rows) -> bool:
    """Whether the model for these rows is an estimator; arrays without gaps, pictures, and items that are or begin with
    a tensor or a picture get a network."""
    if rows.kind in ("texts", "table", "parts", "any"):
        return not (rows.kind == "any" and getattr(rows, "readable", False))
    return rows.kind == "numbers" and has_gaps(rows)


def has_gaps(rows: Rows) -> bool:
    """Whether rows of numbers hold NaN or infinite values."""
    if getattr(rows, "always_finite", False):
        return False
    known = getattr(rows, "_has_gaps", None)
    if known is None:
        parts = chunks(len(rows), 8.0 * rows.cost)
        known = any(not bool(rows.take(part).isfinite().all()) for part in parts)
        rows._has_gaps = known  # type: ignore[attr-defined]
    return bool(known)


def default_estimator(rows: Rows, num_classes: int, n_labeled: int) -> Any:
    """TF-IDF with a linear model for texts; for tables, and numbers with gaps, skrub's TableVectorizer with a linear
    model, or with boosting where there are many labels. 0 classes: a regression."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    linear = LogisticRegression(max_iter=1000) if num_classes else Ridge()
    if rows.kind == "texts":
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.preprocessing import FunctionTransformer

        strings = FunctionTransformer(plain_texts)
        strong = LogisticRegression(C=10.0, max_iter=1000) if num_classes else linear
        return make_pipeline(strings, TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), strong)
    if rows.kind == "table":
        from skrub import TableVectorizer

        if n_labeled >= MANY_LABELS:
            from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

            boosting = HistGradientBoostingClassifier if num_classes else HistGradientBoostingRegressor
            return make_pipeline(TableVectorizer(), boosting())
        return make_pipeline(_Encoded(rows), linear)
    return make_pipeline(_Encoded(rows), linear)


def plain_texts(native: Any) -> list[str]:
    """Texts of any container as a list, gaps as empty texts."""
    from autoal.encoders.containers import texts_of

    return texts_of(native, "X")


class _Encoded(TransformerMixin, BaseEstimator):
    """The rows as their encoder gives them, fitted on all of them without labels: with a handful of labels an encoder
    fitted on the labeled rows alone would hardly know a category."""

    def __init__(self, rows: Any = None) -> None:
        self.rows = rows

    def __sklearn_clone__(self) -> _Encoded:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any, y: Any = None) -> _Encoded:
        return self

    def transform(self, X: Any) -> Any:
        return self.rows.fitted_encoder().transform(X)
