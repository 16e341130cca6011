"""Rows go to the user's model in the container they came in: section 1 of what people bring, and its kin."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from torch import Tensor, nn
from torch.utils.data import Dataset, StackDataset, Subset, TensorDataset

from autoal import AutoAL
from autoal.data.items import Items
from autoal.errors import AutoALWarning, InvalidInput
from autoal.models import TorchModel
from autoal.models.training import TrainConfig
from autoal.rng import isolated

N, LABELED = 60, 20
RNG = np.random.default_rng(0)
TRUTH = np.tile([0, 1], N // 2)
X = RNG.normal(size=(N, 4)) + TRUTH[:, None]
Y = np.where(np.arange(N) < LABELED, TRUTH, -1)
CITY = np.array(["Graz", "Linz", "Wien"])[RNG.integers(3, size=N)]
WORDS = np.array(["oak", "elm", "ash", "bark", "leaf", "root", "crown", "twig"])
TEXTS = [f"{' '.join(RNG.choice(WORDS, 4))} number {i}" + " green" * int(TRUTH[i]) for i in range(N)]
QUICK = TrainConfig(epochs=2, min_steps=2)


def ask(rows: Any, model: Any = None, y: Any = Y, **more: Any) -> tuple[AutoAL, Any]:
    """The selector and its query; any warning of ours is an error."""
    encoder = more.pop("encoder", None)
    selector = AutoAL("fast", model=model, random_state=0, encoder=encoder)
    query = selector.fit_query(rows, y, batch_size=3, **more)
    assert len(set(query.indices.tolist()) | set(range(LABELED))) == LABELED + 3 or "X_pool" in more
    return selector, query


def read_as(query: Any) -> str:
    return "; ".join(query.diagnostics["read_as"])


class Seen(ClassifierMixin, BaseEstimator):
    """A classifier of anything, which keeps what it was given."""

    def fit(self, rows: Any, y: Any) -> Seen:
        self.classes_, self.rows_, self.y_ = np.unique(y), rows, y
        return self

    def predict_proba(self, rows: Any) -> np.ndarray:
        self.asked_ = rows
        return np.full((count_of(rows), len(self.classes_)), 1 / len(self.classes_))


def received(rows: Any, **more: Any) -> Any:
    """What the user's estimator got at its `fit`."""
    selector = AutoAL(["random"], mode="uniform", model=Seen(), random_state=0, encoder=first_number)
    selector.fit(rows, Y, **more)
    return selector.model_.fitted.rows_


def first_number(rows: Any) -> np.ndarray:
    """An encoder that takes whatever there is."""
    return np.arange(count_of(rows), dtype=float)[:, None]


def count_of(rows: Any) -> int:
    rows = next(iter(rows.values())) if isinstance(rows, dict) else rows[0] if isinstance(rows, tuple) else rows
    return rows.shape[0] if hasattr(rows, "shape") else len(rows)


# Texts


def polars_series(values: list[str]) -> Any:
    return pytest.importorskip("polars").Series("text", values)


def polars_frame(values: list[str]) -> Any:
    return pytest.importorskip("polars").DataFrame({"text": values})


CONTAINERS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "Series": pd.Series,
    "Series with an index of its own": lambda values: pd.Series(values, index=[f"row {i}" for i in range(len(values))]),
    "string Series": lambda values: pd.Series(values, dtype="string"),
    "categorical Series": lambda values: pd.Series(values).astype("category"),
    "Index": pd.Index,
    "values of a Series": lambda values: pd.Series(values, dtype="string").array,
    "Dataset": lambda values: OfList(values),
    "object array": lambda values: np.array(values, dtype=object),
    "text array": np.array,
    "one column": lambda values: np.array(values, dtype=object)[:, None],
    "one text column": lambda values: np.array(values)[:, None],
    "frame": lambda values: pd.DataFrame({"text": values}),
    "polars Series": polars_series,
    "polars frame": polars_frame,
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("first", [TfidfVectorizer, CountVectorizer])
def test_texts_in_any_container_go_to_the_pipeline(container: str, first: Any) -> None:
    model = make_pipeline(first(), LogisticRegression(random_state=0))
    selector, _ = ask(CONTAINERS[container](TEXTS), model)
    by_hand = model.fit(TEXTS[:LABELED], TRUTH[:LABELED])
    np.testing.assert_array_equal(selector.model_.fitted.predict_proba(TEXTS), by_hand.predict_proba(TEXTS))


@pytest.mark.parametrize("container", CONTAINERS)
def test_texts_need_no_model(container: str) -> None:
    _, query = ask(CONTAINERS[container](TEXTS))
    assert "TfidfVectorizer" in read_as(query)


@pytest.mark.parametrize("gap", [None, float("nan"), pd.NA])
@pytest.mark.parametrize("container", [list, pd.Series])
def test_a_missing_text_is_an_empty_one(container: Any, gap: Any) -> None:
    ask(container([gap, *TEXTS[1:]]))


def test_texts_that_an_estimator_refuses_come_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="TfidfVectorizer"):
        ask(TEXTS, LogisticRegression())


@pytest.mark.parametrize(
    "columns",
    [
        make_column_transformer((TfidfVectorizer(), "text")),
        make_column_transformer((TfidfVectorizer(), "text"), ("drop", ["number"])),
        make_column_transformer((TfidfVectorizer(), "text"), (StandardScaler(), ["number"])),
        FunctionTransformer(lambda frame: frame[["number"]]),
        FunctionTransformer(lambda frame: frame.loc[:, ["number"]] * 2),
        make_column_transformer((StandardScaler(), make_column_selector(dtype_include="number"))),
    ],
    ids=lambda made: type(made).__name__,
)
def test_a_frame_of_a_thousand_different_texts_stays_a_frame(columns: Any) -> None:
    n = 1001
    frame = pd.DataFrame({"text": [f"{TEXTS[i % N]} {i}" for i in range(n)], "number": np.arange(n) % 17 / 3})
    y = np.full(n, -1)
    y[:40] = np.arange(40) % 2
    ask(frame, make_pipeline(columns, LogisticRegression(random_state=0)), y)


# What an estimator receives is what was handed over


FRAME = pd.DataFrame(
    {
        "a": X[:, 0],
        "gap": np.where(np.arange(N) % 7 == 0, np.nan, X[:, 1]),
        "city": pd.Categorical(CITY),
        "day": pd.Timestamp("2024-02-29") + pd.to_timedelta(np.arange(N) * 5 % 47, unit="D"),
        "said": TEXTS,
        "yes": TRUTH[::-1] == 1,
        "whole": pd.array(np.where(np.arange(N) % 5 == 0, None, np.arange(N) % 9), dtype="Int64"),
    },
    index=[f"row {i}" for i in range(N)],
)


@pytest.mark.parametrize(
    "rows",
    [
        pd.Series(TEXTS, index=FRAME.index, name="said"),
        FRAME,
        FRAME[["a", "gap"]],
        FRAME[["a"]].astype("float32"),
        FRAME[["whole", "yes"]],
        FRAME.rename(columns=lambda name: len(name)).iloc[:, :2],
        FRAME.set_axis(pd.MultiIndex.from_product([["top"], FRAME.columns]), axis=1),
        FRAME.assign(again=FRAME["a"]).rename(columns={"again": "a"}),
    ],
    ids=lambda rows: f"{type(rows).__name__} {rows.shape}",
)
def test_frames_arrive_with_their_index_and_types(rows: Any) -> None:
    got, given = received(rows), rows.iloc[:LABELED]
    (pd.testing.assert_frame_equal if isinstance(rows, pd.DataFrame) else pd.testing.assert_series_equal)(got, given)


@pytest.mark.parametrize(
    "rows",
    [
        X,
        X.astype("float32"),
        X.astype("float16"),
        np.round(X).astype("int8"),
        np.abs(X).astype("uint16"),
        X > 0,
        np.asfortranarray(X),
        X[:, ::-1],
        (X * 40 % 255).astype("uint8").reshape(N, 2, 2),
        np.where(X > 1, np.nan, X),
        np.where(X > 2, np.inf, X),
        np.column_stack([CITY, CITY[::-1]]),
        np.column_stack([CITY.astype(object), X[:, 0]]),
        np.column_stack([CITY.astype(object), np.where(X[:, 0] > 1, None, X[:, 0])]),
    ],
    ids=lambda rows: f"{rows.dtype} {rows.shape}",
)
def test_arrays_arrive_as_they_are(rows: Any) -> None:
    before, got = rows.copy(), received(rows)
    assert type(got) is np.ndarray and got.dtype == rows.dtype
    assert got.tolist() == rows[:LABELED].tolist() or np.array_equal(got, rows[:LABELED], equal_nan=True)
    got[:] = got[0]
    assert before.tolist() == rows.tolist() or np.array_equal(before, rows, equal_nan=True)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array", "csc_array", "lil_matrix"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_sparse_rows_arrive_in_their_format(kind: str, dtype: str) -> None:
    rows = getattr(sparse, kind)(np.where(X > 1, X.round(2), 0).astype(dtype))
    got = received(rows)
    assert type(got) is type(rows) and got.dtype == dtype
    np.testing.assert_array_equal(got.toarray(), rows.toarray()[:LABELED])


def test_objects_arrive_as_they_are() -> None:
    for rows in (
        [{"a": 1.0, "b": str(i % 3)} for i in range(N)],
        [list(range(i % 5 + 1)) for i in range(N)],
        [(i, str(i)) for i in range(N)],
    ):
        assert received(rows) == rows[:LABELED]
    parts = {"numbers": X, "texts": TEXTS, "frame": FRAME}
    got = received(parts)
    assert list(got) == list(parts) and got["texts"] == TEXTS[:LABELED]
    np.testing.assert_array_equal(got["numbers"], X[:LABELED])
    pd.testing.assert_frame_equal(got["frame"], FRAME.iloc[:LABELED])
    got = received((X, torch.from_numpy(X)))
    assert isinstance(got, tuple) and isinstance(got[1], Tensor)
    assert torch.equal(got[1], torch.from_numpy(X[:LABELED]))


def test_polars_arrives_as_polars() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": X[:, 0], "city": CITY.tolist(), "gap": [None, *X[1:, 1].tolist()]})
    assert received(frame).equals(frame[:LABELED])
    texts = polars.Series("said", TEXTS)
    assert received(texts).to_list() == TEXTS[:LABELED]


# Estimators that name columns, take categories, dates and gaps


def test_boosting_with_categories_by_name() -> None:
    frame = FRAME[["a", "gap", "city"]]
    for named in (["city"], "from_dtype", [2], [False, False, True]):
        selector, _ = ask(frame, HistGradientBoostingClassifier(categorical_features=named, random_state=0))
        assert selector.model_.fitted.is_categorical_.tolist() == [False, False, True], named
        assert not selector.model_.notes


def test_catboost_with_names() -> None:
    catboost = pytest.importorskip("catboost")
    frame = FRAME.assign(city=CITY)[["a", "gap", "city", "said"]]
    quiet = {"iterations": 5, "verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
    for more in (
        {"cat_features": ["city"], "text_features": ["said"]},
        {"cat_features": [2], "text_features": [3]},
        {"cat_features": ["city", "said"]},
    ):
        with pytest.warns(AutoALWarning, match="'said' is read as text"):
            selector, _ = ask(frame, catboost.CatBoostClassifier(**quiet, **more))
        assert selector.model_.fitted.feature_names_ == list(frame.columns)


def test_catboost_with_whole_numbers_among_objects() -> None:
    catboost = pytest.importorskip("catboost")
    quiet = {"iterations": 3, "verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
    rows = np.column_stack([TRUTH, np.arange(N) % 5, np.arange(N) % 3]).astype(object)
    selector, _ = ask(rows, catboost.CatBoostClassifier(cat_features=[1, 2], **quiet))
    assert selector.model_.fitted.get_cat_feature_indices() == [1, 2]


def test_lightgbm_and_xgboost_with_categories() -> None:
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    frame = FRAME[["a", "gap", "city"]]
    ask(frame, lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1, random_state=0))
    ask(frame, xgboost.XGBClassifier(n_estimators=3, n_jobs=1, enable_categorical=True, random_state=0))


def booster(name: str) -> Any:
    if name == "xgboost":
        return pytest.importorskip("xgboost").XGBClassifier(n_estimators=3, n_jobs=1, random_state=0)
    if name == "lightgbm":
        return pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1, random_state=0)
    if name == "catboost":
        quiet = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
        return pytest.importorskip("catboost").CatBoostClassifier(iterations=3, **quiet)
    return {
        "boosting": HistGradientBoostingClassifier(random_state=0),
        "imputer": make_pipeline(SimpleImputer(), LogisticRegression(random_state=0)),
        "neighbours": make_pipeline(KNNImputer(), LogisticRegression(random_state=0)),
        "search": GridSearchCV(make_pipeline(SimpleImputer(), LogisticRegression()), {"logisticregression__C": [1, 2]}),
        "nothing": None,
    }[name]


GAPS = np.where(RNG.random((N, 4)) < 0.15, np.nan, X)


@pytest.mark.parametrize(
    "name", ["xgboost", "lightgbm", "catboost", "boosting", "imputer", "neighbours", "search", "nothing"]
)
@pytest.mark.parametrize(
    "container",
    [np.asarray, lambda gaps: gaps.astype("float32"), pd.DataFrame, torch.from_numpy, lambda gaps: gaps.tolist()],
    ids=["array", "float32", "frame", "tensor", "lists"],
)
def test_gaps_are_for_the_estimator(name: str, container: Any) -> None:
    ask(container(GAPS), booster(name))


def test_a_column_of_gaps_alone_and_gaps_written_as_none() -> None:
    gaps = GAPS.copy()
    gaps[:, 2] = np.nan
    ask(gaps, make_pipeline(SimpleImputer(keep_empty_features=True), LogisticRegression()))
    written = GAPS.astype(object)
    written[np.isnan(GAPS)] = None
    ask(written, HistGradientBoostingClassifier(random_state=0))
    ask(pd.DataFrame(GAPS).convert_dtypes(), make_pipeline(SimpleImputer(), LogisticRegression()))


def test_gaps_that_an_estimator_refuses_come_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="SimpleImputer"):
        ask(GAPS, LogisticRegression())
    with pytest.raises(InvalidInput, match="NaN"):
        ask(GAPS, nn.Linear(4, 2))


@pytest.mark.parametrize("day", ["day", "zoned", "period", "spans"])
def test_dates_are_for_the_pipeline_and_for_distances(day: str) -> None:
    frame = FRAME[["a", "day"]].assign(
        zoned=FRAME["day"].dt.tz_localize("Europe/Vienna"),
        period=FRAME["day"].dt.to_period("D"),
        spans=FRAME["day"] - pd.Timestamp("2024-01-01"),
    )[["a", day]]
    ask(frame)
    taken = FunctionTransformer(lambda frame: frame[["a"]].assign(since=np.arange(len(frame)) % 3))
    selector, _ = ask(frame, make_pipeline(taken, LogisticRegression()))
    assert selector.pool_.rows.encoded(slice(None)).shape[1] > 1


# What a column holds is inferred, and said


IDS = [f"{i * 7919 % 99991:05d}-{i:04x}" for i in range(N)]
ODD = {
    "file names": ([f"img_{i * 37 % 997:04d}.png" for i in range(N)], "left out", "neither text nor a date"),
    "paths": ([f"/data/{i % 7}/scan-{i}.tiff" for i in range(N)], "left out", "neither text nor a date"),
    "ids": (IDS, "left out", "neither text nor a date"),
    "hashes": ([f"{hash((i, 'x')) & 0xFFFFFFFF:08x}q" for i in range(N)], "left out", "neither text nor a date"),
    "counter": (list(range(N)), "left out", "count"),
    "constant": (["same"] * N, "left out", "one value"),
    "empty": ([None] * N, "left out", "no value"),
    "ISO dates": ([f"2024-{i % 12 + 1:02d}-{i % 28 + 1:02d}" for i in range(N)], "dates", ""),
    "ISO moments": ([f"2024-01-{i % 28 + 1:02d}T{i % 24:02d}:30:00" for i in range(N)], "dates", ""),
    "days first": ([f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2023" for i in range(N)], "dates", ""),
    "decimal commas": ([f"{i * 37 % 101},{i % 10}" for i in range(N)], "numbers", ""),
    "thousands": ([f"1,{i * 37 % 1000:03d}.5" for i in range(N)], "numbers", ""),
    "prices": ([f"{i * 3}.50 €" for i in range(N)], "numbers", ""),
    "texts": (TEXTS, "text", ""),
}


@pytest.mark.parametrize("name", ODD)
def test_what_a_column_of_strings_holds_is_inferred_and_said(name: str) -> None:
    values, wanted, why = ODD[name]
    frame = pd.DataFrame({"x": X[:, 0], "z": X[:, 1], "odd": pd.Series(values, dtype=None)})
    with pytest.warns(AutoALWarning, match="'odd'") as said:
        selector, query = ask(frame)
    assert len([one for one in said if issubclass(one.category, AutoALWarning)]) == 1
    note = next(note for note in query.diagnostics["read_as"] if "'odd'" in note)
    assert wanted in note and why in note
    assert selector.fitted_.state.inputs.encoded(slice(None)).isfinite().all()


def test_what_was_said_is_not_said_again() -> None:
    frame = pd.DataFrame({"x": X[:, 0], "id": IDS})
    selector = AutoAL("fast", random_state=0)
    with pytest.warns(AutoALWarning, match="left out"):
        selector.fit_query(frame, Y, batch_size=3)
    again = selector.fit_query(frame, Y, batch_size=3)  # a warning would be an error
    assert "left out" in read_as(again)


def test_a_column_left_out_changes_no_pick() -> None:
    plain = pd.DataFrame({"x": X[:, 0], "z": X[:, 1], "city": CITY})
    _, without = ask(plain)
    with pytest.warns(AutoALWarning, match="left out"):
        _, with_ids = ask(plain.assign(file=ODD["file names"][0]))
    assert with_ids.indices.tolist() == without.indices.tolist()


@pytest.mark.parametrize("column", ["file names", "ids"])
def test_nothing_but_names_is_refused(column: str) -> None:
    with pytest.raises(InvalidInput, match="tells its rows apart"):
        ask(pd.DataFrame({"file": ODD[column][0], "again": ODD[column][0][::-1]}))


def test_categories_and_numbers_need_no_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, query = ask(FRAME[["a", "gap", "city", "day", "yes", "whole"]])
    assert all("no model was given" in note or "-1" in note for note in query.diagnostics["read_as"])


# Items of several parts, and networks


class Recorded(nn.Module):
    """Keeps what its `forward` gets; subclasses say what that is."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)
        self.got: list[Any] = []


def net(module: nn.Module) -> TorchModel:
    with isolated(0):
        for layer in module.children():
            getattr(layer, "reset_parameters", int)()
    return TorchModel(module, config=QUICK, device="cpu")


class Part(TransformerMixin, BaseEstimator):
    """The part of a dict that is called so."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, rows: Any, y: Any = None) -> Part:
        return self

    def transform(self, rows: Any) -> Any:
        return rows[self.name]

    def __sklearn_is_fitted__(self) -> bool:
        return True


class OfList(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class ByKeyword(Recorded):
    def forward(self, pixels: Tensor, age: Tensor) -> Tensor:
        self.got.append((pixels, age))
        return self.layer(pixels) + age[:, None]


class Whole(Recorded):
    def forward(self, item: dict[str, Tensor]) -> Tensor:
        return self.layer(item["pixels"]) + item["age"][:, None]


class Anything(Recorded):
    def forward(self, **parts: Tensor) -> Tensor:
        return self.layer(parts["pixels"]) + parts["age"][:, None]


PIXELS, AGE = torch.from_numpy(X).float(), torch.arange(N).float() / N
DICTS = [{"pixels": PIXELS[i], "age": AGE[i]} for i in range(N)]


@pytest.mark.parametrize("kind", [ByKeyword, Whole, Anything])
@pytest.mark.parametrize(
    "rows",
    [DICTS, OfList(DICTS), {"pixels": PIXELS, "age": AGE}, {"pixels": X.astype("float32"), "age": AGE.numpy()}],
    ids=["list", "Dataset", "dict of tensors", "dict of arrays"],
)
def test_dicts_go_by_keyword(kind: Any, rows: Any) -> None:
    ask(rows, net(kind()))


def test_a_stacked_dataset_of_names() -> None:
    ask(StackDataset(pixels=PIXELS, age=AGE), net(ByKeyword()))


class Pair(Recorded):
    def forward(self, pixels: Tensor, age: Tensor) -> Tensor:
        return self.layer(pixels) + age[:, None]


PAIRS = [(PIXELS[i], AGE[i]) for i in range(N)]


@pytest.mark.parametrize(
    "rows",
    [PAIRS, OfList(PAIRS), TensorDataset(PIXELS, AGE), (PIXELS, AGE), (PIXELS.numpy(), AGE.numpy())],
    ids=["list", "Dataset", "TensorDataset", "tuple of tensors", "tuple of arrays"],
)
def test_tuples_go_by_position(rows: Any) -> None:
    selector, _ = ask(rows, net(Pair()))
    assert not selector.model_.notes


class Single(Recorded):
    def forward(self, pixels: Tensor) -> Tensor:
        return self.layer(pixels)


@pytest.mark.parametrize("rows", [PAIRS, OfList(PAIRS), TensorDataset(PIXELS, AGE)], ids=["list", "Dataset", "tensors"])
def test_a_second_part_that_is_not_taken_is_said(rows: Any) -> None:
    with pytest.warns(AutoALWarning, match="the first part alone"):
        _, query = ask(rows, net(Single()))
    assert "the first part alone" in read_as(query)


def test_a_second_part_that_is_not_taken_is_said_whatever_the_size_of_its_numbers() -> None:
    small = torch.from_numpy(IDS_OF_WORDS % 100).to(torch.int16)
    with pytest.warns(AutoALWarning, match="the first part alone"):
        ask(TensorDataset(small, AGE), net(Tokens()))


def test_a_part_of_a_dict_that_is_not_taken_is_said() -> None:
    class Fewer(Recorded):
        def forward(self, pixels: Tensor) -> Tensor:
            return self.layer(pixels)

    with pytest.warns(AutoALWarning, match="age"):
        ask(OfList(DICTS), net(Fewer()))


@pytest.mark.parametrize("name", ["labels", "label", "Target", "y"])
def test_a_label_inside_an_item_does_not_reach_the_net(name: str) -> None:
    class Learner(Recorded):
        def forward(self, pixels: Tensor, **more: Any) -> Tensor:
            return self.layer(pixels)

    items = [{"pixels": PIXELS[i], name: int(TRUTH[i])} for i in range(N)]
    for rows in (items, OfList(items), {"pixels": PIXELS, name: torch.from_numpy(TRUTH)}):
        with pytest.raises(InvalidInput, match=name):
            ask(rows, net(Learner()))
    ask(Items(OfList(items), label=name), net(Learner()))


@pytest.mark.parametrize(
    "items",
    [
        Items(OfList([(PIXELS[i], int(TRUTH[i])) for i in range(N)]), label=1),
        Items(OfList([(int(TRUTH[i]), PIXELS[i]) for i in range(N)]), label=0),
        Items(OfList([(PIXELS[i], int(TRUTH[i])) for i in range(N)]), label=-1),
        Items(OfList([(PIXELS[i], int(TRUTH[i])) for i in range(N)]), inputs=[0]),
        Items(OfList([{"pixels": PIXELS[i], "kind": int(TRUTH[i])} for i in range(N)]), label="kind"),
        Items(OfList([{"pixels": PIXELS[i], "kind": int(TRUTH[i])} for i in range(N)]), inputs=["pixels"]),
        Items([[PIXELS[i], int(TRUTH[i])] for i in range(N)], label=1),
    ],
    ids=["last", "first", "from the end", "inputs", "of a dict", "inputs of a dict", "lists"],
)
def test_items_leave_the_label_out(items: Items) -> None:
    selector, _ = ask(items, net(Single()))
    assert not selector.model_.notes


@pytest.mark.parametrize("items", [{}, {"inputs": [0], "label": 1}])
def test_items_want_one_of_the_two(items: Any) -> None:
    with pytest.raises(InvalidInput, match="one of them"):
        Items(OfList(PAIRS), **items)


@pytest.mark.parametrize("named", [{"label": "kind"}, {"inputs": ["nothing"]}, {"label": 5}])
def test_items_without_the_named_part_are_refused(named: Any) -> None:
    with pytest.raises(InvalidInput, match="parts"):
        ask(Items(OfList(DICTS), **named), net(Single()))


TOKENS = [torch.arange(i % 4 + 1) * 7 % 50 for i in range(N)]


class Sentences(nn.Module):
    """Takes sentences of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.layer, self.kinds = nn.EmbeddingBag(50, 6), nn.Linear(6, 2), set()

    def forward(self, sentences: list[Tensor]) -> Tensor:
        self.kinds |= {sentence.dtype for sentence in sentences}
        return self.layer(torch.cat([self.table(sentence[None]) for sentence in sentences]))


@pytest.mark.parametrize(
    "rows",
    [
        TOKENS,
        OfList(TOKENS),
        [sentence.tolist() for sentence in TOKENS],
        [sentence.numpy() for sentence in TOKENS],
        np.array([sentence.tolist() for sentence in TOKENS], dtype=object),
        pd.Series([sentence.tolist() for sentence in TOKENS]),
        Items(OfList([(sentence, 1) for sentence in TOKENS]), label=1),
    ],
    ids=["tensors", "Dataset", "lists", "arrays", "object array", "Series", "Items"],
)
def test_ragged_items_reach_forward_as_a_list(rows: Any) -> None:
    selector, _ = ask(rows, net(Sentences()))
    assert selector.model_.module.kinds == {torch.int64}


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.layer, self.kinds = nn.Embedding(1000, 6), nn.Linear(6, 2), set()

    def forward(self, ids: Tensor) -> Tensor:
        found = self.layer(self.table(ids).mean(1))
        self.kinds.add(ids.dtype)
        return found


IDS_OF_WORDS = RNG.integers(1000, size=(N, 5))


@pytest.mark.parametrize(
    "rows",
    [
        IDS_OF_WORDS,
        torch.from_numpy(IDS_OF_WORDS),
        IDS_OF_WORDS.tolist(),
        list(torch.from_numpy(IDS_OF_WORDS)),
        OfList(list(torch.from_numpy(IDS_OF_WORDS))),
        OfList(list(IDS_OF_WORDS)),
        TensorDataset(torch.from_numpy(IDS_OF_WORDS)),
        {"ids": IDS_OF_WORDS},
        Subset(OfList(list(torch.from_numpy(IDS_OF_WORDS))), range(N)),
        pd.DataFrame(IDS_OF_WORDS),
    ],
    ids=["array", "tensor", "lists", "list", "Dataset", "arrays", "TensorDataset", "dict", "Subset", "frame"],
)
def test_whole_numbers_reach_an_embedding_as_whole_numbers(rows: Any) -> None:
    selector, _ = ask(rows, net(Tokens()))
    assert selector.model_.module.kinds == {torch.int64}


@pytest.mark.parametrize("dtype", ["int32", "uint16", "uint32", "int16", "int8", "uint8"])
def test_whole_numbers_of_other_sizes(dtype: str) -> None:
    small = (IDS_OF_WORDS % 100).astype(dtype)
    selector, _ = ask(small, net(Tokens()))
    assert selector.model_.module.kinds <= {torch.int32, torch.int64}
    if not dtype.startswith("uint"):
        ask({"ids": torch.from_numpy(small)}, net(Tokens()))
        ask(OfList(list(small)), net(Tokens()))


@pytest.mark.parametrize(
    "rows",
    [
        {"pixels": PIXELS.double(), "age": AGE.double()},
        OfList([{"pixels": X[i], "age": i / N} for i in range(N)]),
        {"pixels": X, "age": pd.Series(AGE.numpy())},
        {"pixels": X, "age": AGE.tolist()},
        {"pixels": pd.DataFrame(X).to_numpy(), "age": AGE.double()},
    ],
    ids=["tensors", "Dataset of arrays", "Series", "list", "mixed"],
)
def test_real_numbers_of_double_precision(rows: Any) -> None:
    class Doubles(Recorded):
        def forward(self, pixels: Tensor, age: Tensor) -> Tensor:
            return self.layer(pixels) + self.layer(age[:, None].expand(-1, 4))

    selector, query = ask(rows, net(Doubles()))
    assert not any(isinstance(part, Tensor) and part.isnan().any() for part in selector.model_.module.got)
    assert len(query) == 3


def test_double_precision_stays_where_the_net_takes_it() -> None:
    class Times(Recorded):
        def forward(self, pixels: Tensor, seconds: Tensor) -> Tensor:
            self.got.append(seconds)
            return self.layer(pixels) + (seconds % 1)[:, None].float()

    seconds = 1.7e9 + torch.arange(N).double() / N
    selector, _ = ask({"pixels": PIXELS, "seconds": seconds}, net(Times()))
    assert all(torch.isin(part, seconds).all() for part in selector.model_.module.got)


def polars_numbers(rows: np.ndarray) -> Any:
    return pytest.importorskip("polars").DataFrame({f"x{place}": column for place, column in enumerate(rows.T)})


@pytest.mark.parametrize("container", [np.asarray, torch.from_numpy, pd.DataFrame, polars_numbers, sparse.csr_matrix])
def test_numbers_are_not_standardised_for_a_net_of_the_users(container: Any) -> None:
    far = X * 1000 + 7
    selector, _ = ask(container(far), net(nn.Linear(4, 2)))
    got = selector.model_.inputs(selector.pool_.rows, torch.arange(N))
    assert torch.equal(got, torch.from_numpy(far).float())


def test_pixels_of_bytes_reach_a_net_as_they_are_or_in_the_unit_interval() -> None:
    pictures = (RNG.random((N, 6, 6, 3)) * 255).astype("uint8")
    selector, _ = ask(pictures, net(nn.Sequential(nn.Flatten(), nn.Linear(108, 2))))
    got = selector.model_.inputs(selector.pool_.rows, torch.arange(N))
    assert torch.equal(got, torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)

    class OfBytes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, pictures: Tensor) -> Tensor:
            assert pictures.dtype == torch.uint8
            return self.layer(pictures.float().mean((1, 2)) / 255)

    ask(pictures, net(OfBytes()))


def test_texts_reach_a_net_that_reads_texts() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, texts: list[str]) -> Tensor:
            assert isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            return self.layer(torch.tensor([[len(text), text.count("green")] for text in texts]).float())

    for rows in (TEXTS, pd.Series(TEXTS), np.array(TEXTS), pd.DataFrame({"text": TEXTS}), polars_series(TEXTS)):
        ask(rows, net(Reads()))


@pytest.mark.parametrize("rows", [TEXTS, FRAME[["a", "gap", "city"]], {"a": X, "texts": TEXTS}])
def test_what_an_encoder_made_for_a_net_is_said(rows: Any) -> None:
    _, query = ask(rows, lambda shape, classes: nn.Linear(shape[0], classes))
    assert "an encoder made of them" in read_as(query)


def test_ragged_items_are_a_list_in_every_batch() -> None:
    """Also where all items of a batch happen to be of one length."""

    class Lists(Sentences):
        def forward(self, sentences: list[Tensor]) -> Tensor:
            assert isinstance(sentences, list), type(sentences)
            return super().forward(sentences)

    lengths = [3, 3, *[i % 3 + 2 for i in range(N - 2)]]
    tensors = [torch.arange(length) for length in lengths]
    for rows in (tensors, OfList(tensors), [sentence.tolist() for sentence in tensors]):
        ask(rows, TorchModel(Lists(), config=TrainConfig(epochs=1, min_steps=1, batch_size=2), device="cpu"))


def test_ragged_parts_of_dicts_and_tuples() -> None:
    class Named(Sentences):
        def forward(self, sentences: list[Tensor], age: Tensor) -> Tensor:
            return super().forward(sentences) + age[:, None]

    ask(OfList([{"sentences": TOKENS[i].tolist(), "age": AGE[i]} for i in range(N)]), net(Named()))
    ask(OfList([(TOKENS[i], AGE[i]) for i in range(N)]), net(Named()))
    with pytest.raises(InvalidInput, match="wanted"):
        ask(OfList([{"sentences": TOKENS[i], "age": AGE[i]} for i in range(N)]), net(ByKeyword()))


def test_lists_of_words_go_to_a_pipeline_that_splits_no_more() -> None:
    words = [text.split() for text in TEXTS]
    model = make_pipeline(TfidfVectorizer(analyzer=lambda words: words), LogisticRegression(random_state=0))
    for rows in (words, pd.Series(words), OfList(words)):
        selector, _ = ask(rows, model)
        by_hand = model.fit(words[:LABELED], TRUTH[:LABELED])
        np.testing.assert_array_equal(selector.model_.fitted.predict_proba(words), by_hand.predict_proba(words))


def test_items_whose_parts_differ_are_refused() -> None:
    items = [*DICTS[:-1], {"pixels": PIXELS[-1]}]
    with pytest.raises(InvalidInput, match="age"):
        ask(OfList([items[-1], *items[:-1]]), net(ByKeyword()))


PICTURES = torch.from_numpy(RNG.random((N, 3, 8, 8))).float()


@pytest.mark.parametrize(
    "rows",
    [
        TensorDataset(PIXELS, torch.from_numpy(TRUTH)),
        TensorDataset(PICTURES, torch.from_numpy(TRUTH)),
        OfList([[PIXELS[i], int(TRUTH[i])] for i in range(N)]),
        OfList([(PIXELS[i], "oak") for i in range(N)]),
    ],
    ids=["numbers", "pictures", "lists", "a word"],
)
@pytest.mark.parametrize("model", [None, LogisticRegression()], ids=["none", "linear"])
def test_of_items_with_a_second_part_the_first_is_taken_and_said(rows: Any, model: Any) -> None:
    with pytest.warns(AutoALWarning, match="the first part alone"):
        ask(rows, model)


def test_gaps_in_a_dataset_are_for_the_estimator() -> None:
    ask(TensorDataset(torch.from_numpy(GAPS)), HistGradientBoostingClassifier(random_state=0))
    ask(OfList(list(GAPS)), make_pipeline(SimpleImputer(), LogisticRegression()))
    with pytest.raises(InvalidInput, match="NaN"):
        ask(OfList(list(GAPS)), nn.Linear(4, 2))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_items_of_numbers_reach_an_estimator_in_their_type(dtype: str) -> None:
    numbers = (X * 1e9).astype(dtype)
    for rows in (OfList(list(numbers)), OfList(list(torch.from_numpy(numbers))), OfList(numbers.tolist())):
        got = received(rows)
        np.testing.assert_array_equal(got, numbers[:LABELED])


def test_whole_numbers_go_to_a_linear_layer_as_floats_unscaled() -> None:
    selector, _ = ask(IDS_OF_WORDS, net(nn.Linear(5, 2)))
    got = selector.model_.inputs(selector.pool_.rows, torch.arange(N))
    assert torch.equal(got, torch.from_numpy(IDS_OF_WORDS).float())


def test_the_message_about_parts_is_whole() -> None:
    class Other(Recorded):
        def forward(self, image: Tensor, mask: Tensor) -> Tensor:
            return self.layer(image)

    with pytest.raises(InvalidInput, match=r"pixels.*age.*image.*mask.*wanted"):
        ask(OfList(DICTS), net(Other()))


# No rows at all, and embeddings beside any


EMBEDDINGS = X @ RNG.normal(size=(4, 7))
PROBS = np.column_stack([1 - TRUTH * 0.8 - 0.1, TRUTH * 0.8 + 0.1])


@pytest.mark.parametrize("rows", [None, TEXTS, [list(range(i % 5 + 1)) for i in range(N)], FRAME, OfList(DICTS), X])
@pytest.mark.parametrize("given", [("embeddings",), ("probs",), ("embeddings", "probs")], ids="+".join)
def test_precomputed_outputs_are_enough(rows: Any, given: tuple[str, ...]) -> None:
    known = {name: {"embeddings": EMBEDDINGS, "probs": PROBS}[name] for name in given}
    _, query = ask(rows, **known)
    _, again = ask(None, **known)
    assert query.indices.tolist() == again.indices.tolist()


@pytest.mark.parametrize("container", [np.asarray, torch.from_numpy, pd.DataFrame, lambda rows: rows.tolist()])
def test_embeddings_in_other_containers(container: Any) -> None:
    _, query = ask(None, embeddings=container(EMBEDDINGS))
    _, again = ask(None, embeddings=EMBEDDINGS)
    assert query.indices.tolist() == again.indices.tolist()


def test_embeddings_beside_a_model_of_the_users() -> None:
    for rows, model in (
        (TEXTS, make_pipeline(TfidfVectorizer(), LogisticRegression())),
        (FRAME, make_pipeline(FunctionTransformer(lambda frame: frame[["a"]]), LogisticRegression())),
        (OfList(DICTS), net(ByKeyword())),
        (TOKENS, net(Sentences())),
    ):
        selector, _ = ask(rows, model, embeddings=EMBEDDINGS)
        assert selector.fitted_.state.view.pool.require("embeddings").shape[1] <= 7


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput, match="embeddings="):
        ask(None)
    with pytest.raises(InvalidInput, match="X=None"):
        ask(None, LogisticRegression(), embeddings=EMBEDDINGS)
    with pytest.raises(InvalidInput, match="rows"):
        ask(X, embeddings=EMBEDDINGS[:-1])


def test_a_regression_needs_no_rows_either() -> None:
    y = np.where(np.arange(N) < LABELED, X[:, 0], np.nan)
    ask(None, y=y, embeddings=EMBEDDINGS)


# Three arrays


def halves(rows: Any) -> tuple[Any, Any]:
    if isinstance(rows, dict):
        both = {name: halves(part) for name, part in rows.items()}
        return {name: pair[0] for name, pair in both.items()}, {name: pair[1] for name, pair in both.items()}
    if isinstance(rows, tuple):
        both = [halves(part) for part in rows]
        return tuple(pair[0] for pair in both), tuple(pair[1] for pair in both)
    if isinstance(rows, OfList):
        return OfList(rows.items[:LABELED]), OfList(rows.items[LABELED:])
    if hasattr(rows, "iloc"):
        return rows.iloc[:LABELED], rows.iloc[LABELED:]
    return rows[:LABELED], rows[LABELED:]


THREE: dict[str, tuple[Any, Callable[[], Any]]] = {
    "numbers": (X, lambda: LogisticRegression()),
    "gaps": (GAPS, lambda: HistGradientBoostingClassifier(random_state=0)),
    "sparse": (sparse.csr_matrix(np.where(X > 1, X, 0)), lambda: LogisticRegression()),
    "texts": (TEXTS, lambda: make_pipeline(TfidfVectorizer(), LogisticRegression())),
    "Series": (pd.Series(TEXTS), lambda: make_pipeline(TfidfVectorizer(), LogisticRegression())),
    "frame": (FRAME[["a", "gap", "city"]], lambda: HistGradientBoostingClassifier(categorical_features=["city"])),
    "polars": (polars_frame(TEXTS), lambda: make_pipeline(TfidfVectorizer(), LogisticRegression())),
    "dicts": ([{"a": float(a), "b": "xy"[i % 2]} for i, a in enumerate(X[:, 0])],
              lambda: make_pipeline(DictVectorizer(), LogisticRegression())),
    "dict of arrays": ({"a": X, "texts": TEXTS},
                       lambda: make_pipeline(Part("a"), LogisticRegression())),
    "keywords": ({"pixels": PIXELS, "age": AGE}, lambda: net(ByKeyword())),
    "positions": ((PIXELS, AGE), lambda: net(Pair())),
    "items": (OfList(DICTS), lambda: net(ByKeyword())),
    "pairs": (OfList(PAIRS), lambda: net(Pair())),
    "ragged": (TOKENS, lambda: net(Sentences())),
    "tokens": (IDS_OF_WORDS, lambda: net(Tokens())),
    "token items": (OfList(list(torch.from_numpy(IDS_OF_WORDS))), lambda: net(Tokens())),
}  # fmt: skip


@pytest.mark.parametrize("name", THREE)
def test_three_arrays_are_as_good_as_one(name: str) -> None:
    rows, model = THREE[name]
    labeled, pool = halves(rows)
    selector, query = ask(rows, model())
    three = AutoAL("fast", model=model(), random_state=0)
    apart = three.fit_query(labeled, TRUTH[:LABELED], pool, batch_size=3)
    ours = selector.model_.predict_log_probs(selector.pool_.rows, torch.arange(LABELED, N))
    theirs = three.model_.predict_log_probs(three.pool_.rows, torch.arange(LABELED, N))
    assert three.model_.notes == selector.model_.notes
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert (apart.indices + LABELED).tolist() == query.indices.tolist()


@pytest.mark.parametrize("name", ["texts", "frame", "dicts", "numbers", "gaps", "Series"])
def test_three_arrays_without_a_model(name: str) -> None:
    labeled, pool = halves(THREE[name][0])
    if name == "dicts":
        with pytest.raises(InvalidInput, match="encoder="):
            AutoAL("fast", random_state=0).fit_query(labeled, TRUTH[:LABELED], pool, batch_size=3)
        return
    three = AutoAL("fast", random_state=0).fit_query(labeled, TRUTH[:LABELED], pool, batch_size=3)
    assert three.indices.max() < N - LABELED


@pytest.mark.parametrize(
    ("one", "other"), [(X, TEXTS), (TEXTS, FRAME), (FRAME, FRAME.rename(columns={"a": "b"})), (X, X[:, :2])]
)
def test_three_arrays_of_different_kinds_are_refused(one: Any, other: Any) -> None:
    with pytest.raises(InvalidInput, match="wanted the same"):
        AutoAL("fast", random_state=0).fit_query(one[:LABELED], TRUTH[:LABELED], other[LABELED:], batch_size=3)


# The user's own encoder


class Encodes:
    def encode(self, texts: list[str]) -> np.ndarray:
        assert isinstance(texts, list)
        return np.array([[len(text), text.count("e"), text.count("green")] for text in texts], dtype=float)


class EncodesToTensors:
    def encode(self, texts: list[str]) -> Tensor:
        return torch.tensor([[len(text), text.count("e")] for text in texts], requires_grad=True, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    "encoder",
    [
        TfidfVectorizer(),
        make_pipeline(TfidfVectorizer(max_features=20), StandardScaler(with_mean=False)),
        Encodes(),
        EncodesToTensors(),
        lambda texts: np.array([[len(text)] for text in texts]),
        lambda texts: [[len(text), 1] for text in texts],
        lambda texts: pd.DataFrame({"a": [len(text) for text in texts]}),
    ],
    ids=["transformer", "pipeline", "encode", "tensors", "function", "lists", "frame"],
)
@pytest.mark.parametrize("model", [None, make_pipeline(TfidfVectorizer(), LogisticRegression())], ids=["none", "tfidf"])
def test_an_encoder_of_the_users(encoder: Any, model: Any) -> None:
    selector, _ = ask(TEXTS, model, encoder=encoder)
    rows = selector.pool_.rows
    assert rows.encoded(slice(None)).isfinite().all()


def test_an_encoder_gets_the_container_of_the_user() -> None:
    kinds = []

    def encoder(rows: Any) -> np.ndarray:
        kinds.append(type(rows))
        return first_number(rows)

    for rows in (FRAME, TEXTS, pd.Series(TEXTS), {"a": X, "b": TEXTS}, X, sparse.csr_matrix(X)):
        kinds.clear()
        AutoAL(["kcenter"], mode="uniform", model=Seen(), encoder=lambda rows: encoder(rows), random_state=0).fit(
            rows, Y
        )
        assert set(kinds) == {type(rows)}


def test_an_encoder_makes_any_items_comparable() -> None:
    ragged = [list(range(i % 5 + 1)) for i in range(N)]
    ask(ragged, encoder=lambda rows: np.array([[len(row), sum(row)] for row in rows]))
    ask(OfList(DICTS), encoder=lambda rows: np.array([[float(row["age"]), *row["pixels"].tolist()] for row in rows]))
    ask({"a": X, "texts": TEXTS}, encoder=lambda rows: rows["a"])
    ask((X, PIXELS), encoder=lambda rows: rows[0])


@pytest.mark.parametrize(
    ("encoder", "why"),
    [
        ("all-MiniLM", "not its name"),
        (TfidfVectorizer, r"TfidfVectorizer\(\)"),
        (3, "scikit-learn transformer"),
        (lambda texts: None, "wanted an array"),
        (lambda texts: [1.0] * len(texts), "reshape"),
        (lambda texts: np.zeros((3, 2)), "one row per row"),
        (lambda texts: np.full((len(texts), 2), np.nan), "finite"),
        (lambda texts: texts, "wanted an array"),
        (lambda texts: [text.lower() for text in texts] + 1, "failed"),
        (StandardScaler(), "cannot be fitted"),
    ],
)
def test_bad_encoders_are_refused_in_words(encoder: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        ask(TEXTS, encoder=encoder)
    with pytest.raises(InvalidInput, match=why):
        ask(TEXTS, make_pipeline(TfidfVectorizer(), LogisticRegression()), encoder=encoder)


# Categories in arrays, files, and what is no row


def test_arrays_of_strings_in_several_columns_are_a_table() -> None:
    table = np.column_stack([CITY, np.array(["p", "q"])[TRUTH]])
    for rows in (table, table.astype(object), table.tolist(), pd.DataFrame(table)):
        for first in (OneHotEncoder(), OrdinalEncoder()):
            ask(rows, make_pipeline(first, LogisticRegression()))
    ask(table)
    ask(table.astype(object))


def test_a_frame_of_one_column_that_is_no_text() -> None:
    for values in (X[:, 0], CITY, pd.Categorical(CITY), FRAME["day"]):
        ask(pd.DataFrame({"only": values}))


def test_tables_in_files(tmp_path: Path) -> None:
    frame = FRAME[["a", "gap", "city"]]
    frame.to_csv(tmp_path / "rows.csv", index=False, sep=";")
    frame.to_parquet(tmp_path / "rows.parquet")
    np.save(tmp_path / "rows.npy", X)
    for name in ("rows.csv", "rows.parquet", "rows.npy"):
        ask(tmp_path / name)


@pytest.mark.parametrize(
    "rows",
    [
        3,
        "a text",
        object(),
        np.array(["2024-01-01"] * N, dtype="M8[D]"),
        X.astype(complex),
        X[:, 0],
        {"a": X[:3], "b": X},
    ],
)
def test_what_is_no_row_is_refused_in_words(rows: Any) -> None:
    with pytest.raises(Exception, match=r"wanted|not there|no file") as error:
        ask(rows)
    assert type(error.value).__module__ == "autoal.errors"


@contextmanager
def unchanged(frame: pd.DataFrame) -> Iterator[None]:
    before = frame.copy(deep=True)
    yield
    pd.testing.assert_frame_equal(frame, before)


def test_the_users_frame_is_not_changed() -> None:
    def meddles(frame: pd.DataFrame) -> pd.DataFrame:
        frame["a"] = 0.0
        frame.loc[:, "gap"] = 1.0
        return frame[["a", "gap"]]

    with unchanged(FRAME):
        ask(FRAME, make_pipeline(FunctionTransformer(meddles), HistGradientBoostingClassifier()))


def test_a_regression_on_frames_with_gaps() -> None:
    y = np.where(np.arange(N) < LABELED, X[:, 0] + TRUTH, np.nan)
    ask(FRAME[["gap", "city"]], HistGradientBoostingRegressor(random_state=0), y)
    ask(FRAME[["gap", "city", "day"]], None, y)
    ask(TEXTS, None, y)


# --- texts, and the matrix that a user would make of them ---------------------------------------------------------


def _many_texts() -> tuple[list[str], np.ndarray]:
    """300 made sentences of three subjects, with words in common."""
    draws = np.random.default_rng(0)
    own = [
        "oak elm ash leaf bark".split(),
        "lathe drill saw plane chisel".split(),
        "reed bow string pedal valve".split(),
    ]
    common = "the of and with old new large small".split()
    truth = np.arange(300) % 3
    texts = [
        " ".join([*draws.choice(own[c], 2), *draws.choice(common, 4), draws.choice(own[draws.integers(3)])])
        for c in truth
    ]
    return texts, truth


@pytest.mark.parametrize("candidates", ["default", ["margin", "badge"]], ids=["default", "two"])
@pytest.mark.parametrize("mode", ["bilevel", "uniform"])
def test_texts_give_the_picks_of_the_users_own_matrix(candidates: Any, mode: str) -> None:
    """A pipeline on raw texts asks for what its last step asks for on the matrix that its first step makes."""
    texts, truth = _many_texts()
    labeled = np.arange(24)
    matrix = TfidfVectorizer().fit(texts[:24]).transform(texts)
    settings: dict[str, Any] = {"candidates": candidates, "mode": mode, "random_state": 0}
    piped = AutoAL(model=make_pipeline(TfidfVectorizer(), LogisticRegression()), **settings)
    plain = AutoAL(model=LogisticRegression(), **settings)
    one = piped.fit_query(texts, truth[labeled], labeled=labeled, batch_size=6)
    other = plain.fit_query(matrix, truth[labeled], labeled=labeled, batch_size=6)
    assert one.indices.tolist() == other.indices.tolist()
    np.testing.assert_array_equal(one.utilities, other.utilities)
