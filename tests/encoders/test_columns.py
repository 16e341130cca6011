"""What a column of a table holds is read from its values, whatever it is called and whatever its dtype."""

import datetime
import decimal
import hashlib
import pathlib
import uuid

import numpy as np
import pandas as pd
import pytest

from autoal.encoders.columns import read_column
from autoal.errors import InvalidInput

RNG = np.random.RandomState(0)
N = 60
FIRST = "Anna Ben Clara David Emma Felix Greta Hans Ida Jonas Karl Lena Max Nora Otto Paula".split()
LAST = [a + b for a in "Schmidt Weber Fischer Becker Schulz Koch Bauer Richter Klein Wolf".split() for b in "xyzuvw"]
WORDS = "the a cat dog house tree leaf red green runs sleeps over under big small on with and".split()


def pick(values, count=None):
    return [values[i] for i in RNG.randint(0, len(values), N if count is None else count)]


def rows(make):
    return [make(i) for i in range(N)]


KINDS = {
    "sentences": (rows(lambda i: " ".join(pick(WORDS, 8))), "text"),
    "product titles": (rows(lambda i: f"{pick(['Sony', 'LG'], 1)[0]} Phone {i}GB {pick(WORDS, 1)[0]} case"), "text"),
    "two words": (rows(lambda i: " ".join(pick(WORDS[:9], 1) + pick(WORDS[9:], 1)) + "!" * (i // 30)), "text"),
    "chinese": (rows(lambda i: "".join(pick(list("我你他的是在有人这中大来上国个到说们为子"), 14))), "text"),
    "tags": (rows(lambda i: "|".join([*pick(["war", "art", "fun", "sea", "sky"], 3), f"t{i}"])), "text"),
    "names": (rows(lambda i: f"{FIRST[i % 16]} {LAST[i]}"), "out"),
    "names of three": (rows(lambda i: f"{FIRST[i % 16]} {FIRST[i % 7]} {LAST[i]}"), "out"),
    "file names": (rows(lambda i: f"img_{i:04d}.png"), "out"),
    "file names with a space": (rows(lambda i: f"scan {i:04d}.png"), "out"),
    "a template": (rows(lambda i: f"picture of the leaf number {i}"), "out"),
    "phone pictures": (rows(lambda i: f"WhatsApp Image 2021-05-03 at 12.33.{i}.jpeg"), "out"),
    "paths": (rows(lambda i: f"/data/{pick(['cat', 'dog'], 1)[0]}/{i}.jpg"), "out"),
    "urls": (rows(lambda i: f"https://example.org/item/{i}?a=b"), "out"),
    "uuids": (rows(lambda i: str(uuid.UUID(int=i * 2**90 + i))), "out"),
    "uuid objects": (rows(lambda i: uuid.UUID(int=i * 2**90 + i)), "out"),
    "path objects": (rows(lambda i: pathlib.Path(f"a/{i}.png")), "out"),
    "hashes": (rows(lambda i: hashlib.sha256(str(i).encode()).hexdigest()), "out"),
    "addresses": (rows(lambda i: f"{FIRST[i % 16].lower()}{i}@example.org"), "out"),
    "padded numbers": (rows(lambda i: f"{i * 3:05d}"), "out"),
    "postcodes": (rows(lambda i: f"0{1000 + i % 12}"), "category"),
    "country codes": (rows(lambda i: ["DE", "FR", "IT", "NL"][i % 4]), "category"),
    "answers": (rows(lambda i: ["I agree with this", "neither agree nor disagree"][i % 2]), "category"),
    "mixed objects": (rows(lambda i: [1, "a", None, 2.5][i % 4]), "category"),
    "iso dates": (rows(lambda i: f"2024-{i % 12 + 1:02d}-{i % 28 + 1:02d}"), "date"),
    "iso times": (rows(lambda i: f"2024-03-{i % 28 + 1:02d}T{i % 24:02d}:30:00Z"), "date"),
    "several offsets": (rows(lambda i: f"2024-03-{i % 28 + 1:02d}T{i % 24:02d}:30:00+0{i % 3}:00"), "date"),
    "english dates": (rows(lambda i: f"{i % 28 + 1} {['January', 'May'][i % 2]} {2000 + i}"), "date"),
    "date objects": (rows(lambda i: datetime.date(2024, 1, 1) + datetime.timedelta(days=i)), "date"),
    "dates with gaps": (rows(lambda i: f"{2000 + i}-01-05" if i % 5 else None), "date"),
    "times of day": (rows(lambda i: f"{i % 24:02d}:{i:02d}"), "number"),
    "time objects": (rows(lambda i: datetime.time(i % 24, i)), "number"),
    "durations": (pd.to_timedelta(range(0, 120, 2), unit="h"), "number"),
    "decimals": (rows(lambda i: decimal.Decimal(i) / 7), "number"),
    "booleans with gaps": (rows(lambda i: [True, False, None][i % 3]), "number"),
    "numbers and gaps": (rows(lambda i: [1.5, None, np.nan, 7, pd.NA][i % 5]), "number"),
    "a count": (list(range(100, 160)), "out"),
    "a count, shuffled": (list(np.random.RandomState(1).permutation(N)), "out"),
    "a count as text": (rows(lambda i: str(i + 1)), "out"),
    "whole numbers": (rows(lambda i: i * i), "number"),
    "one float per row": (rows(lambda i: float(i)), "number"),
    "constant": (["a"] * N, "out"),
    "constant with gaps": ([1.0, np.nan] * 30, "out"),
    "constant but infinite": ([1.0, np.inf] * 30, "out"),
    "empty": ([None] * N, "out"),
    "empty as text": (["", "n/a", "?"] * 20, "out"),
    "lists": (rows(lambda i: [i]), "out"),
    "dicts": (rows(lambda i: {"a": i}), "out"),
    "arrays": (rows(lambda i: np.arange(3)), "out"),
    "bytes": (rows(lambda i: bytes([i])), "out"),
}


@pytest.mark.parametrize("name", KINDS)
def test_kind(name):
    values, wanted = KINDS[name]
    # Columns of plain strings in each dtype that holds them.
    column = pd.Series(values, name=name)
    dtypes = [column.dtype, object]
    if all(isinstance(value, str) for value in values):
        dtypes.append("string")
    for dtype in dtypes:
        made = column.astype(dtype)
        found = read_column(made, name)
        assert found.kind == wanted, (dtype, found)
        assert bool(found.reason) == (wanted == "out")
        # Neither the order of rows nor their index matters.
        assert read_column(made.sample(frac=1, random_state=3), name) == found
        if wanted != "out":
            assert len(found.read(made.iloc[:7])) == 7


WRITTEN = [
    (["3,14", "2,5", "-1"], [3.14, 2.5, -1]),
    (["1.234,5", "12,25", "1.000.000"], [1234.5, 12.25, 1e6]),
    (["1,234.5", "12.25", "1,000,000"], [1234.5, 12.25, 1e6]),
    (["950", "1,234"], [950, 1234]),
    (["0,500", "1,234"], [0.5, 1.234]),
    (["1.5", "2.25", "1e3"], [1.5, 2.25, 1000]),
    (["1 234,5", "2\u00a0000", "7"], [1234.5, 2000, 7]),
    (["1'234.50", "2"], [1234.5, 2]),
    (["12 %", "7%"], [12, 7]),
    (["$1,200.50", "$7"], [1200.5, 7]),
    (["3,50 €", "1.200,00 €"], [3.5, 1200]),
    (["\u22123,5", "+2"], [-3.5, 2]),
    (["12:30", "0:05:30"], [45000, 330]),
]


@pytest.mark.parametrize(("texts", "numbers"), WRITTEN)
def test_numbers_written_as_text(texts, numbers):
    column = pd.Series([*texts, None, "n/a"])
    np.testing.assert_allclose(read_column(column, "a").read(column), [*numbers, np.nan, np.nan])


def test_a_few_strings_among_numbers_are_gaps():
    column = pd.Series([str(i / 4) for i in range(39)] + ["below limit"])
    found = read_column(column, "a")
    assert found.kind == "number" and np.isnan(found.read(column)[-1])
    assert read_column(pd.Series(["1", "2", "tree"]), "a").kind == "category"


@pytest.mark.parametrize(
    ("texts", "day"),
    [
        (["2024-01-05", "2024-02-07"], "2024-01-05"),
        (["05/01/2024", "23/05/2024"], "2024-01-05"),
        (["05/01/2024", "05/23/2024"], "2024-05-01"),
        (["05/01/2024", "06/02/2024"], "2024-05-01"),
        (["05.01.2024", "06.02.2024"], "2024-01-05"),
        (["5.1.24", "6.2.24"], "2024-01-05"),
        (["2024/1/5", "2024/2/6"], "2024-01-05"),
        (["5 Jan 2024", "6 Feb 2024"], "2024-01-05"),
        (["Jan 5, 2024", "Feb 6, 2024"], "2024-01-05"),
        (["2024-01", "2024-02"], "2024-01-01"),
        (["2024-01-05", "06.02.2024"], "2024-01-05"),
    ],
)
def test_dates_written_as_text(texts, day):
    column = pd.Series(texts)
    found = read_column(column, "a")
    assert found.kind == "date"
    assert found.read(column)[0] == np.datetime64(day)
    assert np.isnat(found.read(pd.Series(["soon", None]))).all()


def test_the_only_day_beyond_twelve_decides_wherever_it_stands():
    # A guess from a sample of the rows would miss it, and then the column would be no date at all.
    texts = [f"{i % 12 + 1:02d}/{i % 11 + 1:02d}/2024" for i in range(2000)]
    texts[1234] = "31/01/2024"
    assert read_column(pd.Series(texts), "a").formats == ["%d/%m/%Y"]


def test_categories():
    sizes = pd.Categorical(["S", "L", None, "M"], categories=["S", "M", "L"], ordered=True)
    found = read_column(pd.Series(sizes), "a")
    np.testing.assert_array_equal(found.read(pd.Series(["L", "S", "?"], dtype="category")), [2, 0, np.nan])
    assert read_column(pd.Series(["1", "2"] * 9, dtype="category"), "a").kind == "category"
    assert read_column(pd.Series([f"{i}.png" for i in range(30)], dtype="category"), "a").kind == "out"
    bins = pd.Series(pd.cut(np.arange(30.0), 5))
    assert read_column(bins, "a").kind == "number" and len(set(read_column(bins, "a").read(bins))) == 5


def test_zones():
    column = pd.Series(pd.date_range("2024-01-05 12:00", periods=3, tz="Europe/Berlin"))
    found = read_column(column, "a")
    assert found.read(column)[0] == np.datetime64("2024-01-05T12:00")
    assert found.read(column.dt.tz_convert("UTC"))[0] == np.datetime64("2024-01-05T12:00")
    assert found.read(column.astype(object))[0] == np.datetime64("2024-01-05T12:00")


@pytest.mark.parametrize("dtype", ["complex128", object])
def test_complex_numbers_are_refused(dtype):
    with pytest.raises(InvalidInput, match="'a' holds complex numbers"):
        read_column(pd.Series([1 + 2j, 2 + 3j], dtype=dtype), "a")
