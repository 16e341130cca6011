"""What the anchor is with few and with many labels, and for a model that heads can speak for or cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge

from autoal import AutoAL
from autoal.anchor.committee import is_of_their_kind
from autoal.anchor.policy import FEW, HIGHEST, at_budget
from autoal.settings import SearchConfig
from tests.helpers import seeded


@pytest.mark.parametrize("n_labeled", [2, 20, FEW])
@pytest.mark.parametrize("trust", [0.0, 1.0])
def test_few_labels_take_uncertainty_as_it_is_among_proposals(n_labeled: int, trust: float) -> None:
    filled = at_budget(SearchConfig(), n_labeled, 3, kin=True, trust=trust)
    assert (filled.anchor_exponent, filled.proposals) == (1.0, "union")


@pytest.mark.parametrize(("trust", "exponent"), [(0.0, 1.0), (0.2, 1.0), (0.5, HIGHEST / 2), (1.0, HIGHEST)])
@pytest.mark.parametrize(("n_labeled", "kin"), [(FEW + 1, True), (20, False), (500, False)])
def test_many_labels_raise_the_exponent_by_the_trust(trust: float, exponent: float, n_labeled: int, kin: bool) -> None:
    filled = at_budget(SearchConfig(), n_labeled, 3, kin=kin, trust=trust)
    assert (filled.anchor_exponent, filled.proposals) == (exponent, "pool")


def test_a_regression_stays_as_it_is_with_any_number_of_labels() -> None:
    filled = at_budget(SearchConfig(), 10_000, 0, kin=True, trust=1.0)
    assert (filled.anchor_exponent, filled.proposals) == (1.0, "union")


def test_what_a_user_sets_is_kept() -> None:
    asked = SearchConfig(anchor_exponent=2.5, proposals="union")
    assert at_budget(asked, 500, 3, kin=False, trust=1.0) == asked


def _loop(own: torch.Tensor, members: torch.Tensor) -> bool:
    """The rule, one pair at a time."""
    to_members = [float((member - own).abs().sum(1).mean()) for member in members]
    pairs = [(i, j) for i in range(len(members)) for j in range(len(members)) if i != j]
    among = [float((members[i] - members[j]).abs().sum(1).mean()) for i, j in pairs]
    return bool(np.mean(to_members) <= np.mean(among))


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("count", [2, 5])
def test_kind_is_what_a_loop_over_pairs_says(spread: float, count: int) -> None:
    rng = seeded(count)
    centre = torch.randn(50, 4, generator=rng)
    members = (centre + 0.5 * torch.randn(count, 50, 4, generator=rng)).softmax(-1)
    own = (centre + spread * torch.randn(50, 4, generator=rng)).log_softmax(-1)
    assert is_of_their_kind(own, members) == _loop(own.exp(), members)


def test_the_mean_of_the_members_is_of_their_kind_and_a_stranger_is_not() -> None:
    members = torch.randn(5, 200, 3, generator=seeded()).softmax(-1)
    assert is_of_their_kind(members.mean(0).log(), members)
    alike = torch.tensor([[0.6, 0.4]]).expand(3, 100, 2) + torch.tensor([-0.01, 0.0, 0.01])[
        :, None, None
    ] * torch.tensor([1.0, -1.0])
    assert not is_of_their_kind(torch.tensor([[0.1, 0.9]]).expand(100, 2).log(), alike)


def _task(labeled: int, task: str = "classification") -> tuple[np.ndarray, np.ndarray]:
    X, truth = make_classification(600, 8, n_informative=5, n_classes=3, random_state=0)
    y = np.full(600, np.nan)
    y[:labeled] = truth[:labeled] if task == "classification" else X[:labeled].sum(1)
    return X.astype(np.float32), y


@pytest.mark.parametrize(("labeled", "level", "asked"), [(60, 0.025, True), (150, 0.025, False), (150, 1.0, True)])
def test_with_many_labels_candidates_are_asked_once_the_gate_opens(labeled: int, level: float, asked: bool) -> None:
    """60: the batch comes from what they propose. 150: from the whole pool; by them too where the gate is open."""
    X, y = _task(labeled)
    selector = AutoAL(
        ["margin", "kcenter", "badge"], model=LogisticRegression(), random_state=0, search={"gate_level": level}
    )
    batch = selector.fit_query(X, y, batch_size=10)
    assert batch.diagnostics["gate"]["open"] == (level == 1)
    assert bool(batch.votes) == asked
    assert set(batch.weights) == {"margin", "kcenter", "badge"}
    assert abs(sum(batch.weights.values()) - 1) < 1e-6
    board = selector.leaderboard()
    assert board["picks"].isna().all() == (not asked)
    assert (board["dropped"] == "").all()
    if not asked:
        assert list(batch.to_frame()["wanted_by"]) == [""] * 10


def test_a_round_without_questions_is_the_same_whatever_the_candidates() -> None:
    """The anchor over the whole pool needs none of them."""
    X, y = _task(200)
    settings: dict[str, Any] = {"model": RandomForestClassifier(20, random_state=0), "random_state": 0}
    picks = [
        AutoAL(names, search={"outer_steps": 0}, **settings).fit_query(X, y, batch_size=10).indices.tolist()
        for names in (["margin", "kcenter"], ["badge", "random", "entropy"])
    ]
    assert picks[0] == picks[1]


def test_regressions_ask_their_candidates_as_ever() -> None:
    X, y = _task(200, "regression")
    batch = AutoAL(["kcenter", "random"], model=Ridge(), random_state=0).fit_query(X, y, batch_size=5)
    assert set(batch.votes) == {"kcenter", "random"}


def test_of_a_large_pool_the_most_valuable_are_considered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoal.search.round.CONSIDERED", 50)
    X, y = _task(200)
    model = RandomForestClassifier(50, random_state=0)
    settings: dict[str, Any] = {"model": model, "random_state": 0, "search": {"outer_steps": 0}}
    selector = AutoAL(["margin", "kcenter"], **settings)
    picks = selector.fit_query(X, y, batch_size=2).indices
    top = np.sort(selector.model_.fitted.predict_proba(X[200:]), axis=1)
    doubt = 1 - (top[:, -1] - top[:, -2])
    assert (doubt[picks - 200] >= np.sort(doubt)[-50]).all()


def test_of_a_large_pool_value_per_price_is_considered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs a million times as much is not among the few that are considered."""
    monkeypatch.setattr("autoal.search.round.CONSIDERED", 50)
    X, y = _task(200)
    prices = np.where(np.arange(600) < 400, 1e6, 1.0)
    selector = AutoAL(["margin", "kcenter"], model=LogisticRegression(), random_state=0, search={"outer_steps": 0})
    assert (selector.fit_query(X, y, batch_size=2, costs=prices).indices >= 400).all()


def test_a_single_candidate_is_asked_whatever_the_model() -> None:
    X, y = _task(200)
    batch = AutoAL(["kcenter"], model=RandomForestClassifier(20, random_state=0), random_state=0).fit_query(
        X, y, batch_size=5
    )
    assert set(batch.votes) == {"kcenter"}
