"""A part of every batch drawn at random, followed over rounds, checkpoints and answers that are late."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from autoal import AutoAL
from autoal.errors import InvalidInput
from autoal.models import MLP, TorchModel, TrainConfig
from tests.selectors.problems import QUICK, auto, blobs

X, Y, TRUTH = blobs(n=120)
AUDIT: dict[str, Any] = {**QUICK, "audit": 0.25}


def rounds(selector: AutoAL, count: int, y: Any = Y, batch_size: int = 8) -> tuple[Any, list[Any]]:
    """Labels after so many rounds, and the queries."""
    y, queries = y.copy(), []
    for _ in range(count):
        queries.append(selector.fit_query(X, y, batch_size=batch_size))
        y[queries[-1]] = TRUTH[queries[-1]]
    return y, queries


@pytest.mark.parametrize("mode", ["bilevel", "uniform", "paper"])
def test_the_last_points_of_a_batch_are_drawn_at_random_and_say_what_the_others_gained(mode: str) -> None:
    selector = auto(mode=mode, search=AUDIT)
    _, queries = rounds(selector, 5)
    assert [query.diagnostics["audit"]["random"] for query in queries] == [2] * 5
    assert [query.diagnostics["audit"]["labels"] for query in queries] == [0, 2, 4, 6, 8]
    said = queries[-1].diagnostics["audit"]
    assert said["compared"] == 5 and "8 labels drawn at random are in" in said["says"]
    drawn = np.concatenate([query.indices[-2:] for query in queries[:-1]])
    before = [row for entry in selector.history_[:-1] for row in entry["asked"]["predicted"]]
    assert said["value"] == np.mean(TRUTH[drawn] == before)
    assert [entry["audit"]["labels"] for entry in selector.history_] == [0, 2, 4, 6, 8]
    for query, entry in zip(queries, selector.history_, strict=True):
        assert sorted(entry["asked"]["chosen"] + entry["asked"]["random"]) == sorted(query.indices.tolist())
        assert len(set(query)) == 8
        utilities = query.utilities[query.indices]
        assert (np.diff(utilities) < 0).all()
        assert (query.utilities >= utilities[-1]).sum() == 8


def test_what_is_kept_is_said_by_a_model_that_has_not_seen_the_label() -> None:
    selector = auto(search=AUDIT)
    query = selector.fit_query(X, Y, batch_size=8)
    alone = LogisticRegression().fit(X[Y >= 0], Y[Y >= 0])
    assert selector.history_[-1]["asked"]["predicted"] == alone.predict(X[query.indices[-2:]]).tolist()


def test_what_is_chosen_is_what_would_have_been_chosen_without() -> None:
    with_audit = auto(search=AUDIT).fit_query(X, Y, batch_size=8)
    without = auto().fit_query(X, Y, batch_size=8)
    random = set(with_audit.indices[-2:].tolist())
    assert with_audit.indices[:6].tolist() == [row for row in without if row not in random][:6]
    assert "audit" not in without.diagnostics


def test_asking_again_is_the_same_and_counts_once() -> None:
    selector = auto(search=AUDIT)
    y, _ = rounds(selector, 2)
    first, again = (selector.fit_query(X, y, batch_size=8) for _ in range(2))
    assert first == again
    assert len(selector.history_) == 3


def test_a_saved_selector_goes_on_with_its_audit(tmp_path: Path) -> None:
    straight = auto(search=AUDIT)
    _, queries = rounds(straight, 4)
    selector = auto(search=AUDIT)
    y, _ = rounds(selector, 3)
    selector.save(tmp_path)
    loaded = AutoAL.load(tmp_path, model=selector.model)
    query = loaded.fit_query(X, y, batch_size=8)
    assert query == queries[-1]
    assert query.diagnostics["audit"] == queries[-1].diagnostics["audit"]


def test_answers_that_are_late_count_when_they_come() -> None:
    selector = auto(search=AUDIT)
    y, queries = rounds(selector, 2)
    late = queries[-1].indices[-1]
    y[late] = -1
    query = selector.fit_query(X, y, batch_size=8, exclude=[int(late)])
    assert query.diagnostics["audit"]["labels"] == 3
    y[query] = TRUTH[query]
    y[late] = TRUTH[late]
    assert selector.fit_query(X, y, batch_size=8).diagnostics["audit"]["labels"] == 6


def test_batches_of_one_have_their_turn() -> None:
    selector = auto(search=AUDIT)
    _, queries = rounds(selector, 8, batch_size=1)
    assert sum(query.diagnostics["audit"]["random"] for query in queries) == 2


def test_three_arrays_are_refused() -> None:
    known = np.flatnonzero(Y >= 0)
    rest = np.flatnonzero(Y < 0)
    with pytest.raises(InvalidInput, match="all rows in X"):
        auto(search=AUDIT).fit_query(X[known], TRUTH[known], X[rest], batch_size=4)


def test_a_share_that_is_none_is_refused() -> None:
    for share in (-0.1, 0.6, "half"):
        with pytest.raises(ValueError, match="audit"):
            auto(search={**QUICK, "audit": share}).fit_query(X, Y, batch_size=4)


def test_an_alarm_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    selector = auto(search=AUDIT)
    y, _ = rounds(selector, 4)
    selector.fit(X, y, batch_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        object.__setattr__(selector.fitted_.audit, "alarm", False)
        selector.query(batch_size=8)
    object.__setattr__(selector.fitted_.audit, "alarm", True)
    with pytest.warns(UserWarning, match="no gain over random points"):
        selector.query(batch_size=8)


@pytest.mark.filterwarnings("ignore:the audit sees no gain")
def test_features_that_have_seen_the_labels_do_not_judge() -> None:
    """A network that has learned all labels by heart has features on which any head is right about them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 20))
    truth = rng.integers(2, size=200)  # nothing to be learned
    y = np.full(200, -1)
    y[:20] = truth[:20]
    model = TorchModel(lambda: MLP(20, 2), config=TrainConfig(epochs=200))
    selector = AutoAL(
        ["random", "kcenter"], model=model, search={**QUICK, "audit": 0.5}, mode="uniform", random_state=0
    )
    for _ in range(4):
        query = selector.fit_query(x, y, batch_size=20)
        y[query] = truth[query]
    assert query.diagnostics["audit"]["gain_error"] > 0.03
    assert 0.2 < query.diagnostics["audit"]["value"] < 0.8


def test_features_of_the_user_judge() -> None:
    selector = auto(search=AUDIT)
    y, found = Y.copy(), []
    for _ in range(5):
        query = selector.fit_query(np.zeros_like(X), y, batch_size=8, embeddings=X)
        y[query] = TRUTH[query]
        found.append(query.diagnostics["audit"])
    assert found[-1]["gain_error"] > 0


def test_a_regression_has_an_audit_too() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    truth = x[:, 0] + 0.1 * rng.normal(size=80)
    y = np.full(80, np.nan)
    y[:12] = truth[:12]
    selector = AutoAL(["random", "kcenter"], task="regression", search={**QUICK, "audit": 0.5}, random_state=0)
    selector.set_params(model=Ridge())
    for _ in range(4):
        query = selector.fit_query(x, y, batch_size=6)
        y[query] = truth[query]
    said = query.diagnostics["audit"]
    assert said["labels"] == 9 and 0 < said["value"] < 1
