"""What a user does with AutoAL: data of every kind, models of every kind, and the same answer each time."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skrub import TableVectorizer
from torch import nn

from autoal import AutoAL, Query
from autoal.data import load_dataset
from autoal.data.items import Items
from autoal.errors import AutoALWarning, InvalidInput
from autoal.models import PrecomputedModel, SmallCNN, TorchModel, TrainConfig
from autoal.selectors.checks import MODES
from tests.selectors.problems import QUICK, auto, blobs, digits

X, Y, TRUTH = blobs()
OPEN = np.flatnonzero(Y < 0)
BRIEF = TrainConfig(epochs=2, min_steps=4)


def check(query: Query, y: Any, batch_size: int) -> None:
    """What holds for every answer: distinct rows that may be asked for, and a utility for exactly those."""
    missing = np.array([value is None or value != value or value == -1 for value in np.asarray(y, object).tolist()])
    assert len(query) == len(set(query)) == batch_size
    assert missing[query].all()
    assert np.array_equal(np.isfinite(query.utilities), missing)
    assert sum(query.weights.values()) == pytest.approx(1)


@pytest.mark.parametrize("mode", MODES)
def test_arrays_and_a_scikit_learn_classifier(mode):
    X, y, _ = digits()
    check(auto(mode=mode).fit_query(X, y, batch_size=10), y, 10)


@pytest.mark.parametrize("mode", MODES)
def test_images_and_a_module(mode):
    made = np.random.RandomState(0)
    truth = np.arange(60) % 2
    images = made.randint(0, 99, (60, 8, 8, 3), dtype=np.uint8) + (99 * truth[:, None, None, None]).astype(np.uint8)
    y = np.where(np.arange(60) < 20, truth, -1)
    model = TorchModel(lambda: SmallCNN(3, 2, width=4), config=BRIEF)
    selector = auto(["margin", "bald", "kcenter"], model=model, mode=mode)
    check(selector.fit_query(images, y, batch_size=6), y, 6)
    assert selector.leaderboard().dropped.eq("").all(), "a network with dropout serves them all"


@pytest.mark.skipif(not os.environ.get("AUTOAL_DATA"), reason="set AUTOAL_DATA to the folder of the data sets")
def test_cifar10_and_a_module():
    data = load_dataset("images/cifar10")
    some = np.sort(np.random.RandomState(0).permutation(len(data.y))[:600])
    y = np.where(np.arange(600) < 200, np.asarray(data.y)[some], -1)
    model = TorchModel(lambda: SmallCNN(3, 10, width=8), config=TrainConfig(epochs=3, min_steps=1))
    selector = auto("default", model=model)
    check(selector.fit_query(np.asarray(data.X[some]), y, batch_size=20), y, 20)
    assert set(selector.leaderboard().candidate) >= {"bald", "badge", "typiclust"}


def test_no_model_means_a_small_network():
    check(auto(["margin", "bald"], mode="uniform", model=None).fit_query(X, Y, batch_size=3), Y, 3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("given", ["probs and embeddings", "probs", "embeddings"])
def test_outputs_computed_elsewhere_need_no_model(given, mode):
    made = np.random.RandomState(1)
    arrays = {"probs": made.dirichlet([1, 1, 1], len(X)), "embeddings": made.randn(len(X), 6)}
    selector = auto(model=None, mode=mode)
    check(selector.fit_query(X, Y, batch_size=4, **{name: arrays[name] for name in given.split(" and ")}), Y, 4)
    dropped = set(selector.leaderboard().query("dropped != ''").candidate)
    assert dropped >= ({"kcenter", "badge"} if given == "probs" else set())
    assert isinstance(selector.model_, PrecomputedModel)


def test_probs_as_a_tensor_of_more_classes_than_are_labeled():
    probs = torch.softmax(torch.randn(len(X), 5, generator=torch.Generator().manual_seed(0)), 1)
    selector = auto(model=None)
    check(selector.fit_query(X, Y, batch_size=4, probs=probs, embeddings=X), Y, 4)
    assert selector.classes_.tolist() == [0, 1, 2, 3, 4]


def test_a_model_with_outputs_for_classes_not_seen_yet():
    selector = auto(model=TorchModel(nn.Linear(4, 5), config=BRIEF), mode="uniform")
    check(selector.fit_query(X, Y, batch_size=4, classes=range(5)), Y, 4)
    assert selector.classes_.tolist() == [0, 1, 2, 3, 4]


def spellings() -> dict[str, dict[str, Any]]:
    """One problem, written down in every accepted way."""
    some = np.flatnonzero(Y >= 0)
    gaps = [None if label < 0 else int(label) for label in Y]
    return {
        "float": {"y": np.where(Y < 0, np.nan, Y)},
        "None": {"y": gaps},
        "object": {"y": np.array(gaps, dtype=object)},
        "series": {"y": pd.Series(gaps, dtype="Int64")},
        "tensor y": {"y": torch.tensor(Y)},
        "short y": {"y": Y[some], "labeled": some},
        "short y, other order": {"y": Y[some[::-1]], "labeled": some[::-1].copy()},
        "full y": {"y": TRUTH, "labeled": some},
        "mask": {"y": TRUTH, "labeled": Y >= 0},
        "tensor": {"X": torch.tensor(X)},
        "frame": {"X": pd.DataFrame(X, columns=list("abcd"), index=range(7, 7 + len(X)))},
        "list": {"X": X.tolist()},
        "fortran": {"X": np.asfortranarray(X)},
        "pool": {"pool": OPEN},
        "pool with labeled rows": {"pool": np.arange(len(X))},
        "exclude": {"exclude": np.flatnonzero(Y >= 0)},
        "ids": {"ids": [f"{i:04}" for i in range(len(X))]},
        "equal costs": {"costs": np.ones(len(X))},
        "classes": {"classes": [0, 1, 2]},
    }


@pytest.fixture(scope="module")
def picked() -> Query:
    return auto().fit_query(X, Y, batch_size=5)


@pytest.mark.parametrize("name", list(spellings()))
def test_every_spelling_of_a_problem_has_one_answer(name, picked):
    arguments = {"X": X, "y": Y, **spellings()[name]}
    query = auto().fit_query(**arguments, batch_size=5)
    assert query.indices.tolist() == picked.indices.tolist()
    assert query.weights == picked.weights


@pytest.mark.parametrize("mode", MODES)
def test_three_arrays_are_the_same_problem_counted_from_the_pool(mode):
    some = np.flatnonzero(Y >= 0)
    ids = np.array([f"p{i}" for i in np.random.RandomState(0).permutation(len(OPEN))])
    three = auto(mode=mode).fit_query(X[some], Y[some], X[OPEN], ids=ids, batch_size=5)
    both = np.concatenate([X[some], X[OPEN]])
    y = np.concatenate([Y[some], np.full(len(OPEN), -1)])
    one = auto(mode=mode).fit_query(both, y, ids=[f"a{i:03}" for i in range(len(some))] + ids.tolist(), batch_size=5)
    assert three.ids.tolist() == one.ids.tolist()
    assert three.indices.tolist() == (one.indices - len(some)).tolist()
    assert three.utilities.tolist() == one.utilities[len(some) :].tolist()
    assert three.ids.tolist() == ids[three.indices].tolist()


def test_labels_as_text(picked):
    names = np.array(["ant", "bee", "cat"], dtype=object)
    selector = auto()
    assert list(selector.fit_query(X, [names[c] if c >= 0 else None for c in Y], batch_size=5)) == list(picked)
    assert selector.classes_.tolist() == ["ant", "bee", "cat"]


def test_frames_with_text_columns():
    frame = pd.DataFrame({"size": X[:, 0], "colour": np.array(["red", "blue", "green"])[TRUTH], "x": X[:, 1]})
    with pytest.raises(InvalidInput, match="TableVectorizer"):
        auto().fit_query(frame, Y, batch_size=4)
    encoded = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["colour"]), remainder="passthrough")
    check(auto(model=make_pipeline(encoded, LogisticRegression())).fit_query(frame, Y, batch_size=4), Y, 4)


def test_validation_frames_are_encoded_as_the_pool_is():
    colours = np.array(["red", "blue", "green"])[TRUTH]
    frame = pd.DataFrame({"size": X[:, 0], "colour": colours})
    other = pd.DataFrame({"size": [0.5, 0.5], "colour": ["violet", "red"]})
    model = make_pipeline(TableVectorizer(), LogisticRegression())
    selector = auto(model=model).fit(frame, Y, X_val=other, y_val=[0, 1])
    seen = selector.fitted_.state.validation.outputs
    row = pd.DataFrame({"size": [0.5], "colour": ["red"]})
    whole = auto(model=model).fit(pd.concat([frame, row], ignore_index=True), [*Y, -1]).fitted_.state.view.pool
    assert torch.allclose(seen.log_probs[1], whole.log_probs[-1], atol=1e-5)


def test_a_torch_dataset(picked):
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(TRUTH))
    with pytest.warns(AutoALWarning, match="the first part alone"):
        check(auto().fit_query(data, Y, batch_size=5), Y, 5)
    check(auto().fit_query(Items(data, label=1), Y, batch_size=5), Y, 5)


def test_a_file_that_stays_on_disk(tmp_path, picked):
    np.save(tmp_path / "x.npy", X)
    for stored in (tmp_path / "x.npy", str(tmp_path / "x.npy"), np.load(tmp_path / "x.npy", mmap_mode="r")):
        assert auto().fit_query(stored, Y, batch_size=5) == picked


@pytest.mark.parametrize("mode", MODES)
def test_sparse_rows(mode):
    X, y, _ = digits(120, 50)
    check(auto(mode=mode).fit_query(sparse.csr_matrix(X), y, batch_size=4), y, 4)


def test_members_of_a_forest_are_samples_for_bald():
    selector = auto(["margin", "bald"], model=RandomForestClassifier(10), strict=True)
    check(selector.fit_query(X, Y, batch_size=4), Y, 4)
    assert selector.leaderboard().dropped.eq("").all()


@pytest.mark.parametrize("mode", MODES)
def test_only_what_may_be_asked_for_is_asked_for(mode):
    query = auto(mode=mode).fit_query(X, Y, pool=OPEN[:20], exclude=OPEN[5:10], batch_size=15)
    allowed = {*OPEN[:5].tolist(), *OPEN[10:20].tolist()}
    assert set(query) == allowed == set(np.flatnonzero(np.isfinite(query.utilities)).tolist())


def test_dear_labels_are_asked_for_less(picked):
    costs = np.ones(len(X))
    costs[picked.indices] = 1000.0
    query = auto().fit_query(X, Y, costs=costs, batch_size=5)
    assert costs[query.indices].sum() < costs[picked.indices].sum()


def test_validation_points_judge_and_are_never_bought(picked):
    val, labels = X[:30] + 0.1, TRUTH[:30]
    query = auto().fit_query(X, Y, X_val=val, y_val=labels, batch_size=5)
    check(query, Y, 5)
    again = auto().fit_query(X, Y, X_val=torch.tensor(val), y_val=[int(c) for c in labels], batch_size=5)
    assert query == again
    assert query.diagnostics["gate"]["learned_weights"] != picked.diagnostics["gate"]["learned_weights"]


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_validation_points_lie_in_the_space_of_the_pool(wrap):
    """Standardised by the pool's own moments, not by those of a few validation points."""
    state = auto().fit(wrap(X), Y, X_val=wrap(X[OPEN[:7]]), y_val=TRUTH[OPEN[:7]]).fitted_.state
    assert torch.allclose(state.validation.outputs.embeddings, state.view.pool.embeddings[:7], atol=1e-5)


def test_the_classifier_itself_is_not_fitted():
    model = LogisticRegression()
    auto(model=model).fit_query(X, Y, batch_size=3)
    assert not hasattr(model, "coef_")


def test_inputs_are_left_as_they_were():
    before, y = X.copy(), Y.copy()
    auto().fit_query(X, Y, batch_size=3)
    assert np.array_equal(before, X) and np.array_equal(y, Y)


# --- the same answer each time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_seed_has_one_answer(mode):
    selector = auto("fast", mode=mode)
    first = selector.fit_query(X, Y, batch_size=6)
    assert selector.fit_query(X, Y, batch_size=6) == first
    assert selector.query(batch_size=6) == first
    assert auto("fast", mode=mode).fit_query(X, Y, batch_size=6) == first
    assert auto("fast", mode=mode, random_state=np.int64(0)).fit_query(X, Y, batch_size=6) == first
    assert auto("fast", mode=mode, random_state=1).fit_query(X, Y, batch_size=6) != first


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", ["scikit-learn", "torch"])
def test_global_generators_play_no_part_and_are_left_alone(mode, model):
    def query() -> Query:
        net = TorchModel(lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3)), config=BRIEF)
        chosen = LogisticRegression() if model == "scikit-learn" else net
        return auto(["random", "badge", "kmeans"], mode=mode, model=chosen).fit_query(X, Y, batch_size=6)

    first = query()
    torch.rand(3), np.random.rand(5), random.random()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    assert query() == first
    assert torch.equal(torch.get_rng_state(), states[0])
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), states[1], strict=True))
    assert random.getstate() == states[2]


@pytest.mark.parametrize("mode", MODES)
def test_threads_play_no_part(mode):
    X, y, _ = digits(300, 80)
    model = TorchModel(lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), config=BRIEF)
    threads, answers = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            answers.append(auto(mode=mode, model=model).fit_query(X, y, batch_size=9))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["one array", "three arrays"])
def test_rows_permuted_together_with_their_ids_change_nothing(mode, form):
    ids = np.array([f"id{i}" for i in np.random.RandomState(1).permutation(len(X))])
    order = np.random.RandomState(2).permutation(len(X))
    if form == "one array":
        here = auto(mode=mode).fit_query(X, Y, ids=ids, batch_size=6)
        there = auto(mode=mode).fit_query(X[order], Y[order], ids=ids[order], batch_size=6)
    else:
        some, moved = np.flatnonzero(Y >= 0), order[Y[order] < 0]
        here = auto(mode=mode).fit_query(X[some], Y[some], X[OPEN], ids=ids[OPEN], batch_size=6)
        there = auto(mode=mode).fit_query(X[some], Y[some], X[moved], ids=ids[moved], batch_size=6)
    assert here.ids.tolist() == there.ids.tolist()
    assert here.weights == there.weights


FRESH = """
    import json, sys
    from autoal import AutoAL
    from tests.selectors.problems import auto, blobs
    from sklearn.linear_model import LogisticRegression
    X, Y, truth = blobs()
    out = {mode: list(auto(mode=mode).fit_query(X, Y, batch_size=6)) for mode in ("bilevel", "paper", "uniform")}
    for folder in sys.argv[1:]:
        again = AutoAL.load(folder, model=LogisticRegression())
        y = Y.copy()
        y[-10:] = truth[-10:]
        query = again.fit_query(X, y, batch_size=6)
        out[again.mode + " loaded"] = [list(query), query.weights, again.state_dict()]
    print(json.dumps(out))
"""


def test_a_fresh_process_gives_the_same_answers_and_goes_on_from_what_was_saved(tmp_path):
    expected: dict[str, Any] = {}
    later = Y.copy()
    later[-10:] = TRUTH[-10:]
    for mode in MODES:
        selector = auto(mode=mode)
        expected[mode] = list(selector.fit_query(X, Y, batch_size=6))
        middle = Y.copy()
        middle[-5:] = TRUTH[-5:]
        selector.fit_query(X, middle, batch_size=6)
        selector.save(tmp_path / mode)
        query = selector.fit_query(X, later, batch_size=6)
        expected[f"{mode} loaded"] = [list(query), query.weights, selector.state_dict()]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FRESH), *(str(tmp_path / mode) for mode in MODES)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))


def test_rounds_go_on_until_the_pool_is_empty():
    y = Y.copy()
    selector = auto(["random", "margin"], search={**QUICK, "episodes": 2, "outer_steps": 1})
    while (y < 0).any():
        query = selector.fit_query(X, y, batch_size=min(11, int((y < 0).sum())))
        check(query, y, len(query))
        y[query] = TRUTH[query]
    assert len(selector.history_) == 5


def test_equal_rows_are_never_asked_for_twice():
    same = np.repeat(X[:4], 20, axis=0)
    query = auto().fit_query(same, Y, batch_size=int((Y < 0).sum()))
    assert sorted(query) == OPEN.tolist()


def test_without_a_seed_answers_differ():
    first, second = (
        AutoAL(["random"], model=LogisticRegression(), mode="uniform").fit_query(X, Y, batch_size=10) for _ in range(2)
    )
    assert list(first) != list(second)


def test_what_only_candidates_read_is_computed_in_rounds_that_ask_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Posterior samples cost a Laplace approximation; a round that asks nobody has no use for them."""
    from autoal.models.sklearn_adapter import SklearnModel

    read: list[frozenset[str]] = []
    outputs = SklearnModel.outputs

    def counted(self: SklearnModel, rows: Any, indices: Any, needs: frozenset[str], **more: Any) -> Any:
        read.append(needs)
        return outputs(self, rows, indices, needs, **more)

    monkeypatch.setattr(SklearnModel, "outputs", counted)
    X = np.random.default_rng(0).normal(size=(400, 4))
    truth = (X[:, 0] > 0).astype(int)
    for search, wanted in (({"outer_steps": 0}, False), ({"outer_steps": 0, "proposals": "union"}, True)):
        read.clear()
        y = np.where(np.arange(400) < 150, truth, -1)
        AutoAL(["margin", "bald"], model=LogisticRegression(), search=search, random_state=0).fit_query(
            X, y, batch_size=5
        )
        assert any("mc_log_probs" in needs for needs in read) == wanted
        assert sum("log_probs" in needs for needs in read) == 2  # pool and labeled points, once each
