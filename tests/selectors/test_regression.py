"""AutoAL in a regression: every way in, what is dropped and why, and a batch that can be asked for."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from autoal import AutoAL
from autoal.errors import InvalidInput, MissingOutput
from autoal.strategies import CANDIDATES
from tests.selectors.problems import QUICK, blobs

made = np.random.RandomState(0)
X = made.randn(90, 4)
TRUTH = 100 * (X @ made.randn(4)) + made.randn(90) - 1
Y = np.where(np.arange(90) % 3 == 0, TRUTH, np.nan)
OPEN = set(np.flatnonzero(np.isnan(Y)))


def auto(candidates="default", **arguments):
    return AutoAL(candidates, **{"model": Ridge(), "random_state": 0, "search": QUICK, **arguments})


def check(query, size=5):
    assert len(query) == size and len(set(query)) == size and set(query) <= OPEN
    assert np.isnan(query.utilities).sum() == 30
    assert sum(query.weights.values()) == pytest.approx(1)


@pytest.mark.parametrize("mode", ["bilevel", "uniform"])
def test_floats_with_fractions_are_a_regression(mode):
    selector = auto(mode=mode)
    query = selector.fit_query(X, Y, batch_size=5)
    check(query)
    assert selector.classes_ is None and selector.pool_.task == "regression"
    dropped = dict(zip(selector.leaderboard()["candidate"], selector.leaderboard()["dropped"], strict=True))
    assert dropped["margin"] == "it is not defined for regression"
    assert dropped["kcenter"] == "" and not dropped.get("maxherding")
    assert query == auto(mode=mode).fit_query(X, Y, batch_size=5)
    if mode == "bilevel":
        assert query.diagnostics["losses"]["upper"]


def test_integers_are_a_regression_where_the_task_says_so():
    y = np.round(TRUTH).astype(int)[::3]
    check(auto(task="regression").fit_query(X, y, labeled=np.arange(0, 90, 3), batch_size=5))


@pytest.mark.parametrize("model", [None, RandomForestRegressor(10, random_state=0), torch.nn.Linear(4, 1)])
def test_every_kind_of_model_serves(model):
    check(auto(model=model).fit_query(X, Y, batch_size=5))


def test_embeddings_alone_are_enough():
    check(auto(["kcenter", "random", "maxherding"], model=None).fit_query(X, Y, batch_size=5, embeddings=X))


def test_further_targets_may_judge():
    check(auto().fit_query(X, Y, batch_size=5, X_val=X[:40] + 0.1, y_val=TRUTH[:40]))


@pytest.mark.parametrize("X, y", [(X, Y), blobs()[:2]], ids=["regression", "classification"])
def test_every_candidate_there_is_can_take_part(X, y, monkeypatch):
    monkeypatch.setattr("autoal.selectors.round.TWINS", 1.0)
    model = RandomForestRegressor(5) if y.dtype.kind == "f" else None
    selector = auto("all", model=model)
    query = selector.fit_query(X, y, batch_size=4)
    assert len(query) == 4
    assert set(selector.leaderboard()["candidate"]) == set(CANDIDATES)


def test_what_is_not_defined_for_targets_is_refused_where_it_must_be():
    with pytest.raises(InvalidInput, match=r"'margin'.*not defined for regression"):
        auto(["margin", "kcenter"], strict=True).fit_query(X, Y, batch_size=5)
    with pytest.raises(MissingOutput, match=r"no candidate is left.*margin"):
        auto(["margin", "entropy"]).fit_query(X, Y, batch_size=5)
    with pytest.raises(InvalidInput, match="probs"):
        auto(task="regression").fit_query(X, Y, batch_size=5, probs=np.full((90, 2), 0.5))
    with pytest.raises(InvalidInput, match="paper"):
        auto(mode="paper").fit_query(X, Y, batch_size=5)


def test_a_saved_selector_goes_on_as_the_first_would_have(tmp_path):
    selector = auto(task="regression")
    query = selector.fit_query(X, Y, batch_size=5)
    selector.save(tmp_path)
    y = Y.copy()
    y[query] = TRUTH[query]
    second = selector.fit_query(X, y, batch_size=5)
    again = AutoAL.load(tmp_path, model=Ridge())
    assert again.task == "regression" and again.fit_query(X, y, batch_size=5) == second


def test_rejected_rows_leave_the_pool_and_reach_the_candidates():
    from autoal.strategies import Strategy
    from autoal.strategies.base import top_scores

    seen: list[int | None] = []

    class Sees(Strategy):
        name, family, source, cost = "sees", "open set", "this test", "N"
        needs = frozenset({"embeddings"})

        def _propose(self, view, batch_size, rng):
            seen.append(None if view.rejected is None else len(view.rejected))
            return top_scores(torch.zeros(len(view)), batch_size, rng)

    X, y, _ = blobs()
    rows = np.flatnonzero(y < 0)[:7]
    query = AutoAL([Sees()], mode="uniform", random_state=0).fit_query(X, y, batch_size=60 - 14, rejected=rows)
    assert not set(query) & set(rows) and seen[-1] == 7
    AutoAL([Sees()], mode="uniform", random_state=0).fit_query(X, y, batch_size=3)
    assert seen[-1] is None
