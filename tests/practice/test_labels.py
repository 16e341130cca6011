"""Labels stay the user's, up to the estimator and back: section 2 of what people bring, and its kin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from autoal import AutoAL
from autoal.errors import AutoALWarning, InvalidInput

X, TRUTH = make_classification(60, 4, random_state=0)
TEXTS = np.array(["spam", "ham"])[TRUTH]


def partly(labels: np.ndarray, count: int = 20) -> np.ndarray:
    """The first `count` labels, None beyond."""
    y = labels.astype(object)
    y[count:] = None
    return y


def query(model: Any, y: Any, **more: Any) -> tuple[AutoAL, Any]:
    selector = AutoAL("fast", model=model, random_state=0)
    return selector, selector.fit_query(X, y, batch_size=3, **more)


def by_hand_and_ours(estimator: Any, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the pool, in the order of `classes_`."""
    selector, _ = query(estimator, partly(labels))
    by_hand = estimator.fit(X[:20], labels[:20])
    return by_hand.predict_proba(X), selector.model_.fitted.predict_proba(X)


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        (TEXTS, {"ham": 1, "spam": 5}),
        (TRUTH + 1, {1: 1000, 2: 1}),
        (TRUTH == 1, {True: 7, False: 1}),
        (np.array(["b", "a"])[TRUTH], "balanced"),
    ],
)
@pytest.mark.parametrize("kind", [LogisticRegression, RandomForestClassifier])
def test_class_weights_are_those_of_the_users_labels(labels: np.ndarray, weights: Any, kind: Any) -> None:
    estimator = kind(class_weight=weights, random_state=3)
    by_hand, ours = by_hand_and_ours(estimator, labels)
    np.testing.assert_array_equal(by_hand, ours)


def test_a_scorer_with_a_positive_label() -> None:
    scorer = make_scorer(f1_score, pos_label="spam")
    grid = {"C": [0.1, 1.0]}
    estimator = GridSearchCV(LogisticRegression(random_state=0), grid, scoring=scorer, cv=2, error_score="raise")
    by_hand, ours = by_hand_and_ours(estimator, TEXTS)
    np.testing.assert_array_equal(by_hand, ours)


def test_a_seed_that_the_user_set_stays() -> None:
    by_hand, ours = by_hand_and_ours(RandomForestClassifier(12, random_state=11), TRUTH)
    np.testing.assert_array_equal(by_hand, ours)


@pytest.mark.parametrize("names", [["pos", "neg"], ["neg", "pos"]])
def test_columns_are_in_the_order_of_classes(names: list[str]) -> None:
    labels = np.array(["neg", "pos"])[TRUTH]
    right = np.where(labels[:, None] == np.array(names)[None], 0.9, 0.1)
    selector, picked = query(None, partly(labels), probs=right, classes=names)
    assert selector.classes_.tolist() == names
    predicted = selector.fitted_.state.view.labeled.require("log_probs").argmax(1)
    assert predicted.equal(selector.fitted_.state.view.labels)
    assert len(picked) == 3


def test_columns_that_fit_better_in_another_order_are_said() -> None:
    labels = np.array(["neg", "pos"])[TRUTH]
    probs = np.where(labels[:, None] == np.array(["pos", "neg"])[None], 0.9, 0.1)
    with pytest.warns(AutoALWarning, match="another order"):
        query(None, partly(labels), probs=probs)


class Answers(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are whatever it was given."""

    def __init__(self, rows: Any = None) -> None:
        self.rows = rows

    def fit(self, X: Any, y: Any) -> Answers:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.tile(self.rows, (len(X), 1))


@pytest.mark.parametrize("rows", [[0.3], [0.4, 0.4], [-0.1, 1.1], [np.nan, 0.5], [0.2, 0.3, 0.5]])
def test_answers_that_are_no_probabilities_are_refused(rows: list[float]) -> None:
    with pytest.raises(InvalidInput, match="Answers"):
        query(Answers(rows), partly(TEXTS))


@pytest.mark.parametrize("model", [LinearSVC(), SVC(), RidgeClassifier(), make_pipeline(StandardScaler(), SVC())])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_decision_function_serves(model: Any, classes: int) -> None:
    labels = np.array(["c", "a", "b"])[np.argsort(np.argsort(X[:, 0])) * classes // len(X)]
    selector, picked = query(model, partly(labels, 40))
    said = selector.model_.predict_log_probs(selector.pool_.rows, selector.pool_.unlabeled).argmax(1)
    by_hand = selector.model_.fitted.predict(X[40:])
    assert selector.classes_[said.numpy()].tolist() == by_hand.tolist()
    assert len(picked) == 3


def test_a_regressor_means_a_regression() -> None:
    targets = np.arange(60) % 15
    y = [*targets[:20].astype(float), *[np.nan] * 40]
    selector, _ = query(RandomForestRegressor(5, random_state=0), y)
    assert selector.pool_.task == "regression"
    selector, _ = query(make_pipeline(StandardScaler(), RandomForestRegressor(5, random_state=0)), y)
    assert selector.pool_.task == "regression"


def test_two_targets_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="choose one"):
        query(RandomForestRegressor(5), np.random.default_rng(0).normal(size=(60, 2)))


class Changing(LogisticRegression):
    """An estimator that `clone` refuses: its constructor changes what it is given."""

    def __init__(self, C: float = 1.0, names: Any = None) -> None:
        super().__init__(C=C)
        self.names = list(names or [])


def test_what_clone_refuses_is_copied() -> None:
    selector, picked = query(Changing(names=["a"]), partly(TEXTS))
    assert selector.model_.fitted.names == ["a"]
    assert len(picked) == 3


def test_labels_that_xgboost_refuses_are_coded_and_mapped_back() -> None:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, random_state=0)
    selector, _ = query(model, partly(TEXTS))
    said = selector.model_.predict_log_probs(selector.pool_.rows, selector.pool_.labeled).exp().numpy()
    by_hand = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, random_state=0).fit(X[:20], TEXTS[:20] == "spam")
    np.testing.assert_allclose(said, by_hand.predict_proba(X[:20]), atol=1e-6)


def test_samplers_are_for_training_alone() -> None:
    sampling = pytest.importorskip("imblearn.over_sampling")
    pipeline = pytest.importorskip("imblearn.pipeline")
    model = pipeline.make_pipeline(
        StandardScaler(), sampling.RandomOverSampler(random_state=0), LogisticRegression(random_state=0)
    )
    by_hand, ours = by_hand_and_ours(model, TEXTS)
    np.testing.assert_array_equal(by_hand, ours)


THREE = np.array(["ant", "bee", "cat"])


def pretrained(labels: np.ndarray) -> Any:
    return FrozenEstimator(LogisticRegression().fit(X, labels))


@pytest.mark.parametrize("piped", [False, True])
def test_a_frozen_estimator_knows_more_classes_than_are_labeled(piped: bool) -> None:
    labels = THREE[np.argsort(np.argsort(X[:, 0])) // 20]
    model = pretrained(labels)
    y = np.array([label if label != "bee" and row < 20 else None for row, label in enumerate(labels)], dtype=object)
    selector, picked = query(make_pipeline("passthrough", model) if piped else model, y)
    assert selector.classes_.tolist() == THREE.tolist() and len(picked) == 3
    said = selector.model_.predict_log_probs(selector.pool_.rows, selector.pool_.unlabeled).exp().numpy()
    rows = selector.pool_.unlabeled.numpy()
    np.testing.assert_allclose(said, model.predict_proba(X[rows]), atol=1e-6)


def test_a_frozen_estimator_of_other_labels_is_refused() -> None:
    with pytest.raises(InvalidInput, match="classes="):
        query(pretrained(TRUTH), partly(TEXTS))


def test_a_frozen_estimator_is_not_fitted_again() -> None:
    model = pretrained(TEXTS)
    before = model.coef_.copy()
    selector, _ = query(model, partly(TEXTS))
    np.testing.assert_array_equal(selector.model_.fitted.coef_, before)
