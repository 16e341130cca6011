"""A frame becomes numbers in which similar rows are near, and what was decided on the way is said."""

import datetime
import hashlib
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from autoal.encoders import fit_encoder
from autoal.errors import InvalidInput

WORDS = "the a cat dog house tree leaf red green runs sleeps over under big small on with and".split()


def frame(n=60, seed=0):
    r = np.random.RandomState(seed)
    return pd.DataFrame(
        {
            "size": r.randn(n) * 1e6,
            "count": r.randint(0, 50, n),
            "price": [f"{value:.2f}".replace(".", ",") for value in r.rand(n) * 100],
            "city": r.choice(["Bonn", "Jena", "Kiel"], n),
            "day": [f"2024-{r.randint(1, 13):02d}-{r.randint(1, 29):02d}" for _ in range(n)],
            "text": [" ".join(r.choice(WORDS, 8)) for _ in range(n)],
            "job": [f"job{r.randint(0, n // 2)}" for _ in range(n)],
            "flag": r.choice([True, False], n),
            "file": [f"img_{i}.png" for i in range(n)],
            "row": np.arange(n),
            "version": 3,
        }
    )


def encode(table, **other):
    made = fit_encoder("table", table, **other).transform(table)
    assert made.dtype == np.float32 and np.isfinite(made).all() and len(made) == len(table)
    return made


def test_columns_are_standardised_and_notes_name_what_was_decided():
    table = frame(200)
    encoder = fit_encoder("table", table)
    made = encoder.transform(table)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=0.05)
    assert (made.std(axis=0) < 1.01).all() and np.abs(made).max() <= 10
    assert (made.std(axis=0) > 0.5).sum() > 40
    assert encoder.notes == [
        "column 'text' is read as text",
        "column 'day' is read as dates",
        "column 'price' is read as numbers",
        "column 'file' was left out of distances: nearly every value is different and it is neither text nor a date",
        "column 'row' was left out of distances: it merely counts the rows",
        "column 'version' was left out of distances: it holds one value only",
    ]


def test_columns_that_are_left_out_change_nothing():
    table = frame()
    np.testing.assert_array_equal(encode(table), encode(table.drop(columns=["file", "row", "version"])))


def test_the_order_of_rows_changes_nothing():
    for n in (7, 60, 300):
        table = frame(n)
        order = np.random.RandomState(1).permutation(n)
        np.testing.assert_allclose(encode(table)[order], encode(table.iloc[order]), atol=1e-4)


@pytest.mark.parametrize("n", range(2, 11))
def test_few_rows(n):
    table = frame(12).iloc[:n]
    made = encode(table)
    assert len(np.unique(made, axis=0)) == n


def test_few_rows_of_one_kind_of_column():
    for name in ("size", "count", "price", "day", "text", "job", "file"):
        for n in (2, 3, 5):
            table = frame(12)[[name]].iloc[:n]
            assert len(np.unique(encode(table), axis=0)) == table[name].nunique(), (name, n)


def test_other_rows_unseen_categories_and_new_gaps():
    table = frame()
    encoder = fit_encoder("table", table)
    other = frame(9, seed=5).astype(object)
    other.loc[0] = [None] * other.shape[1]
    other["city"] = [None, "Rome", "Bonn", "Jena", "Kiel", "", "x", "y", "z"]
    other["price"] = ["cheap", "1,5", None, "2.5", "3", "4", "5", "1e300", "inf"]
    other["day"] = ["soon", "2024-13-40", None, "2099-01-01", "2024-01-01", "", "x", "y", "z"]
    other["size"] = [np.nan, np.inf, -np.inf, 1e308, 1.0, 2.0, 3.0, 4.0, 5.0]
    made = encoder.transform(other)
    assert np.isfinite(made).all() and made.shape == (9, encoder.transform(table).shape[1])
    np.testing.assert_array_equal(made[0], 0)  # a row of gaps stands in the middle
    np.testing.assert_array_equal(encoder.transform(table.iloc[:1]), encoder.transform(table)[:1])
    assert encoder.transform(table.iloc[:0]).shape == (0, made.shape[1])


def test_an_unseen_category_is_none_of_two():
    table = pd.DataFrame({"a": ["x", "y"] * 10})
    made = fit_encoder("table", table).transform(pd.DataFrame({"a": ["x", "y", "z", None]}))[:, 0]
    assert abs(made[0]) == 1 and made[0] == -made[1] and made[2] == made[3] == 0


def test_columns_by_name():
    table = frame()
    encoder = fit_encoder("table", table)
    mixed = table[table.columns[::-1]].assign(more=1)
    np.testing.assert_array_equal(encoder.transform(mixed), encoder.transform(table))
    with pytest.raises(InvalidInput, match=r"'city'.*are missing"):
        encoder.transform(table.drop(columns="city"))


def test_names_of_any_kind():
    values = np.random.RandomState(0).randn(30, 4)
    wanted = encode(pd.DataFrame(values, columns=list("abcd")))
    for names in (["a", "a", "b", "a"], [0, 1, "1", None], [("a", 1), ("a", 2), ("b", 1), ("b", 2)], range(4)):
        np.testing.assert_array_equal(encode(pd.DataFrame(values, columns=list(names))), wanted)
    columns = pd.MultiIndex.from_product([["a", "b"], [1, 2]])
    np.testing.assert_array_equal(encode(pd.DataFrame(values, columns=columns, index=[0] * 30)), wanted)


def test_dtypes():
    n = 30
    number = np.random.RandomState(0).randint(0, 9, n)
    gaps = np.arange(n) % 7 == 0
    plain = np.where(gaps, np.nan, number)
    wanted = encode(pd.DataFrame({"a": plain}))
    for column in (
        pd.Series(plain).astype("Int64"),
        pd.Series(plain).astype("Float64"),
        pd.Series(plain).astype(object),
        pd.Series(plain, dtype=pd.SparseDtype(float)),
        pd.Series([None if gap else f"{value}" for gap, value in zip(gaps, number, strict=True)], dtype="string"),
        pd.Series([np.inf if gap else value for gap, value in zip(gaps, number, strict=True)]),
    ):
        np.testing.assert_allclose(encode(pd.DataFrame({"a": column})), wanted, atol=1e-6, err_msg=str(column.dtype))
    for column in (
        pd.Series(pd.date_range("2024-01-05", periods=n, tz="Asia/Tokyo")),
        pd.Series(pd.period_range("2024-01", periods=n, freq="M")),
        pd.Series(pd.to_timedelta(range(n), unit="D")),
        pd.Series([True, False, None] * 10, dtype="boolean"),
        pd.Series([datetime.date(2024, 1, 1 + i % 20) for i in range(n)]),
        pd.Series(pd.Categorical([None, "b", "a"] * 10, ordered=True)),
        pd.Series(pd.Categorical([1, 2, None] * 10)),
    ):
        assert encode(pd.DataFrame({"a": column})).std() > 0, column.dtype


def test_moments_that_float32_cannot_tell_apart():
    times = pd.Series(pd.date_range("2024-05-01 12:00:00", periods=10, freq="s"))
    assert len(np.unique(encode(pd.DataFrame({"a": times})), axis=0)) == 10
    large = pd.DataFrame({"a": 1_700_000_000 + 7 * np.arange(10)})
    assert len(np.unique(encode(large), axis=0)) == 10
    assert encode(pd.DataFrame({"a": [1e300, -1e300, 0.0]})).std() > 0.9


def test_polars():
    polars = pytest.importorskip("polars")
    table = frame()
    moments = [datetime.datetime(2024, 1, 1 + i % 28, i % 24) for i in range(60)]
    extra = {"when": moments, "date": [moment.date() for moment in moments]}
    gaps = {"gaps": [None if i % 5 == 0 else i * i for i in range(60)]}
    given = polars.DataFrame({name: column.tolist() for name, column in table.items()} | extra | gaps)
    same = table.assign(when=pd.Series(moments), date=pd.to_datetime(pd.Series(extra["date"])), **gaps)
    np.testing.assert_allclose(encode(given), encode(same), atol=1e-5)
    others = polars.DataFrame(
        {
            "a": polars.Series(["x", "y", None] * 10, dtype=polars.Categorical),
            "b": polars.Series(["lo", "hi", "lo"] * 10, dtype=polars.Enum(["lo", "hi"])),
            "c": polars.Series([[1], [2], [3]] * 10),
            "d": polars.Series(moments[:30]).dt.replace_time_zone("Europe/Berlin"),
            "e": polars.Series(["1.5", "2.5", "3.5"] * 10).cast(polars.Decimal(10, 2)),
            "f": polars.Series(moments[:30]) - moments[0],
            "g": polars.Series([True, None, False] * 10),
            "h": polars.Series([None] * 30),
            "i": polars.Series([moment.time() for moment in moments[:30]]),
        }
    )
    encoder = fit_encoder("table", others)
    assert np.isfinite(encoder.transform(others)).all()
    assert [note.split(" was")[0] for note in encoder.notes] == ["column 'c'", "column 'h'"]
    with pytest.raises(InvalidInput, match=r"collect\(\)"):
        fit_encoder("table", others.lazy())


def test_nothing_left_is_refused_and_says_why():
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(30)], "n": range(30), "c": 1, "e": None, "l": [[1]] * 30})
    with pytest.raises(InvalidInput) as caught:
        fit_encoder("table", table)
    for part in ("'file'", "merely counts", "one value", "no value", "neither numbers", "encoder="):
        assert part in str(caught.value)
    with pytest.raises(InvalidInput, match="one row"):
        fit_encoder("table", table.iloc[:0])
    with pytest.raises(InvalidInput, match="ndarray"):
        fit_encoder("table", np.zeros((3, 3)))


def test_nothing_is_printed_and_the_frame_stays():
    table = frame()
    before = table.copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = fit_encoder("table", table)
        encoder.transform(frame(20, seed=9))
    pd.testing.assert_frame_equal(table, before)


def test_near_rows_are_near():
    table = frame()
    made = encode(table[["text", "city", "size"]])
    near = table.iloc[[0]].assign(text=lambda one: one["text"] + " again")
    encoder = fit_encoder("table", table[["text", "city", "size"]])
    distance = np.linalg.norm(made - encoder.transform(near[["text", "city", "size"]]), axis=1)
    assert distance.argmin() == 0


def test_the_same_bits_in_every_process():
    code = (
        "import sys; sys.path.insert(0, 'tests/encoders'); import hashlib, test_tables as t; "
        "print(hashlib.sha256(t.encode(t.frame()).tobytes()).hexdigest())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == hashlib.sha256(encode(frame()).tobytes()).hexdigest()
