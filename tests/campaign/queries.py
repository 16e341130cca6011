"""Random calls of `AutoAL.fit_query`: right ones in which a few arguments were made odd."""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
from scipy import sparse

from autoal import AutoAL
from autoal.selectors import Query
from tests.campaign.outcome import Fault, Wrong, called, plain_json, short
from tests.campaign.rows import Scene, lengths, odd_model, odd_rows, scene
from tests.campaign.values import NUMBERS, container, contents, odd, scalar, text

__all__ = ["QUICK", "Case", "check_exports", "make_case", "odd_option", "odd_setting", "run_case"]

QUICK: dict[str, Any] = {
    "episodes": 2,
    "outer_steps": 1,
    "inner_steps": 1,
    "engine": "func",
    "gate_labels_per_class": 2,
}
CHEAP = ("margin", "kcenter", "entropy", "random", "typiclust", "badge", "power_bald")
OPTIONS = (
    "X", "X", "X", "y", "y", "y", "X_pool", "batch_size", "labeled", "pool", "embeddings", "embeddings", "probs",
    "probs", "X_val", "y_val", "costs", "ids", "ids", "exclude", "rejected", "classes",
)  # fmt: skip
SETTINGS = (
    "candidates", "model", "model", "task", "mode", "search", "device", "random_state", "time_limit", "progress",
    "callbacks", "strict", "encoder",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One call: arguments that go well, and those that take the place of some."""

    name: str
    call: dict[str, Any]
    """Arguments of `fit_query`."""
    settings: dict[str, Any]
    """Arguments of the constructor."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Odd ones, of either."""

    def without(self, name: str) -> Case:
        left = {key: value for key, value in self.changed.items() if key != name}
        return Case(self.name, self.call, self.settings, left)

    def arguments(self) -> tuple[dict[str, Any], dict[str, Any]]:
        call = {**self.call, **{key: value for key, value in self.changed.items() if key in OPTIONS}}
        return call, {**self.settings, **{key: value for key, value in self.changed.items() if key in SETTINGS}}

    def __str__(self) -> str:
        base = {key: value for key, value in {**self.call, **self.settings}.items() if key in ("mode", "candidates")}
        kept = {key: value for key, value in self.call.items() if key != "X" and key not in self.changed}
        shown = {**base, **{key: short(value, 60) for key, value in kept.items()}}
        odd = ", ".join(f"{key}={short(value)}" for key, value in self.changed.items()) or "nothing"
        return f"{self.name}; odd: {odd}; else {shown}"


def make_case(rng: random.Random, folder: Path) -> Case:
    """A right call in one of the forms there are, with zero to three odd arguments."""
    n, classes = rng.choice([12, 20, 30]), rng.choice([2, 2, 3])
    task = "regression" if rng.random() < 0.12 else "classification"
    chosen = scene(rng, n, classes, task)
    call = _right_call(rng, chosen, n, task)
    mode = rng.choice(["uniform", "bilevel"])
    candidates = rng.sample(CHEAP, 2) if task == "classification" else ["kcenter", "random"]
    settings: dict[str, Any] = {
        "candidates": candidates, "mode": mode, "model": chosen.model, "search": QUICK, "random_state": 0,
        "device": "cpu",
    }  # fmt: skip
    case = Case(chosen.name, call, settings)
    for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 2, 3])):
        if rng.random() < 0.75:
            name = rng.choice(OPTIONS)
            case.changed[name] = made(odd_option, rng, name, chosen, n, folder)
            if name == "X_val" and rng.random() < 0.8:
                case.changed["y_val"] = made(odd_option, rng, "y_val", chosen, n, folder)
        else:
            name = rng.choice(SETTINGS)
            case.changed[name] = made(odd_setting, rng, name)
    return case


def made(make: Callable[..., Any], *arguments: Any) -> Any:
    """What a generator makes, at the first try at which numpy or pandas let it."""
    while True:
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(*arguments)


def _right_call(rng: random.Random, chosen: Scene, n: int, task: str) -> dict[str, Any]:
    """X, y and what belongs to them, in one of the ways in which labels are written."""
    known = sorted(rng.sample(range(n), n // 2) if task == "regression" else _of_each(rng, chosen.truth, n // 2))
    truth = chosen.truth
    call: dict[str, Any] = {"X": chosen.X, "batch_size": rng.choice([1, 2, 3]), **chosen.more}
    marks = np.isin(np.arange(n), known)
    kind = rng.randrange(5)
    if task == "regression":
        call["y"] = np.where(marks, truth, np.nan)
    elif kind == 0:
        names = np.asarray(["elm", "oak", "ash"], dtype=object)[truth]
        call["y"] = [label if mark else None for label, mark in zip(names.tolist(), marks.tolist(), strict=True)]
    elif kind == 1:
        call["y"], call["labeled"] = truth[known], known
    elif kind == 2:
        call["y"] = np.where(marks, truth.astype(np.float64), np.nan)
    elif kind == 3 and not chosen.more and _parts(chosen.X, known) is not None:
        call["X"], call["y"] = _parts(chosen.X, known), truth[known]
        call["X_pool"] = _parts(chosen.X, np.flatnonzero(~marks).tolist())
    else:
        call["y"] = np.where(marks, truth, -1)
    return call


def _of_each(rng: random.Random, truth: np.ndarray, count: int) -> list[int]:
    """Some rows, three or so of each class."""
    order = rng.sample(range(len(truth)), len(truth))
    classes = sorted(set(truth.tolist()))
    return [row for c in classes for row in [r for r in order if truth[r] == c][: max(2, count // len(classes))]]


def _parts(X: Any, rows: list[int]) -> Any:
    """Some rows of a container; None where that takes more than an index."""
    if isinstance(X, list):
        return [X[row] for row in rows]
    if isinstance(X, pd.DataFrame | pd.Series):
        return X.iloc[rows]
    if isinstance(X, np.ndarray | polars.DataFrame) or sparse.issparse(X):
        return X[rows]
    return None


def odd_option(rng: random.Random, name: str, chosen: Scene, n: int, folder: Path) -> Any:
    """A value for an argument of `fit_query`, near to a right one or not."""
    rows = rng.sample(range(n), rng.choice([0, 1, 3, n // 2, n]))
    truth = chosen.truth.astype(np.int64)
    if rng.random() < 0.15:
        return odd(rng, n)
    draws = np.random.default_rng(rng.randrange(2**32))
    if name in ("X", "X_pool", "X_val"):
        return rng.choice([odd_rows, odd_rows, odd_rows, lambda *_: chosen.X])(rng, chosen.X, folder)
    if name in ("y", "y_val"):
        near: list[Any] = [
            [text(rng) if row % 2 else None for row in range(n)],
            [rng.choice(NUMBERS) if row % 2 else None for row in range(n)],
            truth.tolist(), (truth + 0.5).tolist(), [rng.choice([0, 1, None]) for _ in range(n)], truth - 1,
            np.where(np.arange(n) % 2, truth, -1).astype(rng.choice([np.int8, np.int64, object, np.float32])),
            np.where(np.arange(n) % 2, truth, 2**63 - 1), truth.astype(np.uint64) * 2**63, np.eye(9)[truth % 9],
            np.ma.masked_array(truth, mask=np.arange(n) % 2 == 0), [True, False, None] * (n // 3 + 1),
            pd.Series(truth.tolist(), dtype="Int64").where(pd.Series(truth % 2 == 0)), [[c] for c in truth.tolist()],
            container(rng, contents(rng, n)), truth.astype("U1"), pd.Categorical(truth), truth[:1],
            [scalar(rng), scalar(rng)] * (n // 2), ["a\0", "a"] * (n // 2), [10**30, 5, None] * (n // 3 + 1),
        ]  # fmt: skip
        value = rng.choice(near)
        return value[:n] if isinstance(value, list) else value
    if name == "batch_size":
        return rng.choice(
            [0, -1, n, n // 2, 10**30, 3.0, "3", True, np.int64(3), np.uint8(2), np.array(3), None, scalar(rng)]
        )
    if name in ("labeled", "pool", "exclude", "rejected"):
        mask = np.isin(np.arange(n), rows)
        return rng.choice(
            [rows, np.asarray(rows), mask, mask.tolist(), mask[:-1], set(rows), [*rows, *rows], [-1], [n], [10**30],
             np.asarray(rows, dtype=np.uint8), np.asarray(rows, dtype=np.float64), pd.Series(rows, dtype=np.int64),
             iter(rows), range(n // 2), [0.5], ["0"], [None], [True], [[0]], contents(rng, 3), slice(3), 0, np.array(0)]
        )  # fmt: skip
    if name == "embeddings":
        numbers = draws.normal(size=(n, 4))
        poked = numbers.copy()
        poked.flat[rng.randrange(poked.size)] = rng.choice([np.nan, np.inf, 1e300, -1e308, 1e39, 1e-320])
        return rng.choice(
            [numbers, poked, numbers.astype(np.float16), numbers.tolist(), numbers[:, 0], numbers[..., None], numbers[1:],
             numbers[:, :0], numbers * 0, numbers * 1e200, np.repeat(numbers, 300, axis=1), pd.DataFrame(numbers),
             sparse.csr_matrix(numbers), numbers.astype(object), numbers.astype(complex), (numbers * 9).astype(np.int64),
             polars.DataFrame(numbers), np.ma.masked_array(numbers, mask=numbers > 1), numbers.astype("U4"),
             np.asmatrix(numbers), numbers.T, {"a": numbers}, [[1.0], [1.0, 2.0]] * (n // 2)]
        )  # fmt: skip
    if name == "probs":
        k = rng.choice([2, 2, 3])
        probs = draws.dirichlet(np.ones(k), size=n)
        poked = probs.copy()
        poked.flat[rng.randrange(poked.size)] = rng.choice([np.nan, np.inf, -0.1, 1e300, 2.0])
        return rng.choice(
            [probs, probs[:, ::-1], poked, probs[:, :1], probs * 2, np.log(probs), probs[1:], probs[:, 0], probs.tolist(),
             probs.astype(np.float16), np.eye(k)[draws.integers(k, size=n)], np.eye(k, dtype=int)[draws.integers(k, size=n)],
             pd.DataFrame(probs, columns=["b", "a", "c"][:k]), probs * 0, np.hstack([probs, probs * 0]), probs[..., None],
             polars.DataFrame(probs), probs.astype(object), sparse.csr_matrix(probs), np.ma.masked_array(probs, probs > 0.9),
             probs.astype(complex), [[0.5, 0.5], [1.0]] * (n // 2), np.full((n, k), 1e-320)]
        )  # fmt: skip
    if name == "costs":
        prices = draws.uniform(1, 2, size=n)
        poked = prices.copy()
        poked[rng.randrange(n)] = rng.choice([np.nan, np.inf, 0.0, -1.0, 1e308, 1e-320])
        return rng.choice(
            [prices, poked, prices.tolist(), prices[1:], prices[:, None], prices * 0, prices * 1e308, prices * 1e-310,
             prices.astype("U5"), prices.astype(complex), [10**400] * n, [10**30] * n, pd.Series(prices), 5, 5.0,
             ["1"] * n, [1, None] * (n // 2), prices.astype(np.int8), [b"1"] * n, prices.astype(object), contents(rng, n)]
        )  # fmt: skip
    if name == "ids":
        return rng.choice(
            [list(range(n))[::-1], [f"p{row}" for row in range(n)], [0] * n, contents(rng, n), list(range(n - 1)),
             [10**30 + row for row in range(n)], [(row, "a") for row in range(n)], [b"%d" % row for row in range(n)],
             [row / 2 for row in range(n)], pd.date_range("2020", periods=n), np.arange(n, dtype=np.uint64),
             [str(row) if row % 2 else row for row in range(n)], [f"\ud800{row}" for row in range(n)],
             [f"{row}\0" for row in range(n)], [f"={row}" for row in range(n)], pd.period_range("2020", periods=n),
             [frozenset({row}) for row in range(n)], [row * 1j for row in range(n)], [10**5000 + row for row in range(n)],
             np.arange(n).astype("M8[D]"), [f" {row}" for row in range(n)], np.arange(n)[:, None], [True, *range(n - 1)],
             pd.Series([f"p{row}" for row in range(n)], index=[7] * n), (f"p{row}" for row in range(n)), "x" * n]
        )  # fmt: skip
    return rng.choice(  # classes
        [[0, 1], [1, 0], [0, 1, 2, 3], ["oak", "elm", "ash"], ["ash", "elm", "oak", "fir"], ["elm", "elm", "oak"], [], [0],
         ["0", "1"], {0, 1, 2}, {"a": 0}, range(3), iter([0, 1, 2]), "oak", 2, [0, 1, None], [0, 1, np.nan], [0.0, 1.0, 2.0],
         [0, 10**30], [0, "1"], [[0], [1]], np.array([0, 1, 2]), pd.Index(["elm", "oak", "ash"]), list(range(500)),
         [True, False], [0, 1, -1], contents(rng, 3), np.array(2)]
    )  # fmt: skip


def odd_setting(rng: random.Random, name: str) -> Any:
    """A value for an argument of the constructor."""
    if rng.random() < 0.2:
        return scalar(rng)
    values: dict[str, list[Any]] = {
        "candidates": ["fast", "regression", "nope", "", [], ["margin", "margin"], ["margin"], ("margin", "kcenter"), [1],
                       [("a", "margin")], ["nope"], {"margin"}, iter(["margin", "kcenter"]), np.array(["margin"]), "margin",
                       [("margin", None)], [["margin", "kcenter"]]],
        "task": ["auto", "classification", "regression", "Regression", 1, None],
        "mode": ["uniform", "bilevel", "paper ", None, 3],
        "search": [{}, None, {"episodes": "x"}, {"nope": 1}, {1: 2}, {"temperature": float("inf")}, {"strength": 1e308},
                   {"strength": float("inf")}, {"outer_lr": 0}, {"audit": 0.3}, {"audit": 2}, {"audit": float("nan")},
                   {**QUICK, "anchor_exponent": 1e308}, {**QUICK, "composition": "dpp"},
                   {**QUICK, "outer_lr": 1e308}, {**QUICK, "shrinkage": float("inf")}, {**QUICK, "head_l2": 1e-320},
                   {**QUICK, "head_l2": 1e308}, {**QUICK, "engine": "gains"},
                   {**QUICK, "prior": "nowhere"}, {**QUICK, "proposals": "pool"},
                   {**QUICK, "temperature": 1e-320}, {**QUICK, "relearn": float("inf")},
                   {**QUICK, "engine": "implicit"}, [("episodes", 2)],
                   {**QUICK, "value_heads": 0}, {**QUICK, "gate_level": 1.0},
                   {**QUICK, "max_pool": 16}],
        "device": ["cpu", "cuda", "cuda:99", "mps", "xyz", "meta", "cpu:7", 0, -1, None],
        "random_state": [None, -1, 2**64, 10**30, 10**5000, 1.0, "7", True, np.int64(3), np.random.RandomState(0)],
        "time_limit": [1e-9, 0, -1, float("inf"), float("nan"), 10**400, "1", True, np.float64(1)],
        "progress": [True, False, 1, 0, "yes", lambda stage, done, total: None],
        "callbacks": [[], None, 5, [5], (print_nothing,), print_nothing, iter([print_nothing])],
        "strict": [True, False, None, "yes"],
        "encoder": [str, len, "tfidf", lambda rows: np.zeros((len(rows), 2)), lambda rows: np.zeros(3),
                    lambda rows: [[float("nan")]] * len(rows), lambda rows: None, dict,
                    lambda rows: np.arange(len(rows))[:, None] * 1e300],
    }  # fmt: skip
    return odd_model(rng) if name == "model" else rng.choice(values[name])


def print_nothing(selector: Any, query: Any) -> None:
    """A callback."""


def run_case(seed: int, number: int) -> tuple[str, Fault | None]:
    """What became of case `number` (answered, refused or fault), and the fault, made as small as it gets."""
    with tempfile.TemporaryDirectory() as folder:
        case = make_case(random.Random(f"{seed}:query:{number}"), Path(folder))
        word, found = _outcome(case, Path(folder))
        if found is None:
            return word, None
        for name in list(case.changed):  # generators are used up by then, so what is left out changes little
            smaller = case.without(name)
            again = _outcome(smaller, Path(folder))[1]
            if again is not None and again[0] == found[0]:
                case = smaller
        return word, Fault(found[0], found[1], f"query, seed {seed}, case {number}", str(case))


def _outcome(case: Case, folder: Path) -> tuple[str, tuple[str, str] | None]:
    call, settings = case.arguments()

    def go() -> Query:
        query = AutoAL(**settings).fit_query(**call)
        check_query(query, call, settings)
        check_exports(query, folder)
        return query

    _, refused, fault = called(go)
    if fault is None and refused is not None and not case.changed:
        fault = f"refused a right call: {type(refused).__name__}", str(refused)
    return ("fault" if fault else "answered" if refused is None else "refused"), fault


# --- what a right answer is -------------------------------------------------------------------------------------


def check_query(query: Any, call: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raises Wrong where the answer cannot be one to this call. What cannot be read from here is passed over."""
    if not isinstance(query, Query):
        raise Wrong(f"no Query: {type(query).__name__}")
    pool = call["X"] if call.get("X_pool") is None else call["X_pool"]
    n = len(query.utilities)
    counted = lengths(pool) if pool is not None and not isinstance(pool, str | Path) else None
    if counted is not None and counted != n:
        raise Wrong(f"utilities of another length: {n} for {counted} rows")
    picks = query.indices.tolist()
    if len(picks) != int(call["batch_size"]) or len(set(picks)) != len(picks):
        raise Wrong(f"batch of another size, or not distinct: {picks} for {call['batch_size']}")
    if query.indices.dtype.kind != "i" or not all(0 <= row < n for row in picks):
        raise Wrong(f"indices outside the pool: {picks} of {n}")
    closed, still_open = _closed(call, n)
    if closed & set(picks):
        raise Wrong(f"asks for what is labeled, excluded or outside pool: {sorted(closed & set(picks))}")
    finite = np.isfinite(query.utilities)
    if not finite[picks].all() or not finite[sorted(still_open)].all():
        raise Wrong(f"utilities not finite on the pool: {query.utilities[sorted(still_open)][:8].tolist()}")
    if not np.isnan(query.utilities[sorted(closed)]).all():
        raise Wrong("utilities of rows that could not be asked for: not NaN")
    weights = np.asarray(list(query.weights.values()))
    if len(weights) and not (np.isfinite(weights).all() and abs(weights.sum() - 1) < 1e-3 and (weights > -1e-9).all()):
        raise Wrong(f"weights do not sum to one: {dict(query.weights)}")
    if any(vote.shape != (len(picks),) for vote in query.votes.values()):
        raise Wrong("votes of another length: than the batch")
    plain_json(dict(query.diagnostics), "diagnostics")


def _closed(call: dict[str, Any], n: int) -> tuple[set[int], set[int]]:
    """Rows that certainly may not, and that certainly may, be asked for."""
    closed: set[int] = set()
    unsure: set[int] = set()
    if call.get("X_pool") is None:
        if call.get("labeled") is not None:
            closed |= _rows(call["labeled"], n) or set()
        else:
            for row, value in enumerate(_entries(call["y"])[:n]):
                if _absent(value):
                    continue
                (unsure if _minus_one(value) else closed).add(row)
    for name in ("exclude", "rejected"):
        if call.get(name) is not None:
            closed |= _rows(call[name], n) or set()
    if call.get("pool") is not None:
        wanted = _rows(call["pool"], n)
        unsure |= set(range(n)) if wanted is None else set()
        closed |= set() if wanted is None else set(range(n)) - wanted
    complete = call.get("labeled") is not None or call.get("X_pool") is not None or len(_entries(call["y"])) == n
    return closed, set(range(n)) - closed - unsure if complete else set()


def _rows(value: Any, n: int) -> set[int] | None:
    """Row numbers, or a mask, as a set; None where it was an iterator."""
    if hasattr(value, "__next__"):
        return None
    given = np.asarray(value).tolist()
    if isinstance(given, list) and given and all(isinstance(part, bool) for part in given):
        return {row for row, yes in enumerate(given) if yes}
    return {int(part) for part in given} if isinstance(given, list) else None


def _entries(y: Any) -> list[Any]:
    if y is None or hasattr(y, "__next__"):
        return []
    values = y.tolist() if hasattr(y, "tolist") else y.values.tolist() if isinstance(y, pd.DataFrame) else y
    return [value[0] if isinstance(value, list | tuple) and len(value) == 1 else value for value in values]


def _absent(value: Any) -> bool:
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float | np.floating) and value != value)
    )


def _minus_one(value: Any) -> bool:
    try:
        return bool(value == -1)
    except Exception:  # values that cannot be compared
        return False


def check_exports(query: Query, folder: Path) -> None:
    """Raises Wrong where a batch cannot be written, or read again."""
    for write, suffix in ((query.to_csv, "csv"), (query.to_jsonl, "jsonl"), (query.to_label_studio, "json")):
        path = folder / f"batch.{suffix}"
        write(path)
        text = path.read_text(encoding="utf-8")
        if suffix == "jsonl" and len([json.loads(line) for line in text.split("\n") if line]) != len(query):
            raise Wrong("export of another length: jsonl")
        if suffix == "json" and len(json.loads(text)) != len(query):
            raise Wrong("export of another length: json")
    left = [path.name for path in folder.iterdir() if path.name.endswith((".partial", ".tmp"))]
    if left:
        raise Wrong(f"file left half-written: {left}")
    if len(query.to_frame()) != len(query) or len(repr(query)) > 10_000:
        raise Wrong("export of another length: frame, or a repr that is too long")
