"""Members of a scikit-learn ensemble as samples of a posterior: member k is one function of the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoal.lazy import is_a

__all__ = ["can_sample", "member_means", "member_probabilities"]

_HOME = "sklearn.ensemble"
_CLASSIFIERS = ("RandomForestClassifier", "ExtraTreesClassifier", "BaggingClassifier", "VotingClassifier")
_REGRESSORS = ("RandomForestRegressor", "ExtraTreesRegressor", "BaggingRegressor", "VotingRegressor")


def can_sample(estimator: Any) -> bool:
    """Whether the estimator, fitted or not, is an ensemble of regressors, or of classifiers with `predict_proba`.

    Boosting is not: its members correct each other and are no draws from one distribution.
    """
    if is_a(estimator, _HOME, *_REGRESSORS):
        return True
    if not is_a(estimator, _HOME, *_CLASSIFIERS):
        return False
    if is_a(estimator, _HOME, "VotingClassifier"):
        return all(member == "drop" or hasattr(member, "predict_proba") for _, member in estimator.estimators)
    if is_a(estimator, _HOME, "BaggingClassifier"):
        return estimator.estimator is None or hasattr(estimator.estimator, "predict_proba")
    return True


def member_probabilities(ensemble: Any, x: Any, most: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """(n, c) probabilities of each of the first `most` members, and the place of each column in the classes.

    Members are fitted on such places, a bagged member perhaps on some of the classes and some of the columns only.
    """
    columns = getattr(ensemble, "estimators_features_", None)
    for number, member in enumerate(ensemble.estimators_[:most]):
        seen = x if columns is None else x[:, columns[number]]
        yield member.predict_proba(seen), np.asarray(member.classes_).astype(np.int64)


def member_means(ensemble: Any, x: Any, most: int) -> Iterator[NDArray[np.float64]]:
    """(n,) targets predicted by each of the first `most` members."""
    columns = getattr(ensemble, "estimators_features_", None)
    for number, member in enumerate(ensemble.estimators_[:most]):
        yield np.asarray(member.predict(x if columns is None else x[:, columns[number]])).reshape(-1)
