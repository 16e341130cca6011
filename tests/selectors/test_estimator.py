"""AutoAL as a scikit-learn estimator that lasts over rounds, files and processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from autoal import AutoAL, Query
from autoal.errors import InvalidInput, MissingOutput, UnknownName
from autoal.models import SklearnModel
from autoal.strategies import CANDIDATES, PORTFOLIOS, resolve_candidates
from tests.selectors.problems import QUICK, auto, blobs

WITHOUT_SAMPLES = SklearnModel(LogisticRegression(), posterior="none")

X, Y, TRUTH = blobs(n=90, labeled=30)
MODES = ("bilevel", "paper", "uniform")


def rounds(selector: AutoAL, count: int, y: np.ndarray = Y) -> tuple[np.ndarray, list[Query]]:
    """Labels after `count` rounds of five, and what was asked."""
    y, asked = y.copy(), []
    for _ in range(count):
        asked.append(selector.fit_query(X, y, batch_size=5))
        y[asked[-1]] = TRUTH[asked[-1]]
    return y, asked


# --- parameters -------------------------------------------------------------------------------------------------------


def test_the_constructor_only_stores() -> None:
    candidates, search, model = ["margin"], {"episodes": 3}, LogisticRegression()
    selector = AutoAL(candidates, model=model, search=search, mode="no such mode", random_state=7)
    assert selector.candidates is candidates and selector.search is search and selector.model is model
    assert not [name for name in vars(selector) if name.endswith("_")]


def test_clone_takes_parameters_and_leaves_results() -> None:
    selector = auto(mode="uniform", time_limit=9.0)
    query = selector.fit_query(X, Y, batch_size=3)
    copy = clone(selector)
    assert not hasattr(copy, "weights_") and not hasattr(copy, "fitted_")
    plain = {name: value for name, value in selector.get_params(deep=False).items() if name != "model"}
    assert {name: copy.get_params(deep=False)[name] for name in plain} == plain
    assert copy.model is not selector.model
    assert copy.fit_query(X, Y, batch_size=3) == query


def test_parameters_of_candidates_and_model_are_reached_by_name() -> None:
    selector = AutoAL("fast", model=LogisticRegression(C=2.0))
    params = selector.get_params()
    assert params["badge__first"] == "norm" and params["model__C"] == 2.0
    assert params["badge"].name == "badge"
    assert selector.set_params(badge__first="uniform", model__C=0.5, mode="uniform") is selector
    assert selector.get_params()["badge__first"] == "uniform"
    assert selector.model.C == 0.5 and selector.mode == "uniform"
    assert [name for name, _ in resolve_candidates(selector.candidates)] == PORTFOLIOS["fast"]
    assert AutoAL("fast").get_params()["badge__first"] == "norm", "another selector was changed"
    selector.set_params(badge=CANDIDATES["badge"](first="norm"))
    assert selector.get_params()["badge__first"] == "norm"


def test_setting_a_candidate_changes_no_object_of_the_user() -> None:
    mine = CANDIDATES["badge"]()
    selector = AutoAL(["margin", ("mine", mine)]).set_params(mine__first="uniform")
    assert mine.first == "norm" and selector.get_params()["mine__first"] == "uniform"


def test_every_parameter_can_be_set_to_what_it_is() -> None:
    selector = auto()
    before = repr(selector)
    selector.set_params(**selector.get_params(deep=False))
    assert repr(selector) == before
    selector.set_params(**selector.get_params(deep=True))
    assert selector.get_params()["badge__first"] == "norm"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bagde__first", ["bagde__first", "badge__first"]),
        ("badge__frist", ["parameter of badge", "'first'"]),
        ("mdoe", ["'mode'"]),
        ("model__CC", ["model", "'CC'", "'C'"]),
        ("nothing_like_it_at_all", ["choose one of"]),
    ],
)
def test_an_unknown_parameter_is_named(name: str, words: list[str]) -> None:
    selector = auto()
    with pytest.raises(UnknownName) as caught:
        selector.set_params(**{"random_state": 5, name: 1})
    for word in words:
        assert word in str(caught.value)
    assert selector.random_state == 0, "half of a refused call was carried out"


def test_repr_says_what_differs_from_the_defaults() -> None:
    assert repr(AutoAL()) == "AutoAL()"
    text = repr(AutoAL(["margin"], model=LogisticRegression(), mode="uniform", random_state=3))
    assert "mode='uniform'" in text and "random_state=3" in text and "LogisticRegression()" in text


# --- what is learned and shown ----------------------------------------------------------------------------------------


def test_fitted_attributes() -> None:
    names = np.array(["ant", "bee", "cat"])
    y = np.array([None if c < 0 else names[c] for c in Y], dtype=object)
    for mode in MODES:
        selector = auto(mode=mode)
        query = selector.fit_query(X, y, batch_size=4)
        assert selector.weights_ == query.weights
        assert selector.classes_.tolist() == names.tolist()
        assert [entry["labels"] for entry in selector.history_] == [30]
        assert (selector.search_net_ is None) == (mode == "uniform")
        assert selector.model_.fitted.classes_.tolist() == names.tolist()
        assert not hasattr(selector.model, "classes_"), "the user's own estimator was fitted"


def test_fit_then_query_is_fit_query() -> None:
    for mode in MODES:
        together = auto(mode=mode).fit_query(X, Y, batch_size=4)
        fitted = auto(mode=mode).fit(X, Y, batch_size=4)
        assert fitted.query(batch_size=4) == together
        assert fitted.query(batch_size=4) == together, "asking twice"
        assert len(fitted.query(batch_size=9)) == 9
        assert len(fitted.history_) == 1


def test_leaderboard_tells_every_candidate_and_why_it_was_dropped() -> None:
    selector = auto(["margin", "bald", "random"], model=WITHOUT_SAMPLES)
    query = selector.fit_query(X, Y, batch_size=4)
    board = selector.leaderboard()
    assert list(board.columns) == ["candidate", "weight", "picks", "seconds", "dropped"]
    assert sorted(board["candidate"]) == ["bald", "margin", "random"]
    rows = board.set_index("candidate")
    assert "mc_log_probs" in rows.loc["bald", "dropped"] and rows.loc["bald", "weight"] == 0
    assert (rows.loc[["margin", "random"], "dropped"] == "").all()
    assert board["weight"].sum() == pytest.approx(1) and board["weight"].is_monotonic_decreasing
    assert rows.loc["margin", "picks"] == query.votes["margin"].sum()
    assert query.diagnostics["dropped"] == {"bald": rows.loc["bald", "dropped"]}
    assert (board["seconds"] >= 0).all()


def test_strict_refuses_what_would_be_dropped() -> None:
    with pytest.raises(MissingOutput, match=r"'bald'.*mc_log_probs.*strict=False"):
        auto(["margin", "bald"], strict=True, model=WITHOUT_SAMPLES).fit_query(X, Y, batch_size=4)
    forest = RandomForestClassifier(5)
    assert "bald" in auto(["margin", "bald"], strict=True, model=forest).fit_query(X, Y, batch_size=4).weights


def test_callbacks_are_called_with_each_answer() -> None:
    seen: list[Any] = []
    selector = auto(mode="uniform", callbacks=[lambda s, q: seen.append((s, q))])
    query = selector.fit_query(X, Y, batch_size=4)
    assert len(seen) == 1 and seen[0][0] is selector and seen[0][1] is query


@pytest.mark.parametrize("mode", MODES)
def test_progress_callable_hears_each_stage(mode: str) -> None:
    seen: list[tuple[str, int, int]] = []
    auto(mode=mode, progress=lambda *stage: seen.append(stage)).fit_query(X, Y, batch_size=4)
    stages = [stage for stage, _, _ in seen]
    assert stages[:3] == ["train the model", "model outputs", "candidates"] and stages[-1] == "done"
    assert all(0 <= done <= total for _, done, total in seen)


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_true_draws_the_stages_on_a_terminal_and_nothing_elsewhere(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.setenv(name, "1") if terminal else monkeypatch.delenv(name, raising=False)
    quiet = auto(mode="uniform").fit_query(X, Y, batch_size=4)
    assert capsys.readouterr() == ("", "")
    shown = auto(mode="uniform", progress=True).fit_query(X, Y, batch_size=4)
    out, err = capsys.readouterr()
    assert out == "" and ("autoal: " in err) == terminal and (err == "") != terminal
    assert shown == quiet


def test_progress_true_draws_on_a_terminal_and_cleans_up_after_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    selector = auto(["bald"], progress=True, model=WITHOUT_SAMPLES)
    for _ in range(2):  # a display left running would refuse the second
        with pytest.raises(MissingOutput):
            selector.fit_query(X, Y, batch_size=4)
    assert "0:00:0" in capsys.readouterr().err


def test_a_tiny_time_limit_gives_the_anchor_and_says_so() -> None:
    hurried, anchor = auto(time_limit=1e-9), auto(search={**QUICK, "gate_labels_per_class": 1000})
    query = hurried.fit_query(X, Y, batch_size=5)
    assert query.indices.tolist() == anchor.fit_query(X, Y, batch_size=5).indices.tolist()
    assert "time limit" in query.diagnostics["gate"]["reason"] and not query.diagnostics["gate"]["open"]
    assert "time limit" in hurried.history_[-1]["gate"]["reason"]


# --- the portfolio ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("candidate", ["margin", "badge", "random"])
def test_a_second_name_for_a_candidate_changes_no_batch(candidate: str) -> None:
    portfolio = ["random", "margin", "kcenter", "badge"]
    alone = auto(portfolio).fit_query(X, Y, batch_size=6)
    for name in ("a_twin", "z_twin"):
        twice = auto([*portfolio, (name, CANDIDATES[candidate]())]).fit_query(X, Y, batch_size=6)
        assert twice.indices.tolist() == alone.indices.tolist()
        np.testing.assert_allclose(sorted(twice.weights.values()), sorted(alone.weights.values()), rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_the_order_of_the_candidates_changes_nothing(mode: str) -> None:
    portfolio = ["random", "margin", "kcenter", "badge"]
    first, second = (auto(order, mode=mode).fit_query(X, Y, batch_size=6) for order in (portfolio, portfolio[::-1]))
    assert first == second


def test_one_candidate_is_enough() -> None:
    for mode in MODES:
        query = auto("margin", mode=mode).fit_query(X, Y, batch_size=5)
        assert len(query) == 5 and query.weights == {"margin": 1.0}


# --- rounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_asking_again_with_the_same_labels_gives_the_same_answer_and_one_entry(mode: str) -> None:
    selector = auto(mode=mode)
    y, _ = rounds(selector, 2)
    third = selector.fit_query(X, y, batch_size=5)
    state = selector.state_dict()
    assert selector.fit_query(X, y, batch_size=5) == third
    assert selector.state_dict() == state
    assert [entry["labels"] for entry in selector.history_] == [30, 35, 40]


def test_fit_without_query_keeps_the_history_of_earlier_rounds() -> None:
    selector = auto(mode="uniform")
    y, _ = rounds(selector, 2)
    for _ in range(3):
        selector.fit(X, y)
    assert [entry["labels"] for entry in selector.history_] == [30, 35]


def test_reset_forgets_earlier_rounds() -> None:
    selector = auto()
    _, asked = rounds(selector, 3)
    selector.reset()
    assert selector.state_dict() == {}
    _, again = rounds(selector, 3)
    assert again == asked


def test_rounds_go_on_until_the_pool_is_empty() -> None:
    y = Y.copy()
    y[40:] = TRUTH[40:]
    selector, bought = auto(), []
    while (y < 0).any():
        query = selector.fit_query(X, y, batch_size=min(7, int((y < 0).sum())))
        bought += list(query)
        y[query] = TRUTH[query]
    assert len(set(bought)) == len(bought)


@pytest.mark.parametrize("mode", MODES)
def test_state_dict_continues_a_run_exactly_through_json(mode: str) -> None:
    straight = auto(mode=mode)
    y, _ = rounds(straight, 2)
    resumed = auto(mode=mode)
    resumed.load_state_dict(json.loads(json.dumps(straight.state_dict())))
    assert resumed.state_dict() == straight.state_dict()
    assert rounds(resumed, 2, y)[1] == rounds(straight, 2, y)[1]
    assert json.dumps(resumed.state_dict()) == json.dumps(straight.state_dict())


def test_a_state_is_not_shared_with_the_selector_it_came_from() -> None:
    selector = auto()
    y, _ = rounds(selector, 1)
    state = selector.state_dict()
    text = json.dumps(state)
    rounds(selector, 1, y)
    assert json.dumps(state) == text


@pytest.mark.parametrize("mode", MODES)
def test_a_saved_selector_goes_on_as_it_would_have(mode: str, tmp_path: Path) -> None:
    selector = auto(["margin", ("mine", CANDIDATES["badge"](first="uniform")), "random"], mode=mode)
    y, _ = rounds(selector, 3)
    selector.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} <= {"selector.json", "search_net.safetensors"}
    loaded = AutoAL.load(tmp_path / "saved", model=LogisticRegression())
    assert loaded.weights_ == selector.weights_ and loaded.history_ == selector.history_
    assert loaded.get_params()["mine__first"] == "uniform" and loaded.mode == mode
    if mode == "bilevel":
        for name, value in selector.search_net_.state_dict().items():
            assert torch.equal(loaded.search_net_.state_dict()[name], value)
    assert loaded.fit_query(X, y, batch_size=5) == selector.fit_query(X, y, batch_size=5)


def test_saving_before_the_first_round_and_over_an_older_save(tmp_path: Path) -> None:
    selector = auto(random_state=np.int64(0))
    selector.save(tmp_path)
    assert AutoAL.load(tmp_path, model=LogisticRegression()).fit_query(X, Y, batch_size=3) == selector.fit_query(
        X, Y, batch_size=3
    )
    selector.save(tmp_path)
    assert (tmp_path / "search_net.safetensors").is_file()
    selector.set_params(mode="uniform").fit_query(X, Y, batch_size=3)
    selector.save(tmp_path)
    assert not (tmp_path / "search_net.safetensors").is_file(), "a net of an older save was left behind"


def test_a_damaged_net_is_refused_in_our_words(tmp_path: Path) -> None:
    selector = auto()
    rounds(selector, 1)
    selector.save(tmp_path)
    (tmp_path / "search_net.safetensors").write_bytes(b"half a file")
    with pytest.raises(InvalidInput, match="not a saved selector"):
        AutoAL.load(tmp_path)


def test_a_parameter_that_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="JSON"):
        auto([("badge", CANDIDATES["badge"](first=np.zeros(2)))]).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
