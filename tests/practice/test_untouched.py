"""The invariant: the user's model is fitted on what the user would have fitted it on by hand, bit for bit."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from autoal import AutoAL
from autoal.errors import AutoALWarning, InvalidInput
from autoal.models import TorchModel
from autoal.models.training import TrainConfig
from autoal.rng import isolated

N = 75
RNG = np.random.default_rng(0)
LABELED = np.sort(RNG.permutation(N)[:45])
TRUTH = np.tile([0, 1, 2], N // 3)
WORDS = np.array(["oak", "elm", "ash", "bark", "leaf", "root", "crown", "twig", "seed", "moss"])

# Inputs


NUMBERS = np.abs(RNG.normal(size=(N, 5)) * 1.5 + 2 + TRUTH[:, None])
TEXTS = [" ".join([*RNG.choice(WORDS, 6), *["green"] * int(TRUTH[i]), f"tree {i % 5}"]) for i in range(N)]
FRAME = pd.DataFrame(
    {
        "a": NUMBERS[:, 0],
        "gap": np.where(np.arange(N) % 7 == 0, np.nan, NUMBERS[:, 1]),
        "city": pd.Categorical(RNG.choice(["Graz", "Linz", "Wien"], N)),
        "day": pd.Timestamp("2024-02-29") + pd.to_timedelta(np.arange(N) * 5 % 47, unit="D"),
        "said": TEXTS,
    },
    index=[f"row {i}" for i in range(N)],
)


def of_numbers(dtype: str) -> tuple[Any, Callable[[Any], Any]]:
    return NUMBERS.round().astype(dtype) if dtype == "int64" else NUMBERS.astype(dtype), lambda estimator: estimator


def in_a_frame(estimator: Any) -> Any:
    skrub = pytest.importorskip("skrub")
    table = skrub.TableVectorizer(high_cardinality=skrub.StringEncoder(n_components=4, random_state=0))
    return make_pipeline(table, FunctionTransformer(filled), estimator)


def filled(table: pd.DataFrame) -> np.ndarray:
    """No gaps and nothing below 0, which some estimators refuse; of every row alone."""
    return np.abs(table.fillna(0).to_numpy())


def in_words(estimator: Any) -> Any:
    return make_pipeline(TfidfVectorizer(), TruncatedSVD(4, random_state=0), MinMaxScaler(clip=True), estimator)


INPUTS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "float64": of_numbers("float64"),
    "float32": of_numbers("float32"),
    "int64": of_numbers("int64"),
    "frame": (FRAME, in_a_frame),
    "texts": (TEXTS, in_words),
    "Series": (pd.Series(TEXTS), in_words),
}

# Labels


LABELS: dict[str, np.ndarray] = {
    "integers": np.array([3, 7, 9])[TRUTH],
    "texts": np.array(["oak", "elm", "ash"])[TRUTH],
    "booleans": TRUTH == 1,
}
WEIGHTS: dict[str, dict[Any, float]] = {
    "integers": {3: 1, 7: 5, 9: 2},
    "texts": {"oak": 1, "elm": 5, "ash": 2},
    "booleans": {True: 5, False: 1},
}
TARGETS = NUMBERS[:, 0] + 0.5 * TRUTH + 1

# Estimators


def base(kind: str) -> Any:
    return (DecisionTreeClassifier if kind == "classifier" else DecisionTreeRegressor)(max_depth=2, random_state=0)


WITH: dict[str, dict[str, Any]] = {
    "AdaBoostClassifier": {"n_estimators": 5},
    "AdaBoostRegressor": {"n_estimators": 5},
    "BaggingClassifier": {"n_estimators": 3},
    "BaggingRegressor": {"n_estimators": 3},
    "CCA": {"n_components": 1},
    "CalibratedClassifierCV": {"estimator": base("classifier"), "cv": 3},
    "CategoricalNB": {"min_categories": 100},
    "ExtraTreesClassifier": {"n_estimators": 5},
    "ExtraTreesRegressor": {"n_estimators": 5},
    "FixedThresholdClassifier": {"estimator": base("classifier"), "threshold": 0.3},
    "GradientBoostingClassifier": {"n_estimators": 4},
    "GradientBoostingRegressor": {"n_estimators": 4},
    "HistGradientBoostingClassifier": {"max_iter": 4, "min_samples_leaf": 3},
    "HistGradientBoostingRegressor": {"max_iter": 4, "min_samples_leaf": 3},
    "KNeighborsClassifier": {"weights": "distance"},
    "LogisticRegressionCV": {"Cs": 2, "cv": 3},
    "MLPClassifier": {"hidden_layer_sizes": (6,), "max_iter": 15},
    "MLPRegressor": {"hidden_layer_sizes": (6,), "max_iter": 15},
    "NuSVC": {"nu": 0.1},
    "OneVsOneClassifier": {"estimator": LogisticRegression()},
    "LabelPropagation": {"gamma": 1e-9},
    "LabelSpreading": {"gamma": 1e-9},
    "OneVsRestClassifier": {"estimator": LogisticRegression()},
    "OutputCodeClassifier": {"estimator": LogisticRegression()},
    "PLSCanonical": {"n_components": 1},
    "QuadraticDiscriminantAnalysis": {"reg_param": 0.1},
    "RadiusNeighborsClassifier": {"radius": 1e12},
    "RadiusNeighborsRegressor": {"radius": 1e12},
    "RandomForestClassifier": {"n_estimators": 5},
    "RandomForestRegressor": {"n_estimators": 5},
    "SelfTrainingClassifier": {"estimator": base("classifier")},
    "StackingClassifier": {"estimators": [("tree", base("classifier"))], "cv": 2},
    "StackingRegressor": {"estimators": [("tree", base("regressor"))], "cv": 2},
    "TransformedTargetRegressor": {"regressor": Ridge(), "func": np.log, "inverse_func": np.exp},
    "TheilSenRegressor": {"max_subpopulation": 20},
    "TunedThresholdClassifierCV": {"estimator": base("classifier"), "cv": 2},
    "VotingClassifier": {"estimators": [("tree", base("classifier")), ("naive", MultinomialNB())], "voting": "soft"},
    "VotingRegressor": {"estimators": [("tree", base("regressor")), ("ridge", Ridge())]},
}

LEFT_OUT = {
    "ClassifierChain": "wants several labels a row",
    "MultiOutputClassifier": "wants several labels a row",
    "MultiOutputRegressor": "wants several targets a row",
    "MultiTaskElasticNet": "wants several targets a row",
    "MultiTaskElasticNetCV": "wants several targets a row",
    "MultiTaskLasso": "wants several targets a row",
    "MultiTaskLassoCV": "wants several targets a row",
    "RegressorChain": "wants several targets a row",
    "IsotonicRegression": "wants one column; has a test of its own",
    "OutputCodeClassifier": "has neither probabilities nor a decision function; has a test of its own",
}

REFUSES = {
    "CategoricalNB": "whole numbers below min_categories",
    "FixedThresholdClassifier": "two classes",
    "HistGradientBoostingClassifier": "weights of classes 0, 1, 2 by number (of scikit-learn 1.8)",
    "SelfTrainingClassifier": "texts as labels",
    "TunedThresholdClassifierCV": "two classes",
    "XGBClassifier": "classes 0, 1, 2, ...",
}
"""What some estimators want, fitted by hand too."""


def listed(kind: str) -> list[str]:
    return [name for name, _ in all_estimators(kind) if name not in LEFT_OUT]


@cache
def classes_of(kind: str) -> dict[str, Any]:
    return dict(all_estimators(kind))


def made(name: str, kind: str, weights: Any = None) -> Any:
    estimator = classes_of(kind)[name](**WITH.get(name, {}))
    settings = {"random_state": 0} if "random_state" in estimator.get_params() else {}
    if weights is not None:
        settings["class_weight"] = weights
    return estimator.set_params(**settings)


def takes_weights(name: str) -> bool:
    return "class_weight" in made(name, "classifier").get_params()


# The invariant


def taken(rows: Any, indices: np.ndarray) -> Any:
    if isinstance(rows, pd.DataFrame | pd.Series):
        return rows.iloc[indices]
    return [rows[i] for i in indices] if isinstance(rows, list) else rows[indices]


def partly(labels: np.ndarray) -> np.ndarray:
    """The labels of the labeled rows, in a form in which the others are missing."""
    if labels.dtype.kind == "f":
        return np.where(np.isin(np.arange(N), LABELED), labels, np.nan)
    y = labels.astype(object)
    y[np.setdiff1d(np.arange(N), LABELED)] = None
    return y


def answers(fitted: Any, rows: Any) -> dict[str, Any]:
    """Everything it says of rows."""
    names = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    return {name: getattr(fitted, name)(rows) for name in names if hasattr(fitted, name)}


def check(estimator: Any, rows: Any, labels: np.ndarray, y: Any = None, fresh: Callable[[Any], Any] = clone) -> bool:
    """Whether the estimator can be fitted by hand; then a selector's must answer alike, bit for bit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        warnings.filterwarnings("error", category=AutoALWarning)
        by_hand = fresh(estimator)
        try:
            by_hand.fit(taken(rows, LABELED), labels[LABELED])
        except ValueError:
            return False
        selector = AutoAL(["random"], mode="uniform", model=estimator, random_state=0)
        selector.fit(rows, partly(labels) if y is None else y)
        fitted, pool = selector.model_.fitted, taken(rows, np.setdiff1d(np.arange(N), LABELED))
        assert fitted is not estimator
        assert not selector.model_.notes
        wanted, got = answers(by_hand, pool), answers(fitted, pool)
        assert list(got) == list(wanted)
        for name in wanted:
            np.testing.assert_array_equal(got[name], wanted[name], strict=True, err_msg=name)
        for name in ("classes_", "feature_names_in_"):
            if hasattr(by_hand, name):
                np.testing.assert_array_equal(getattr(fitted, name), getattr(by_hand, name), strict=name == "classes_")
    return True


FEW = {
    "HistGradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "LogisticRegression",
    "RandomForestClassifier",
    "Ridge",
    "StackingClassifier",
}
"""On which each kind of rows is tried in every run; the others meet numbers then, and all of it with `-m slow`."""


def grid(kind: str) -> list[Any]:
    def cell(name: str, inputs: str) -> Any:
        quick = inputs == "float64" or name in FEW
        return pytest.param(name, inputs, marks=() if quick else pytest.mark.slow)

    # Moments in seconds would be that many categories.
    cells = [(name, inputs) for name in listed(kind) for inputs in INPUTS]
    return [cell(name, inputs) for name, inputs in cells if (name, inputs) != ("CategoricalNB", "frame")]


@pytest.mark.parametrize(("name", "inputs"), grid("classifier"))
def test_classifiers(name: str, inputs: str) -> None:
    rows, wrapped = INPUTS[inputs]
    done = []
    for labels, table in LABELS.items():
        for weights in (None, WEIGHTS[labels]) if takes_weights(name) else (None,):
            done.append(check(wrapped(made(name, "classifier", weights)), rows, table))
    assert all(done) or name in REFUSES
    assert any(done)


@pytest.mark.parametrize(("name", "inputs"), grid("regressor"))
def test_regressors(name: str, inputs: str) -> None:
    rows, wrapped = INPUTS[inputs]
    assert check(wrapped(made(name, "regressor")), rows, TARGETS)


@pytest.mark.parametrize("name", listed("regressor"))
def test_whole_targets(name: str) -> None:
    """They become floats of the same value, as beside NaN they are anyhow."""
    assert check(made(name, "regressor"), NUMBERS, TARGETS.round())


def test_isotonic_regression() -> None:
    estimator = classes_of("regressor")["IsotonicRegression"](out_of_bounds="clip")
    assert check(estimator, NUMBERS[:, :1], TARGETS)


def test_no_probabilities_come_with_what_to_do() -> None:
    estimator = classes_of("classifier")["OutputCodeClassifier"](LogisticRegression(), random_state=0)
    with pytest.raises(InvalidInput, match="BaggingClassifier"):
        check(estimator, NUMBERS, LABELS["texts"])
    assert check(BaggingClassifier(estimator, 3, random_state=0), NUMBERS, LABELS["texts"])


def test_every_reason_has_an_estimator() -> None:
    names = {name for kind in ("classifier", "regressor") for name in classes_of(kind)} | {"XGBClassifier"}
    assert {*LEFT_OUT, *REFUSES, *WITH, *FEW} <= names


# Weights of samples, sparse rows, searches: what goes on inside


@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "csr_array"])
def test_sparse_rows(form: str) -> None:
    rows = getattr(sparse, form)(np.where(NUMBERS > 3, NUMBERS, 0))
    for estimator in (
        LogisticRegression(random_state=0),
        RandomForestClassifier(4, random_state=0),
        make_pipeline(MaxAbsScaler(), SGDClassifier(random_state=0)),
    ):
        assert check(estimator, rows, LABELS["texts"])


@pytest.mark.parametrize("labels", LABELS)
def test_searches_and_calibration(labels: str) -> None:
    for estimator in (
        GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 3]}, cv=3),
        RandomizedSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]}, n_iter=2, cv=2, random_state=0),
        CalibratedClassifierCV(LinearSVC(random_state=0), cv=3),
        make_pipeline(SelectKBest(k=2), LogisticRegression()),
    ):
        assert check(estimator, NUMBERS, LABELS[labels])


@pytest.mark.parametrize(
    "container", [pd.DataFrame, lambda rows: pd.DataFrame(rows, columns=list("abcde")), np.asarray]
)
def test_pandas_output_and_names(container: Any) -> None:
    for output in ("pandas", "default"):
        with config_context(transform_output=output):
            assert check(
                make_pipeline(MaxAbsScaler(), RandomForestClassifier(4, random_state=0)),
                container(NUMBERS),
                LABELS["texts"],
            )


# Other libraries


def boosted(name: str, kind: str = "Classifier", **more: Any) -> Any:
    library = pytest.importorskip(name)
    if name == "xgboost":
        return getattr(library, f"XGB{kind}")(n_estimators=5, n_jobs=1, random_state=0, **more)
    if name == "lightgbm":
        quiet = {"n_jobs": 1, "verbose": -1, "random_state": 0, "min_child_samples": 3}
        return getattr(library, f"LGBM{kind}")(n_estimators=5, **quiet, **more)
    quiet = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
    return getattr(library, f"CatBoost{kind}")(iterations=5, **quiet, **more)


BOOSTED = ["xgboost", "lightgbm", "catboost"]
GAPS = NUMBERS.copy()
GAPS[RNG.random(GAPS.shape) < 0.2] = np.nan


@pytest.mark.parametrize("name", BOOSTED)
@pytest.mark.parametrize(
    "inputs", ["float64", "float32", "int64", "texts", pytest.param("frame", marks=pytest.mark.slow)]
)
def test_boosting(name: str, inputs: str) -> None:
    rows, wrapped = INPUTS[inputs]
    for labels, table in LABELS.items():
        if name == "xgboost" and labels != "booleans":
            continue  # it wants 0, 1, 2: the next test
        weighted = {"class_weight" if name == "lightgbm" else "class_weights": WEIGHTS[labels]}
        # XGBoost has no weights of classes, and CatBoost knows truth values by other names there.
        plain = name == "xgboost" or (name, labels) == ("catboost", "booleans")
        for more in ({},) if plain else ({}, weighted):
            assert check(wrapped(boosted(name, **more)), rows, table, fresh=fresh_booster)
    assert check(wrapped(boosted(name, "Regressor")), rows, TARGETS)


def fresh_booster(estimator: Any) -> Any:
    try:
        return clone(estimator)
    except RuntimeError:  # CatBoost copies its weights
        return copy.deepcopy(estimator)


@pytest.mark.parametrize("name", BOOSTED)
def test_boosting_with_gaps_and_categories(name: str) -> None:
    named = (
        {"cat_features": ["city"]} if name == "catboost" else {"enable_categorical": True} if name == "xgboost" else {}
    )
    frame = FRAME[["a", "gap", "city"]]
    frame = frame.assign(city=frame["city"].astype(str)) if name == "catboost" else frame
    for rows, more in ((GAPS, {}), (pd.DataFrame(GAPS), {}), (frame, named)):
        assert check(boosted(name, **more), rows, LABELS["booleans"], fresh=fresh_booster)


@pytest.mark.parametrize("labels", ["integers", "texts"])
def test_xgboost_is_fitted_on_codes_of_labels_that_it_refuses(labels: str) -> None:
    table = LABELS[labels]
    by_hand = boosted("xgboost").fit(NUMBERS[LABELED], np.unique(table, return_inverse=True)[1][LABELED])
    selector = AutoAL(["random"], mode="uniform", model=boosted("xgboost"), random_state=0)
    selector.fit(NUMBERS, partly(table))
    np.testing.assert_array_equal(
        selector.model_.fitted.predict_proba(NUMBERS), by_hand.predict_proba(NUMBERS), strict=True
    )
    said = selector.model_.predict_log_probs(selector.pool_.rows, torch.arange(N)).argmax(1)
    assert selector.classes_[said].tolist() == np.unique(table)[by_hand.predict(NUMBERS)].tolist()


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with isolated(0):
            self.layers = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows)


def test_skorch() -> None:
    skorch = pytest.importorskip("skorch")
    rows = NUMBERS.astype("float32")

    def net() -> Any:
        return skorch.NeuralNetClassifier(
            Small, criterion=nn.CrossEntropyLoss, max_epochs=2, lr=0.1, train_split=None, verbose=0
        )

    for labels in ("texts", "integers"):
        selector = AutoAL(["random"], mode="uniform", model=net(), random_state=0)
        selector.fit(rows, partly(LABELS[labels]))
        by_hand = net().fit(rows[LABELED], np.unique(LABELS[labels], return_inverse=True)[1][LABELED])
        wanted, got = by_hand.predict_proba(rows), selector.model_.fitted.predict_proba(rows)
        np.testing.assert_array_equal(got, wanted, strict=True)


# Networks: what `forward` receives is what a DataLoader gives


class OfList(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Anything(nn.Module):
    """Takes whatever there is, and makes numbers of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, *parts: Any, **named: Any) -> Tensor:
        flat = [
            part.float().reshape(len(part), -1).sum(1) for part in [*parts, *named.values()] if isinstance(part, Tensor)
        ]
        return self.layer(torch.stack(flat).mean(0)[:, None] / 100)


def tensors(*shape: int, whole: bool = False) -> Tensor:
    made = torch.from_numpy(np.random.default_rng(len(shape)).normal(size=(N, *shape)) * 50 + 7)
    return made.long() if whole else made.float()


ROWS, PICTURES, IDS = tensors(5), tensors(3, 4, 4), tensors(6, whole=True)
DATASETS: dict[str, Any] = {
    "tensors": OfList(list(ROWS)),
    "pictures": OfList(list(PICTURES)),
    "arrays": OfList(list(ROWS.numpy())),
    "whole numbers": OfList(list(IDS)),
    "small whole numbers": OfList(list(IDS.to(torch.int16))),
    "one-tuples": TensorDataset(ROWS),
    "tuples": TensorDataset(ROWS, IDS, PICTURES),
    "pairs with a number": OfList([(row, float(i)) for i, row in enumerate(ROWS)]),
    "dicts": OfList(
        [{"rows": row, "ids": ids, "name": f"row {i}"} for i, (row, ids) in enumerate(zip(ROWS, IDS, strict=True))]
    ),
    "dicts within dicts": OfList(
        [{"rows": row, "more": {"ids": ids, "all": (row, ids)}} for row, ids in zip(ROWS, IDS, strict=True)]
    ),
    "double precision": TensorDataset(ROWS.double(), IDS),
    "truth values": OfList([(row, row > 0) for row in ROWS]),
}


@pytest.mark.parametrize("name", DATASETS)
def test_forward_receives_what_a_data_loader_gives(name: str) -> None:
    data = DATASETS[name]
    module, got = Anything(), []

    def keep(_: Any, args: Any, kwargs: Any) -> None:
        got.append(kwargs or (args[0] if len(args) == 1 else args))

    with isolated(0), warnings.catch_warnings():
        warnings.simplefilter("ignore", AutoALWarning)  # that *parts gets all of them
        adapter = TorchModel(module, config=TrainConfig(epochs=1, min_steps=1), device="cpu", inplace=True)
        selector = AutoAL(["random"], mode="uniform", model=adapter, random_state=0)
        selector.fit(data, partly(LABELS["texts"]))
    handle = adapter.module.register_forward_pre_hook(keep, with_kwargs=True)
    asked = torch.tensor([4, 70, 0, 33, 12])
    adapter.predict_log_probs(selector.pool_.rows, asked)
    handle.remove()
    (wanted,) = DataLoader(Subset(data, asked.tolist()), batch_size=len(asked))
    if isinstance(wanted, list):  # of one part a loop takes that
        wanted = wanted[0] if len(wanted) == 1 else tuple(wanted)
    same(got[0], wanted)
    assert not [note for note in adapter.notes if "refuses" in note]


def same(got: Any, wanted: Any) -> None:
    if isinstance(wanted, Tensor):
        assert got.dtype == wanted.dtype and torch.equal(got, wanted)
    elif isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for name in wanted:
            same(got[name], wanted[name])
    elif isinstance(wanted, list | tuple) and not isinstance(wanted[0], str):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            same(one, other)
    else:
        assert list(got) == list(wanted)


@pytest.mark.parametrize("name", ["tensors", "whole numbers", "pictures", "tuples", "dicts"])
def test_training_receives_it_too(name: str) -> None:
    """Every row that the network is trained on is a row of the data, as it is: neither scaled nor cast."""
    data, seen = DATASETS[name], []

    class Keeps(Anything):
        def forward(self, *parts: Any, **named: Any) -> Tensor:
            if self.training:
                seen.append(parts[0] if parts else named["rows"])
            return super().forward(*parts, **named)

    adapter = TorchModel(Keeps(), config=TrainConfig(epochs=2, min_steps=2, batch_size=16), device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AutoALWarning)  # that *parts gets all of them
        AutoAL(["random"], mode="uniform", model=adapter, random_state=0).fit(data, partly(LABELS["texts"]))
    first = {"tuples": ROWS, "dicts": ROWS, "tensors": ROWS, "whole numbers": IDS, "pictures": PICTURES}[name]
    known = {row.numpy().tobytes() for row in first[LABELED]}
    assert seen and {row.numpy().tobytes() for batch in seen for row in batch} == known
