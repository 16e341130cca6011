"""Pools that are right, each in a container of its own with a model that takes it, and pools that are not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars
import torch
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from autoal.models import TorchModel, TrainConfig
from tests.campaign.files import broken_rows
from tests.campaign.values import NUMBERS, container, contents, for_polars, numpy_of, odd, scalar, text

__all__ = ["SCENES", "Scene", "lengths", "lengths_of", "odd_model", "odd_rows", "scene"]

WORDS = "oak elm ash leaf bark root twig seed moss fern".split()
ONCE = TrainConfig(epochs=1, min_steps=1)


class Scene(NamedTuple):
    """A pool, its truth, and a model for it; everything that a call needs to go well."""

    name: str
    X: Any
    truth: np.ndarray
    model: Any
    more: dict[str, Any] = {}
    """Further arguments without which the call would not go well."""
    stored: bool = True
    """Whether a session keeps these rows."""


class Items(Dataset[Any]):
    """A data set of anything."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Names(nn.Module):
    """Takes parts by keyword."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.last = nn.Linear(4, outputs)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> Any:
        return self.last(torch.cat([a.float(), b.float()], dim=1))


class Tokens(nn.Module):
    """Takes whole numbers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(50, 4), nn.Linear(4, outputs)

    def forward(self, ids: torch.Tensor) -> Any:
        return self.last(self.table(ids).mean(dim=1))


def lengths_of(texts: Any) -> np.ndarray:
    """One column: how long each is."""
    return np.asarray([[float(len(text))] for text in texts])


def _net(make: Callable[[int], nn.Module], classes: int) -> TorchModel:
    return TorchModel(lambda: make(classes), config=ONCE)


def _small(width: int) -> Callable[[int], nn.Module]:
    return lambda outputs: nn.Sequential(nn.Linear(width, 4), nn.ReLU(), nn.Linear(4, outputs))


def _frame(X: np.ndarray) -> dict[str, Any]:
    return {"a": X[:, 0].tolist(), "b": X[:, 1].tolist(), "city": [WORDS[int(abs(x) * 3) % 5] for x in X[:, 2]]}


def _columns(classes: int) -> Any:
    made = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough")
    return make_pipeline(made, LogisticRegression())


def _texts(rng: random.Random, truth: np.ndarray) -> list[str]:
    return [" ".join([WORDS[c], *rng.choices(WORDS, k=3)]) for c in truth.tolist()]


def _tfidf(vectors: Any = None) -> Any:
    return make_pipeline(vectors or TfidfVectorizer(), LogisticRegression())


SCENES: dict[str, Callable[[random.Random, np.ndarray, np.ndarray, int], Any]] = {
    "numbers, LogisticRegression": lambda rng, X, truth, k: (X, LogisticRegression()),
    "numbers, GaussianNB": lambda rng, X, truth, k: (X.tolist(), GaussianNB()),
    "numbers, DecisionTree": lambda rng, X, truth, k: (X.astype(np.float32), DecisionTreeClassifier(random_state=0)),
    "numbers, LinearSVC": lambda rng, X, truth, k: (pd.DataFrame(X, columns=list("abc")), LinearSVC()),
    "tensor, net": lambda rng, X, truth, k: (torch.from_numpy(X), _net(_small(3), k)),
    "pictures, net": lambda rng, X, truth, k: (
        np.repeat(X[:, None, :], 3, axis=1),
        _net(lambda outputs: nn.Sequential(nn.Flatten(), nn.Linear(9, outputs)), k),
    ),
    "whole numbers, Embedding": lambda rng, X, truth, k: (np.abs(X * 9).astype(np.int64), _net(Tokens, k)),
    "frame, pipeline": lambda rng, X, truth, k: (pd.DataFrame(_frame(X)), _columns(k)),
    "polars, pipeline": lambda rng, X, truth, k: (polars.DataFrame(_frame(X)), _columns(k)),
    "texts, pipeline": lambda rng, X, truth, k: (_texts(rng, truth), _tfidf()),
    "Series of texts, pipeline": lambda rng, X, truth, k: (pd.Series(_texts(rng, truth)), _tfidf()),
    "sparse, LogisticRegression": lambda rng, X, truth, k: (sparse.csr_matrix(X * (X > 0)), LogisticRegression()),
    "Dataset, net": lambda rng, X, truth, k: (TensorDataset(torch.from_numpy(X).float()), _net(_small(3), k)),
    "Dataset of dicts, net": lambda rng, X, truth, k: (
        Items([{"a": row[:2], "b": row[1:]} for row in torch.from_numpy(X).float()]),
        _net(Names, k),
    ),
    "parts, net": lambda rng, X, truth, k: ({"a": X[:, :2], "b": X[:, 1:]}, _net(Names, k)),
    "ragged, pipeline": lambda rng, X, truth, k: (
        [list(range(1 + int(3 * c + abs(x)))) for c, x in zip(truth, X[:, 0], strict=True)],
        make_pipeline(FunctionTransformer(lengths_of), LogisticRegression()),
    ),
}


def scene(rng: random.Random, n: int, classes: int = 2, task: str = "classification", wild: bool = True) -> Scene:
    """A pool of n rows. With `wild` also such as want other arguments: no X at all, the built-in model."""
    made = np.random.default_rng(rng.randrange(2**32))
    truth = np.arange(n) % classes
    X = made.normal(size=(n, 3)) + 1.5 * np.eye(3)[truth]
    if task == "regression":
        model = rng.choice([LinearRegression(), DecisionTreeRegressor(random_state=0), _net(_small(3), 1)])
        return Scene("regression", X, X.sum(axis=1) + 0.01, model)
    luck = rng.random()
    if wild and luck < 0.06:
        return Scene("built-in", X, truth, None)
    if wild and luck < 0.16:
        probs = np.full((n, classes), 0.3 / classes)
        probs[np.arange(n), truth] += 0.7
        return Scene("outputs alone", None, truth, None, {"embeddings": X, "probs": probs}, stored=False)
    name = rng.choice(list(SCENES))
    rows, model = SCENES[name](rng, X, truth, classes)
    outside = ("ragged, pipeline", "Dataset, net", "Dataset of dicts, net", "parts, net")
    return Scene(name, rows, truth, model, stored=name not in outside)


def lengths(X: Any) -> int | None:
    """How many rows there are; None where that cannot be told from here."""
    try:
        return len(next(iter(X.values()))) if isinstance(X, dict) else X.shape[0] if hasattr(X, "shape") else len(X)
    except Exception:
        return None


def _poked(rng: random.Random, X: np.ndarray) -> Any:
    """Numbers with some that are none, or too many."""
    made = np.array(X, dtype=np.float64)
    for _ in range(rng.choice([1, 1, 5, made.size])):
        place = tuple(rng.randrange(size) for size in made.shape)
        value = rng.choice(NUMBERS)
        try:
            made[place] = value
        except OverflowError:
            made = made.astype(object)
            made[place] = value
    return made


def odd_rows(rng: random.Random, X: Any, folder: Path) -> Any:
    """A pool in place of X that may be right, and may be not."""
    n = lengths(X) or 20
    numbers = np.random.default_rng(rng.randrange(2**32)).normal(size=(n, 3))
    kind = rng.randrange(22)
    if kind == 0:
        return odd(rng, n)
    if kind == 1:
        return _poked(rng, numbers)
    if kind == 2:
        return np.ma.masked_array(numbers, mask=np.isfinite(_floats(_poked(rng, numbers))) & (numbers > 0.5))
    if kind == 3:
        return pd.DataFrame({rng.choice(["a", 1, None, text(rng)]): _column(rng, n) for _ in range(3)})
    if kind == 4:
        return pd.DataFrame(_poked(rng, numbers), columns=rng.choice([list("aab"), [0, "0", 1], [None, 1, 2]]))
    if kind == 5:
        return _polars(rng, n)
    if kind == 6:
        return [rng.choice([text(rng), "oak leaf", "elm", None]) for _ in range(n)]
    if kind == 7:
        return rng.choice([sparse.csr_array, sparse.coo_matrix, sparse.csc_matrix, sparse.lil_matrix])(
            _floats(_poked(rng, numbers)) * (numbers > 0)
        )
    if kind == 8:
        return _tensor(rng, numbers)
    if kind == 9:
        return Items([rng.choice([torch.zeros(3), torch.zeros(2), scalar(rng), (torch.zeros(3), 1)]) for _ in range(n)])
    if kind == 10:
        return Items([scalar(rng)] * n)
    if kind == 11:
        return {rng.choice(["a", "b", 1, text(rng)]): odd(rng, n) for _ in range(rng.choice([0, 1, 2]))}
    if kind == 12:
        return tuple(odd(rng, n) for _ in range(rng.choice([0, 1, 2, n])))
    if kind == 13:
        return [[scalar(rng) for _ in range(rng.choice([3, 3, 3, 2, 0]))] for _ in range(n)]
    if kind == 14:
        return [{"a": scalar(rng), "b": 1} for _ in range(n)]
    if kind == 15:
        return broken_rows(rng, numbers, folder)
    if kind == 16:
        return numbers[
            rng.choice([np.s_[:0], np.s_[:1], np.s_[:, :0], np.s_[:, 0], np.s_[None, None, None], np.s_[()]])
        ]
    if kind == 17:
        return numbers.astype(
            rng.choice([np.float16, np.longdouble, complex, bool, np.int8, "U5", "S5", "M8[D]", object])
        )
    if kind == 18:
        return (
            np.asfortranarray(numbers)[::-1] if rng.random() < 0.5 else numbers * rng.choice([0, 1e-300, 1e300, 1e38])
        )
    if kind == 19:
        return numpy_of([_column(rng, 3) for _ in range(n)])
    if kind == 20:
        return container(rng, numbers.tolist())
    return np.repeat(numbers[:1], n, axis=0)


def _floats(values: Any) -> np.ndarray:
    """As far as float64 goes."""
    try:
        return np.asarray(values, dtype=np.float64)
    except OverflowError:
        return np.full(np.shape(values), np.inf)


def _column(rng: random.Random, n: int) -> Any:
    kind = rng.randrange(7)
    if kind == 0:
        return contents(rng, n)
    if kind == 1:
        return pd.date_range("1700-01-01", periods=n, freq="30D", tz=rng.choice([None, "UTC"]))
    if kind == 2:
        return pd.Categorical([rng.choice(["a", "b", None]) for _ in range(n)])
    if kind == 3:
        return pd.array([rng.choice([1, 2, None]) for _ in range(n)], dtype="Int64")
    if kind == 4:
        return [f"picture{i}.png" for i in range(n)]
    if kind == 5:
        return [rng.choice(["1,5", "2,25", "x"]) for _ in range(n)]
    return [rng.choice([None, np.nan, pd.NA, pd.NaT]) for _ in range(n)]


def _polars(rng: random.Random, n: int) -> Any:
    try:
        named = {rng.choice(["a", "b", text(rng)]): for_polars(_column(rng, n)) for _ in range(2)}
        return polars.DataFrame(named, strict=False)
    except Exception:  # polars' own refusal
        return polars.DataFrame({"a": [None] * n, "b": [[1, 2]] * n})


def _tensor(rng: random.Random, numbers: np.ndarray) -> Any:
    made = torch.from_numpy(numbers)
    return rng.choice(
        [made.bfloat16(), made.half(), made.bool(), made.to(torch.complex64), made.to_sparse(), made[0, 0], made.int(),
         made.requires_grad_(), made.T, made[None, None, None], made.to("meta"), made.to(torch.uint8)]
    )  # fmt: skip


def odd_model(rng: random.Random) -> Any:
    """What may be passed for a model, mostly by mistake."""
    return rng.choice(
        [scalar(rng), LogisticRegression, nn.Linear, nn.Linear(3, 2), nn.Linear(3, 5), nn.Linear(7, 2), GaussianNB(),
         LinearRegression(), (lambda: None), (lambda a, b, c: None), _tfidf(), DecisionTreeClassifier(), nn.Identity(),
         make_pipeline(FunctionTransformer(lengths_of), LogisticRegression()), [LogisticRegression()], "logistic"]
    )  # fmt: skip
