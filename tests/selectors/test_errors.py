"""Every wrong input is said to be wrong at the door: what we got, what we wanted, what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from autoal import AutoAL
from autoal.errors import (
    AutoALError,
    ConfigError,
    DataMissing,
    DeviceUnavailable,
    InvalidInput,
    MissingOutput,
    NotFitted,
    PoolExhausted,
    UnknownName,
)
from autoal.models import SklearnModel, TorchModel, TrainConfig
from autoal.strategies import CANDIDATES
from tests.selectors.problems import auto, blobs

X, Y, TRUTH = blobs()
N = len(X)
LABELED = np.flatnonzero(Y >= 0)
OPEN = np.flatnonzero(Y < 0)
PROBS = np.random.RandomState(1).dirichlet([1, 1, 1], N)
EMBEDDINGS = np.random.RandomState(2).randn(N, 5)


def changed(values: Any, row: Any, value: Any) -> np.ndarray:
    out = np.array(values, dtype=object if isinstance(value, str) else None, copy=True)
    out[row] = value
    return out


class Flat(nn.Module):
    """Its output is one number for the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).sum()


class WithoutProbabilities:
    def fit(self, X: Any, y: Any) -> None: ...

    def predict(self, X: Any) -> Any: ...


WITHOUT_SAMPLES = SklearnModel(LogisticRegression(), posterior="none")


class BadFit(LogisticRegression):
    def fit(self, X: Any, y: Any) -> Any:
        raise RuntimeError("the estimator's own trouble")


NET = TorchModel(nn.Linear(4, 3), config=TrainConfig(epochs=1, min_steps=1))
PRECOMPUTED: dict[str, Any] = {"model": None}

# name: (arguments of AutoAL, arguments of fit_query, class, words of the message)
CALLS: dict[str, tuple[dict[str, Any], dict[str, Any], type[AutoALError], list[str]]] = {
    # the batch
    "batch 0": ({}, {"batch_size": 0}, InvalidInput, ["batch_size=0", "at least 1"]),
    "batch -3": ({}, {"batch_size": -3}, InvalidInput, ["batch_size=-3", "at least 1"]),
    "batch above pool": ({}, {"batch_size": N}, PoolExhausted, [f"={N}", f"{len(OPEN)} points", "or fewer"]),
    "batch 2.0": ({}, {"batch_size": 2.0}, InvalidInput, ["batch_size=2.0", "integer"]),
    "batch '2'": ({}, {"batch_size": "2"}, InvalidInput, ["batch_size='2'", "integer"]),
    "batch True": ({}, {"batch_size": True}, InvalidInput, ["batch_size=True", "integer"]),
    "batch None": ({}, {"batch_size": None}, InvalidInput, ["batch_size=None", "integer"]),
    # the pool
    "empty pool": ({}, {"y": TRUTH}, PoolExhausted, ["no point left", f"{N} labeled", "NaN, -1 or None"]),
    "all excluded": ({}, {"exclude": OPEN}, PoolExhausted, ["no point left", "excluded"]),
    "empty pool=": ({}, {"pool": []}, PoolExhausted, ["no point left"]),
    "empty X_pool": (
        {},
        {"X": X[:9], "y": TRUTH[:9], "X_pool": X[:0]},
        InvalidInput,
        ["X_pool", "without rows", "at least one"],
    ),
    # X
    "X NaN": (
        {},
        {"X": changed(X, (7, 1), np.nan)},
        InvalidInput,
        ["1 of 80 rows of X", "[7]", "SimpleImputer"],
    ),
    "X inf": ({}, {"X": changed(X, ([3, 5], 0), -np.inf)}, InvalidInput, ["2 of 80", "[3, 5]", "infinite"]),
    "X tensor NaN": ({}, {"X": torch.tensor(changed(X, (7, 1), np.nan))}, InvalidInput, ["[7]"]),
    "X frame NaN": ({}, {"X": pd.DataFrame(changed(X, (7, 1), np.nan))}, InvalidInput, ["NaN", "TableVectorizer"]),
    "X_pool NaN": (
        {},
        {"X": X[LABELED], "y": Y[LABELED], "X_pool": changed(X[OPEN], (2, 0), np.nan)},
        InvalidInput,
        ["X_pool", "[2]"],
    ),
    "X 1-D": ({}, {"X": X[:, 0]}, InvalidInput, ["1-D X", "(80,)", "reshape(-1, 1)"]),
    "X 5-D": ({}, {"X": np.zeros((N, 2, 2, 2, 2))}, InvalidInput, ["(80, 2, 2, 2, 2)", "(n, d)", "Dataset"]),
    "X without columns": ({}, {"X": np.zeros((N, 0))}, InvalidInput, ["(80, 0)", "without columns"]),
    "X without rows": ({}, {"X": np.zeros((0, 4)), "y": []}, InvalidInput, ["without rows", "at least one"]),
    "X text": ({}, {"X": X.astype(str)}, InvalidInput, ["LogisticRegression", "skrub.TableVectorizer"]),
    "X complex": ({}, {"X": X.astype(complex)}, InvalidInput, ["complex128", "numbers"]),
    "X ragged": ({}, {"X": [[1.0, 2.0], [1.0]] * 40}, InvalidInput, ["LogisticRegression.fit fails"]),
    "X None": ({}, {"X": None}, InvalidInput, ["X=None", "embeddings="]),
    "X number": ({}, {"X": 3}, InvalidInput, ["int", "an array"]),
    "X no file": ({}, {"X": "nowhere.npy"}, DataMissing, ["nowhere.npy", "check the path"]),
    "X csv": ({}, {"X": "leaves.csv"}, DataMissing, ["leaves.csv", "check the path"]),
    "X npz": ({}, {"X": "leaves.npz"}, InvalidInput, ["leaves.npz", ".npy", "load_dataset"]),
    "X_pool of other width": (
        {},
        {"X": X[LABELED], "y": Y[LABELED], "X_pool": X[OPEN, :2]},
        InvalidInput,
        ["(4,)", "(2,)", "same columns"],
    ),
    # y
    "y short": ({}, {"y": Y[:9]}, InvalidInput, ["length 9", "80 rows", "labeled="]),
    "y 2-D": ({}, {"y": np.eye(3)[TRUTH]}, InvalidInput, ["(80, 3)", "argmax"]),
    "y None": ({}, {"y": None}, InvalidInput, ["NoneType", "one label per point"]),
    "y number": ({}, {"y": 1}, InvalidInput, ["int", "one label per point"]),
    "y inf": ({}, {"y": changed(Y * 1.0, 0, np.inf)}, InvalidInput, ["infinite", "NaN"]),
    "y without labels": ({}, {"y": np.full(N, -1)}, InvalidInput, ["no label", "two classes", "at random"]),
    "y one class": ({}, {"y": np.where(Y == 2, 2, -1)}, InvalidInput, ["are 2", "at least two classes", "label a few"]),
    "y regression": (
        {"task": "classification"},
        {"y": X[:, 0]},
        InvalidInput,
        ["fractions", "regression", "integers or text"],
    ),
    "y mixed": (
        {},
        {"y": changed(Y.astype(object), LABELED[0], "a")},
        InvalidInput,
        ["mixes", "number, str", "one type"],
    ),
    "y gap, X_pool": (
        {},
        {"X": X[LABELED], "y": changed(Y[LABELED] * 1.0, 2, np.nan), "X_pool": X[OPEN]},
        InvalidInput,
        ["1 of 27", "[2]", "a label for each"],
    ),
    "y of X_pool": (
        {},
        {"X": X[LABELED], "y": Y, "X_pool": X[OPEN]},
        InvalidInput,
        ["length 80", "27 labeled rows", "one label per row"],
    ),
    # which rows
    "labeled twice": (
        {},
        {"y": [0, 1, 2], "labeled": [4, 5, 4]},
        InvalidInput,
        ["labeled=", "more than once", "[4]"],
    ),
    "labeled outside": ({}, {"y": [0, 1], "labeled": [4, N]}, InvalidInput, ["labeled=", "0..79", "[80]"]),
    "labeled negative": ({}, {"y": [0, 1], "labeled": [4, -1]}, InvalidInput, ["labeled=", "0..79", "[-1]"]),
    "labeled floats": ({}, {"y": [0, 1], "labeled": [4.0, 5.0]}, InvalidInput, ["labeled=", "float64", "row numbers"]),
    "labeled mask": ({}, {"y": [0, 1], "labeled": [True, True]}, InvalidInput, ["mask of length 2", "80"]),
    "labeled empty": ({}, {"y": [], "labeled": []}, InvalidInput, ["labeled= is empty", "at random"]),
    "labeled and y": ({}, {"y": [0, 1, 2], "labeled": [4, 5]}, InvalidInput, ["length 3", "wanted 2"]),
    "labeled with X_pool": (
        {},
        {"X": X[LABELED], "y": Y[LABELED], "X_pool": X[OPEN], "labeled": [0]},
        InvalidInput,
        ["labeled=", "X_pool", "all of them"],
    ),
    "pool outside": ({}, {"pool": [N + 5]}, InvalidInput, ["pool=", "0..79", "[85]"]),
    "pool twice": ({}, {"pool": [*OPEN, OPEN[0]]}, InvalidInput, ["pool=", "more than once"]),
    "pool labeled": ({}, {"pool": LABELED}, PoolExhausted, ["no point left", "outside pool="]),
    "pool all excluded": ({}, {"pool": OPEN[:5], "exclude": OPEN[:5]}, PoolExhausted, ["no point left", "excluded"]),
    "exclude outside": ({}, {"exclude": [-2]}, InvalidInput, ["exclude=", "0..79", "[-2]"]),
    "ids short": ({}, {"ids": [1, 2]}, InvalidInput, ["2 ids", "80 rows"]),
    "ids twice": ({}, {"ids": ["a", "a", *map(str, range(N - 2))]}, InvalidInput, ["repeated", "'a'", "distinct"]),
    "ids None": ({}, {"ids": [None, *range(N - 1)]}, InvalidInput, ["None or NaN", "distinct"]),
    "ids unhashable": ({}, {"ids": [[i] for i in range(N)]}, InvalidInput, ["hashable", "integers or text"]),
    "ids number": ({}, {"ids": 5}, InvalidInput, ["ids", "int", "one for each row"]),
    "costs negative": ({}, {"costs": changed(np.ones(N), OPEN[1], -1)}, InvalidInput, [f"[{OPEN[1]}]", "above 0"]),
    "costs NaN": ({}, {"costs": changed(np.ones(N), OPEN[1], np.nan)}, InvalidInput, [f"[{OPEN[1]}]", "above 0"]),
    "costs short": ({}, {"costs": np.ones(3)}, InvalidInput, ["(3,)", "(80,)", "one price"]),
    "costs text": ({}, {"costs": ["cheap"] * N}, InvalidInput, ["costs", "numbers", "positive prices"]),
    # precomputed outputs
    "probs of two columns": (
        PRECOMPUTED,
        {"probs": PROBS[:, :2] / PROBS[:, :2].sum(1, keepdims=True)},
        InvalidInput,
        ["3 classes", "2 columns", "one column per class"],
    ),
    "labels beyond probs": (
        PRECOMPUTED,
        {"probs": PROBS, "y": np.where(Y == 2, 5, np.where(Y == 1, -1, Y))},
        InvalidInput,
        ["3 columns", "[0, 5]", "0..2"],
    ),
    "probs 1-D": (PRECOMPUTED, {"probs": PROBS[:, 0]}, InvalidInput, ["probs", "(80,)", "(n, C)"]),
    "probs short": (PRECOMPUTED, {"probs": PROBS[:9]}, InvalidInput, ["9 rows", "80", "one for each row"]),
    "probs NaN": (PRECOMPUTED, {"probs": changed(PROBS, 6, np.nan)}, InvalidInput, ["probs", "1 of 80", "[6]"]),
    "probs negative": (PRECOMPUTED, {"probs": changed(PROBS, 6, [-1, 1, 1])}, InvalidInput, ["below 0", "row 6"]),
    "logits": (PRECOMPUTED, {"probs": 9 * PROBS - 4}, InvalidInput, ["80 of 80", "softmax(logits)"]),
    "probs text": (PRECOMPUTED, {"probs": PROBS.astype(str)}, InvalidInput, ["probs", "numbers"]),
    "embeddings short": (PRECOMPUTED, {"embeddings": EMBEDDINGS[:9]}, InvalidInput, ["9 rows", "80"]),
    "embeddings 1-D": (PRECOMPUTED, {"embeddings": EMBEDDINGS[:, 0]}, InvalidInput, ["embeddings", "(80,)", "(n, D)"]),
    "embeddings inf": (
        PRECOMPUTED,
        {"embeddings": changed(EMBEDDINGS, (8, 1), np.inf)},
        InvalidInput,
        ["embeddings", "[8]", "NaN or infinite"],
    ),
    "embeddings and probs": (
        PRECOMPUTED,
        {"embeddings": EMBEDDINGS, "probs": PROBS[:9]},
        InvalidInput,
        ["differ in length", "9", "80"],
    ),
    "embeddings short beside a model": ({}, {"embeddings": EMBEDDINGS[:9]}, InvalidInput, ["9 rows", "80"]),
    # validation points
    "X_val alone": ({}, {"X_val": X}, InvalidInput, ["no y_val", "one label for each row"]),
    "y_val alone": ({}, {"y_val": TRUTH}, InvalidInput, ["y_val", "no X_val"]),
    "y_val short": ({}, {"X_val": X, "y_val": TRUTH[:9]}, InvalidInput, ["80 rows", "length 9"]),
    "y_val number": ({}, {"X_val": X, "y_val": 1}, InvalidInput, ["y_val", "one label"]),
    "y_val unseen": ({}, {"X_val": X, "y_val": TRUTH + 1}, InvalidInput, ["y_val", "3", "label a point of each"]),
    "X_val width": ({}, {"X_val": X[:, :2], "y_val": TRUTH}, InvalidInput, ["X_val", "(2,)", "(4,)"]),
    "X_val NaN": ({}, {"X_val": changed(X, (7, 1), np.nan), "y_val": TRUTH}, InvalidInput, ["X_val", "[7]"]),
    "X_val without a model": (
        PRECOMPUTED,
        {"probs": PROBS, "embeddings": EMBEDDINGS, "X_val": X, "y_val": TRUTH},
        InvalidInput,
        ["X_val", "precomputed", "a model"],
    ),
    # candidates, mode, search
    "unknown strategy": ({"candidates": ["margni"]}, {}, UnknownName, ["'margni'", "did you mean 'margin'"]),
    "unknown portfolio": ({"candidates": "defualt"}, {}, UnknownName, ["'defualt'", "did you mean 'default'"]),
    "no candidates": ({"candidates": []}, {}, InvalidInput, ["no candidates", "'default'"]),
    "twice": ({"candidates": ["margin", "margin"]}, {}, InvalidInput, ["twice: margin", "names of their own"]),
    "not a candidate": ({"candidates": [3]}, {}, InvalidInput, ["candidate 3", "Strategy object"]),
    "candidates number": ({"candidates": 3}, {}, InvalidInput, ["candidates=3", "portfolio name or a list"]),
    "class as candidate": ({"candidates": [CANDIDATES["margin"]]}, {}, InvalidInput, ["Margin", "Strategy object"]),
    "unknown mode": ({"mode": "bilvel"}, {}, UnknownName, ["'bilvel'", "did you mean 'bilevel'"]),
    "unknown task": ({"task": "ranking"}, {}, InvalidInput, ["'ranking'", "'regression'", "'classification'"]),
    "paper's regression": (
        {"mode": "paper"},
        {"y": np.where(Y < 0, np.nan, Y + 0.5)},
        InvalidInput,
        ["mode='paper'", "'bilevel'"],
    ),
    "probs in a regression": ({"task": "regression"}, {"probs": PROBS}, InvalidInput, ["probs"]),
    "rejected and labeled": ({}, {"rejected": LABELED[:2]}, InvalidInput, ["rejected", "label"]),
    "rejected beyond": ({}, {"rejected": [10_000]}, InvalidInput, ["rejected", "10000"]),
    "rejected in a regression": ({"task": "regression"}, {"rejected": [0]}, InvalidInput, ["rejected", "exclude="]),
    "unknown search key": ({"search": {"epsiodes": 3}}, {}, UnknownName, ["'epsiodes'", "did you mean 'episodes'"]),
    "bad search value": ({"search": {"episodes": 0}}, {}, ConfigError, ["episodes", "got 0", "greater than"]),
    "bad search type": ({"search": {"episodes": "many"}}, {}, ConfigError, ["episodes", "'many'", "integer"]),
    "bad paper value": ({"search": {"paper": {"epochs": 1}}}, {}, ConfigError, ["paper.epochs", "got 1"]),
    "search number": ({"search": 3}, {}, ConfigError, ["search=3", "mapping"]),
    "time_limit 0": ({"time_limit": 0}, {}, InvalidInput, ["time_limit=0", "above 0"]),
    "time_limit -1": ({"time_limit": -1.0}, {}, InvalidInput, ["time_limit=-1.0", "above 0"]),
    "time_limit NaN": ({"time_limit": float("nan")}, {}, InvalidInput, ["time_limit=nan", "above 0"]),
    "time_limit text": ({"time_limit": "5s"}, {}, InvalidInput, ["time_limit='5s'", "seconds"]),
    "random_state text": ({"random_state": "seed"}, {}, InvalidInput, ["random_state='seed'", "integer"]),
    "callbacks": ({"callbacks": print}, {}, InvalidInput, ["callbacks=", "list"]),
    "progress": ({"progress": "yes"}, {}, InvalidInput, ["progress='yes'", "True", "callable"]),
    # models
    "net of 5 outputs": ({"model": nn.Linear(4, 5)}, {}, InvalidInput, ["(2, 5)", "(2, 3)", "one output for each"]),
    "net of 9 inputs": ({"model": nn.Linear(9, 3)}, {}, InvalidInput, ["Linear", "(2, 4)", "forward"]),
    "net of no rows": ({"model": Flat()}, {}, InvalidInput, ["Flat", "()", "one output for each class"]),
    "net diverges": (
        {"model": TorchModel(nn.Linear(4, 3), config=TrainConfig(epochs=3, min_steps=1, lr=1e38, optimizer="sgd"))},
        {},
        AutoALError,
        ["loss", "lower the learning rate"],
    ),
    "clusterer": ({"model": KMeans()}, {}, InvalidInput, ["KMeans", "predict_proba", "BaggingClassifier"]),
    "no predict_proba": (
        {"model": WithoutProbabilities()},
        {},
        InvalidInput,
        ["WithoutProbabilities", "predict_proba"],
    ),
    "regressor": ({"model": Ridge()}, {}, InvalidInput, ["-1 is a target"]),
    "estimator class": ({"model": LogisticRegression}, {}, InvalidInput, ["class", "LogisticRegression()"]),
    "model name": ({"model": "resnet"}, {}, InvalidInput, ["str", "nn.Module", "scikit-learn"]),
    "model fit fails": ({"model": BadFit()}, {}, InvalidInput, ["BadFit.fit fails", "27 rows", "own trouble"]),
    "model parameter": ({"model": LogisticRegression(C=-1)}, {}, InvalidInput, ["LogisticRegression.fit", "'C'"]),
    "wide images": (
        {"model": nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 3))},
        {"X": np.zeros((N, 1, 4, 4), dtype=np.uint8)},
        InvalidInput,
        ["Sequential", "(2, 1, 4, 4)"],
    ),
    "no candidate left": (
        {"candidates": ["bald"], "model": WITHOUT_SAMPLES},
        {},
        MissingOutput,
        ["bald", "mc_log_probs", "choose others"],
    ),
    "strict": (
        {"candidates": ["margin", "bald"], "strict": True, "model": WITHOUT_SAMPLES},
        {},
        MissingOutput,
        ["'bald'", "strict=False"],
    ),
    "unknown device": ({"model": NET, "device": "gpu"}, {}, InvalidInput, ["'gpu'", "'cpu'"]),
    "cuda not there": ({"device": "cuda:99"}, {}, DeviceUnavailable, ["cuda:99", "CUDA", "device='auto' or 'cpu'"]),
}


@pytest.mark.parametrize(("arguments", "call", "error", "words"), list(CALLS.values()), ids=list(CALLS))
def test_wrong_input_is_named(
    arguments: dict[str, Any], call: dict[str, Any], error: type[AutoALError], words: list[str]
) -> None:
    selector = auto(**arguments)
    with pytest.raises(error) as caught:
        selector.fit_query(**{"X": X, "y": Y, "batch_size": 3, **call})
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert not hasattr(selector, "weights_"), "a refused call left a result behind"


def test_query_comes_after_fit() -> None:
    with pytest.raises(NotFitted, match=r"before fit.*call fit\(X, y\)"):
        auto().query(batch_size=3)
    with pytest.raises(NotFitted, match=r"before a query.*call fit_query"):
        auto().leaderboard()


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, len(OPEN) + 1])
def test_query_checks_the_batch_too(batch_size: Any) -> None:
    fitted = auto(mode="uniform").fit(X, Y)
    with pytest.raises(InvalidInput, match="batch_size"):
        fitted.query(batch_size=batch_size)


def test_a_call_that_fails_leaves_the_earlier_answer_whole() -> None:
    selector = auto(mode="uniform")
    before = selector.fit_query(X, Y, batch_size=3)
    selector.model = nn.Linear(4, 9)
    with pytest.raises(InvalidInput):
        selector.fit_query(X[::-1].copy(), Y[::-1].copy(), batch_size=3)
    assert selector.query(batch_size=3) == before


def test_loading_what_is_not_a_saved_selector(tmp_path: Any) -> None:
    with pytest.raises(DataMissing, match=r"no selector\.json.*AutoAL\.save"):
        AutoAL.load(tmp_path)
    auto(mode="uniform").save(tmp_path)
    path = tmp_path / "selector.json"
    whole = path.read_bytes()
    unfit = [whole[: len(whole) // 2], b"", b"[]", b"{}", b"\xff\xfe", whole.replace(b'"format": 1', b'"format": 99')]
    for content in [*unfit, whole.replace(b'"type": "margin"', b'"type": "gone"')]:
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=r"selector\.json"):
            AutoAL.load(tmp_path)
    with pytest.raises(DataMissing):
        AutoAL.load(path)
    with pytest.raises(InvalidInput, match="a folder"):
        auto(mode="uniform").save(path)


def test_saving_what_json_cannot_hold(tmp_path: Any) -> None:
    with pytest.raises(InvalidInput, match=r"random_state.*integer or None"):
        auto(random_state=np.random.RandomState(0)).save(tmp_path)

    class Mine(CANDIDATES["margin"]):  # type: ignore[name-defined, misc]
        pass

    with pytest.raises(InvalidInput, match=r"Mine.*not in CANDIDATES.*state_dict"):
        auto([("mine", Mine())]).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
