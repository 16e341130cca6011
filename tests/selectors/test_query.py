"""A Query is an index array that says why: in numpy, torch, files and annotation tools."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autoal import Query
from tests.selectors.problems import auto, blobs

X, Y, TRUTH = blobs()
N = len(X)
IDS = np.array([f"leaf {i:03d}, \N{GREEK SMALL LETTER ALPHA}" for i in range(N)])
MODES = ("bilevel", "paper", "uniform")


@pytest.fixture(scope="module", params=MODES)
def query(request: pytest.FixtureRequest) -> Query:
    return auto(mode=request.param).fit_query(X, Y, batch_size=6, ids=IDS, exclude=[0, 3])


def test_acts_as_an_index_array(query: Query) -> None:
    rows = query.indices.tolist()
    assert len(query) == 6 and list(query) == rows and len(set(rows)) == 6
    assert all(type(row) is int for row in query)
    assert query.indices.dtype == np.int64
    np.testing.assert_array_equal(TRUTH[query], TRUTH[rows])
    np.testing.assert_array_equal(X[query], X[rows])
    np.testing.assert_array_equal(np.asarray(query), rows)
    np.testing.assert_array_equal(np.asarray(query, dtype=np.int32), rows)
    np.testing.assert_array_equal(np.array(query), rows)
    np.testing.assert_array_equal(np.delete(np.arange(N), query), np.setdiff1d(np.arange(N), rows))
    np.testing.assert_array_equal(np.isin(np.arange(N), query).nonzero()[0], sorted(rows))
    tensor = torch.from_numpy(X)
    assert torch.equal(tensor[query], tensor[rows])
    assert torch.equal(tensor[torch.as_tensor(np.asarray(query))], tensor[rows])
    assert pd.Series(TRUTH).iloc[query].tolist() == TRUTH[rows].tolist()
    assert pd.DataFrame(X).iloc[list(query)].shape == (6, 4)
    assert [IDS.tolist()[i] for i in query] == query.ids.tolist()
    assert query[0] == rows[0] and query[-1] == rows[-1] and query[:2].tolist() == rows[:2]
    assert rows[2] in query and N + 1 not in query
    labels = Y.copy()
    labels[query] = TRUTH[query]
    assert (labels >= 0).sum() == (Y >= 0).sum() + 6


def test_asarray_gives_a_copy_that_may_be_written(query: Query) -> None:
    rows = np.asarray(query)
    rows[:] = 0
    assert query.indices.tolist() != rows.tolist()


def test_nothing_in_it_can_be_changed(query: Query) -> None:
    for array in (query.indices, query.ids, query.utilities, *query.votes.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        query.indices = np.zeros(6)  # type: ignore[misc]
    for table in (query.weights, query.votes, query.diagnostics):
        with pytest.raises(TypeError):
            table["margin"] = 1.0  # type: ignore[index]
        with pytest.raises(TypeError):
            table.clear()  # type: ignore[attr-defined]


def test_it_survives_a_pickle_and_a_copy(query: Query) -> None:
    for other in (pickle.loads(pickle.dumps(query)), copy.deepcopy(query)):
        assert other == query
        assert other.diagnostics == query.diagnostics


def test_equality_is_of_the_answer(query: Query) -> None:
    again = Query(query.indices, query.ids, query.utilities, query.weights, query.votes, {"seconds": {}})
    assert query == again
    assert query != dataclasses.replace(query, indices=query.indices[::-1].copy())
    assert query != dataclasses.replace(query, weights={"margin": 1.0})
    assert query != "a text"
    assert "6 points" in repr(query) and str(query.indices[0]) in repr(query)


def test_utilities_are_there_exactly_for_the_pool(query: Query) -> None:
    open_rows = np.flatnonzero(Y < 0)
    open_rows = open_rows[~np.isin(open_rows, [0, 3])]
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(query.utilities)), open_rows)
    assert query.utilities.shape == (N,) and query.utilities.dtype == np.float64
    picked = query.utilities[query]
    assert (np.diff(picked) <= 0).all(), "picks are in order of utility"
    assert np.nanmax(query.utilities) == picked[0]
    rest = np.setdiff1d(open_rows, query.indices)
    assert picked.min() >= query.utilities[rest].max()


def test_weights_and_votes_are_of_the_kept_candidates(query: Query) -> None:
    names = {"random", "margin", "entropy", "kcenter", "badge"} - set(query.diagnostics["dropped"])
    assert set(query.weights) == set(query.votes) == names
    assert sum(query.weights.values()) == pytest.approx(1.0)
    assert all(weight >= 0 for weight in query.weights.values())
    for vote in query.votes.values():
        assert vote.shape == (6,) and vote.dtype == bool


def test_the_ids_are_those_of_the_rows(query: Query) -> None:
    assert query.ids.tolist() == IDS[query.indices].tolist()


def test_frame_csv_and_jsonl_tell_the_same(query: Query, tmp_path: Path) -> None:
    frame = query.to_frame()
    assert list(frame.columns) == ["rank", "index", "id", "utility", "wanted_by"]
    assert frame["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["index"].tolist() == list(query) and frame["id"].tolist() == query.ids.tolist()
    for row, wanted in enumerate(frame["wanted_by"]):
        assert wanted.split(", ") == ([name for name, vote in query.votes.items() if vote[row]] or [""])
    assert query.to_csv(tmp_path / "q.csv") is None
    assert query.to_jsonl(tmp_path / "q.jsonl") is None
    texts: Any = query.to_csv(), query.to_jsonl()
    for text, name in zip(texts, ("q.csv", "q.jsonl"), strict=True):
        assert (tmp_path / name).read_bytes() == text.encode()
    read = [
        pd.read_csv(tmp_path / "q.csv", keep_default_na=False),
        pd.read_csv(io.StringIO(texts[0]), keep_default_na=False),
        pd.DataFrame([json.loads(line) for line in texts[1].splitlines()]),
    ]
    for back in read:
        assert list(back.columns)[-1] == "label" and not any(back.pop("label"))
        pd.testing.assert_frame_equal(back, frame, check_dtype=False)
    assert {path.name for path in tmp_path.iterdir()} == {"q.csv", "q.jsonl"}


def test_label_studio_tasks(query: Query, tmp_path: Path) -> None:
    urls = {name: {"image": f"/files/{i}.jpg"} for i, name in enumerate(IDS.tolist())}
    assert query.to_label_studio(tmp_path / "tasks.json", data=urls) is None
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    assert [task["data"]["id"] for task in tasks] == query.ids.tolist()
    assert [task["data"]["index"] for task in tasks] == list(query)
    assert [task["data"]["image"] for task in tasks] == [f"/files/{i}.jpg" for i in query]
    assert [task["meta"]["rank"] for task in tasks] == [1, 2, 3, 4, 5, 6]
    assert all(set(task) == {"data", "meta"} for task in tasks)


@pytest.mark.parametrize("ids", [None, np.arange(N) + 1000, [(i, "x") for i in range(N)]], ids=["none", "int", "tuple"])
def test_other_ids_are_exported_too(ids: Any) -> None:
    query = auto(mode="uniform").fit_query(X, Y, batch_size=3, ids=ids)
    lines: Any = query.to_jsonl()
    expected = list(query) if ids is None else [ids[i] for i in query]
    got = [json.loads(line)["id"] for line in lines.splitlines()]
    assert [tuple(value) if isinstance(value, list) else value for value in got] == expected
    tasks: Any = query.to_label_studio()
    assert len(json.loads(tasks)) == 3


def test_diagnostics_say_where_the_time_went(query: Query) -> None:
    found = query.diagnostics
    assert found["mode"] in MODES and found["labels"] == 27
    assert set(found["seconds"]) >= {"train", "outputs", "candidates", "compose"}
    assert all(value >= 0 for value in found["seconds"].values())
    assert found["peak_bytes"] > 10**6
    if found["mode"] != "uniform":
        assert all(np.isfinite(values).all() for values in found["losses"].values())
    json.dumps(found)


def test_the_whole_pool_may_be_asked_for() -> None:
    open_rows = np.flatnonzero(Y < 0)
    for mode in MODES:
        query = auto(mode=mode).fit_query(X, Y, batch_size=len(open_rows))
        assert sorted(query) == open_rows.tolist()


def test_one_point_may_be_asked_for() -> None:
    for mode in MODES:
        assert len(auto(mode=mode).fit_query(X, Y, batch_size=1)) == 1
