"""Every way to say what is labeled gives the same pool, and indices lead back to the user's rows."""

import numpy as np
import pandas as pd
import pytest
import torch

from autoal import AutoAL, Session
from autoal.data import Pool
from autoal.data.labels import task_of
from autoal.errors import InvalidInput, PoolExhausted

X = np.random.RandomState(0).randn(8, 3).astype(np.float32)
LABELED = [1, 4, 6]
NAN = float("nan")


def forms():
    yield "nan", {"y": [NAN, 0, NAN, NAN, 2, NAN, 0, NAN]}
    yield "minus one", {"y": np.array([-1, 0, -1, -1, 2, -1, 0, -1])}
    yield "none", {"y": [None, 0, None, None, 2, None, 0, None]}
    yield "objects", {"y": np.array([None, 0, None, NAN, 2, None, 0, pd.NA], dtype=object)}
    yield "masked", {"y": np.ma.masked_array([9, 0, 9, 9, 2, 9, 0, 9], mask=[1, 0, 1, 1, 0, 1, 0, 1])}
    yield "tensor", {"y": torch.tensor([-1, 0, -1, -1, 2, -1, 0, -1])}
    yield "series", {"y": pd.Series([None, 0, None, None, 2, None, 0, None])}
    yield "nullable", {"y": pd.Series([None, 0, None, None, 2, None, 0, None], dtype="Int64")}
    yield "column", {"y": np.array([[-1, 0, -1, -1, 2, -1, 0, -1]]).T}
    yield "short", {"y": [0, 2, 0], "labeled": LABELED}
    yield "short, other order", {"y": [2, 0, 0], "labeled": [4, 6, 1]}
    yield "full", {"y": [5, 0, 5, 5, 2, 5, 0, 5], "labeled": np.array(LABELED)}
    yield "full with gaps", {"y": [NAN, 0, NAN, NAN, 2, NAN, 0, NAN], "labeled": torch.tensor(LABELED)}
    yield "boolean", {"y": [0, 2, 0], "labeled": np.isin(np.arange(8), LABELED)}


@pytest.mark.parametrize(("name", "arguments"), list(forms()), ids=[name for name, _ in forms()])
def test_every_form_gives_the_same_pool(name, arguments):
    pool = Pool.build(X, **arguments)
    assert pool.labeled.tolist() == LABELED
    assert pool.labels.tolist() == [0, 1, 0]
    assert pool.classes.tolist() == [0, 2]
    assert pool.num_classes == 2
    assert pool.unlabeled.tolist() == [0, 2, 3, 5, 7]
    assert len(pool) == 5
    assert pool.pool_keys().tolist() == [0, 2, 3, 5, 7]
    assert pool.labeled_keys().tolist() == LABELED
    assert pool.labels.dtype == pool.labeled.dtype == pool.unlabeled.dtype == torch.int64


def test_the_three_array_form_counts_rows_of_the_pool():
    pool = Pool.build(X[LABELED], [0, 2, 0], X[[0, 2, 3, 5, 7]], pool=[4, 0, 1], ids=list("edcba"), costs=range(1, 6))
    assert pool.labeled.tolist() == [0, 1, 2]
    assert pool.offset == 3 and pool.num_user_rows == 5
    assert pool.user_ids([0, 1, 2]).tolist() == ["a", "d", "e"]
    assert pool.user_indices([0, 1, 2]).tolist() == [4, 1, 0]
    assert pool.costs.tolist() == [5, 2, 1]
    np.testing.assert_array_equal(pool.rows.take(pool.unlabeled), X[[7, 2, 0]])
    np.testing.assert_array_equal(pool.rows.take(pool.labeled), X[LABELED])
    assert not set(pool.pool_keys().tolist()) & set(pool.labeled_keys().tolist())
    np.testing.assert_array_equal(pool.scatter([1.0, 2.0, 3.0]), [3, 2, NAN, NAN, 1])


def test_two_frames_are_encoded_together():
    pool = Pool.build(pd.DataFrame({"c": ["x", "y"]}), [0, 1], pd.DataFrame({"c": ["z", "x", "x"]}, index=[7, 8, 9]))
    assert pool.rows.native(pool.unlabeled)["c"].tolist() == ["z", "x", "x"]
    encoded = pool.rows.take(torch.arange(5))
    assert encoded[0].equal(encoded[3]) and encoded[3].equal(encoded[4])
    assert not encoded[0].equal(encoded[1]) and not encoded[1].equal(encoded[2])


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        (["cat", None, "ant", None], ["ant", "cat"], [1, 0]),
        (["cat", NAN, "ant", None], ["ant", "cat"], [1, 0]),
        ([True, None, False, None], [False, True], [1, 0]),
        ([3.0, NAN, 2.0, NAN], [2, 3], [1, 0]),
        (pd.Categorical(["cat", None, "ant", None], categories=["cat", "ant", "bee"]), ["ant", "cat"], [1, 0]),
        ([-5, -1, 7, -1], [-5, 7], [0, 1]),
        ([(1, 2), None, (0, 1), None], [(0, 1), (1, 2)], [1, 0]),
    ],
)
def test_labels_may_be_anything_with_equality(y, classes, labels):
    pool = Pool.build(X[:4], y)
    assert pool.classes.tolist() == classes
    assert pool.labels.tolist() == labels


def test_with_labeled_given_minus_one_is_a_class():
    pool = Pool.build(X, [-1, 1], labeled=[0, 1])
    assert pool.classes.tolist() == [-1, 1]


def test_classes_without_labels_can_be_named():
    assert Pool.build(X, [0, 3], labeled=[0, 1], num_classes=5).classes.tolist() == [0, 1, 2, 3, 4]
    pool = Pool.build(X, ["b", "c"], labeled=[0, 1], classes=["c", "a", "b"])
    assert pool.classes.tolist() == ["c", "a", "b"] and pool.labels.tolist() == [2, 0]


def test_pool_and_exclude_restrict_what_may_be_asked_for():
    pool = Pool.build(X, [0, 1], labeled=[0, 1], pool=[0, 1, 2, 3, 7], exclude=[3])
    assert pool.unlabeled.tolist() == [2, 7]
    mask = np.zeros(8, dtype=bool)
    mask[[2, 7]] = True
    assert Pool.build(X, [0, 1], labeled=[0, 1], pool=mask).unlabeled.tolist() == [2, 7]


def test_indices_positions_and_ids_lead_to_each_other():
    pool = Pool.build(X, [0, 1], labeled=[0, 1], ids=[80, 10, 30, 20, 70, 60, 50, 40])
    assert pool.user_ids(range(6)).tolist() == [20, 30, 40, 50, 60, 70]
    assert pool.user_indices(torch.arange(6)).tolist() == [3, 2, 7, 6, 5, 4]
    assert pool.position_of([4, 3, 4]).tolist() == [5, 0, 5]
    assert torch.equal(pool.position_of(pool.user_indices(range(6))), torch.arange(6))
    with pytest.raises(InvalidInput, match=r"\[1\] are not in the pool"):
        pool.position_of([3, 1])
    with pytest.raises(InvalidInput, match="outside"):
        pool.position_of([8])
    with pytest.raises(InvalidInput, match="wanted"):
        pool.scatter(np.zeros(8))


@pytest.mark.parametrize("ids", [list("hgfedcba"), [5, 3, 8, 1, 9, 2, 7, 4], [1, "1", 2, "b", 3, "c", 4, "d"]])
def test_permuting_rows_together_with_their_ids_changes_nothing(ids):
    y = [NAN, 0, NAN, NAN, 2, NAN, 1, NAN]
    costs = np.arange(1.0, 9.0)
    here = Pool.build(X, y, ids=ids, costs=costs)
    order = np.random.RandomState(3).permutation(8)
    there = Pool.build(X[order], [y[i] for i in order], ids=[ids[i] for i in order], costs=costs[order])
    for rows in ("unlabeled", "labeled"):
        assert torch.equal(here.rows.take(getattr(here, rows)), there.rows.take(getattr(there, rows)))
    assert torch.equal(here.labels, there.labels) and torch.equal(here.costs, there.costs)
    assert torch.equal(here.pool_keys(), there.pool_keys()) and torch.equal(here.labeled_keys(), there.labeled_keys())
    assert bool((here.pool_keys().diff() > 0).all()) and bool((here.labeled_keys().diff() > 0).all())
    assert here.user_ids(range(5)).tolist() == there.user_ids(range(5)).tolist()


def test_keys_stay_when_a_point_moves_from_the_pool_to_the_labeled():
    ids = list("hgfedcba")
    before = Pool.build(X, [0, 1], labeled=[0, 1], ids=ids)
    after = Pool.build(X, [0, 1, 1], labeled=[0, 1, 5], ids=ids)
    moved = before.pool_keys()[before.position_of([5])]
    assert moved.item() in after.labeled_keys().tolist()
    assert set(after.pool_keys().tolist()) == set(before.pool_keys().tolist()) - {moved.item()}


with_labels = {"y": [0, 1], "labeled": [0, 1]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y": [0, 1, 2]}, "length 3 for 8 rows"),
        ({"y": [0, 1, 2], "labeled": [0, 1]}, r"wanted 2 .* or 8"),
        ({"y": [NAN] * 8}, "no label"),
        ({"y": [], "labeled": []}, "is empty"),
        ({"y": [0, NAN] * 4}, "all 4 labels are"),
        ({"y": [-1, 1] * 4}, "pass labeled="),
        ({"y": [0, NAN], "labeled": [0, 1]}, "are missing"),
        ({"y": [0.5, 1] * 4}, "[Rr]egression"),
        ({"y": [0.5, 1, None, None] * 2}, "[Rr]egression"),
        ({"y": np.zeros((8, 2))}, "argmax"),
        ({"y": [0, np.inf] * 4}, "infinite"),
        ({"y": [[1], [2, 3], None, None, None, None, None, None]}, "cannot be compared"),
        ({"y": [1, "a", None, None] * 2}, "mixes labels of types"),
        ({"y": 3}, "type int"),
        ({**with_labels, "labeled": [0, 0]}, r"more than once: \[0\]"),
        ({**with_labels, "labeled": [0, 8]}, r"outside 0\.\.7: \[8\]"),
        ({**with_labels, "labeled": [0, -1]}, r"outside 0\.\.7: \[-1\]"),
        ({**with_labels, "labeled": [0.0, 1.0]}, "row numbers"),
        ({**with_labels, "labeled": [True, False]}, "mask of length 2"),
        ({**with_labels, "pool": [3, 3]}, "more than once"),
        ({**with_labels, "pool": [9]}, "outside"),
        ({**with_labels, "exclude": [3, 3]}, "more than once"),
        ({**with_labels, "exclude": [-3]}, "outside"),
        ({**with_labels, "ids": list("abc")}, "got 3 ids for 8 rows"),
        ({**with_labels, "ids": list("aabcdefg")}, r"1 ids are repeated \(first \['a'\]\)"),
        ({**with_labels, "ids": [[i] for i in range(8)]}, "hashable"),
        ({**with_labels, "ids": [None, *range(7)]}, "None or NaN"),
        ({**with_labels, "costs": [1, 2]}, "costs of shape"),
        ({**with_labels, "costs": [1.0] * 7 + [0.0]}, r"rows \[7\]"),
        ({**with_labels, "costs": [1.0] * 7 + [NAN]}, r"rows \[7\]"),
        ({**with_labels, "costs": ["a"] * 8}, "numbers"),
        ({**with_labels, "num_classes": 1}, "num_classes=1"),
        ({"y": [0, 9], "labeled": [0, 1], "num_classes": 3}, "classes="),
        ({"y": ["a", "b"], "labeled": [0, 1], "num_classes": 3}, "classes="),
        ({**with_labels, "classes": [0, 2]}, "not among"),
        ({**with_labels, "X_pool": X}, "together with X_pool"),
        ({"y": [0, 1], "X_pool": X}, "length 2 for 8 labeled rows"),
        ({"y": [0, NAN] * 4, "X_pool": X}, "are missing"),
        ({"y": [0, 1] * 4, "X_pool": X[:, :2]}, "same columns"),
        ({"y": [0, 1] * 4, "X_pool": X[:0]}, "X_pool .* without rows"),
        ({**with_labels, "task": "ranking"}, "'ranking'.*'regression'"),
        ({**with_labels, "task": "regression", "classes": [0, 1]}, "classes= and probs="),
        ({"y": ["a", "b", None, None, None, None, None, None], "task": "regression"}, "'a'.*numbers"),
        ({"y": [1.5, *[NAN] * 7], "task": "regression"}, "at least two"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(arguments, words):
    with pytest.raises(InvalidInput, match=words):
        Pool.build(X, **arguments)


@pytest.mark.parametrize("arguments", [{"y": [0, 1] * 4}, {**with_labels, "pool": [0, 1]}, {**with_labels, "pool": []}])
def test_an_empty_pool_is_exhausted(arguments):
    with pytest.raises(PoolExhausted, match="no point left"):
        Pool.build(X, **arguments)


def test_costs_of_labeled_rows_are_not_looked_at():
    pool = Pool.build(X, **with_labels, costs=[NAN, 0, 1, 2, 3, 4, 5, 6])
    assert pool.costs.tolist() == [1, 2, 3, 4, 5, 6]


def test_gaps_are_for_the_model_to_take_or_refuse():
    bad = X.copy()
    bad[5, 0] = np.nan
    assert np.isnan(Pool.build(bad, **with_labels).rows.native(torch.tensor([5]))[0, 0])


TARGETS = [NAN, 0.5, NAN, NAN, -1.0, NAN, 2.25, NAN]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nan", {"y": TARGETS}),
        ("none", {"y": [None if value != value else value for value in TARGETS]}),
        ("series", {"y": pd.Series(TARGETS)}),
        ("short", {"y": [0.5, -1.0, 2.25], "labeled": LABELED}),
        ("full", {"y": [9.5, 0.5, 9.5, 9.5, -1.0, 9.5, 2.25, 9.5], "labeled": LABELED}),
        ("said", {"y": TARGETS, "task": "regression"}),
    ],
)
def test_fractions_are_targets_and_minus_one_is_one_of_them(name, arguments):
    pool = Pool.build(X, **{"task": "auto", **arguments})
    assert pool.task == "regression" and pool.classes is None and pool.num_classes == 0
    assert pool.labeled.tolist() == LABELED
    assert pool.labels.dtype == torch.float64 and pool.labels.tolist() == [0.5, -1.0, 2.25]


def test_minus_one_in_integers_is_a_target_where_the_task_says_so():
    pool = Pool.build(X, [-1, 3], labeled=[0, 5], task="regression")
    assert pool.labels.tolist() == [-1.0, 3.0]
    with pytest.raises(PoolExhausted, match="-1 is a target"):
        Pool.build(X, np.array([-1, 0, -1, -1, 2, -1, 0, -1]), task="regression")


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (np.array([0.0, 1.0, 2.0]), "classification"),
        (np.array([0.0, 1.0, 2.5]), "regression"),
        (np.arange(300), "classification"),
        (np.arange(300.0), "regression"),
        (np.arange(1000.0) % 200, "classification"),
        (np.array(["a", "b"]), "classification"),
        (np.array([0.5, 1.5], dtype=object), "regression"),
        (np.array([1, 2.5], dtype=object), "regression"),
    ],
)
def test_what_counts_as_a_regression(labels, task):
    assert task_of(labels) == task


def test_labels_in_another_order_than_the_rows_are_not_given_to_the_wrong_ones(tmp_path):
    frame = pd.DataFrame({"a": np.arange(8.0)}, index=list("hgfedcba"))
    labels = pd.Series([0, 1, None, None, 1, None, 0, None], index=list("hgfedcba"))
    turned = labels.sort_index()
    with pytest.raises(InvalidInput, match="different orders"):
        Pool.build(frame, turned)
    with pytest.raises(InvalidInput, match="different orders"):
        AutoAL("fast").fit_query(frame, turned, batch_size=2)
    with pytest.raises(InvalidInput, match="different orders"):
        Session.create(tmp_path / "s", frame, y=turned)
    picked = Pool.build(frame, labels)
    assert picked.labeled.tolist() == Pool.build(frame, turned.reindex(frame.index)).labeled.tolist()
    assert picked.labeled.tolist() == Pool.build(frame, labels.to_numpy()).labeled.tolist()
    assert picked.labeled.tolist() == Pool.build(frame, labels.set_axis(range(8))).labeled.tolist()
