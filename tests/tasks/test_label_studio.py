"""Tasks for Label Studio and their page: every container that says what there is to look at, and hostile words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal.errors import InvalidInput
from autoal.selectors import Query
from autoal.tasks import Show, label_config, looks_of, tasks_of

HOSTILE = ['"/><Choice value="x', "<script>alert(1)</script>", "a & b", "  two\nlines\t", "ü ∑ 🙂", "$text", "-1", "="]


def picked(ids: Any = None, rows: Any = (2, 0), n: int = 4) -> Query:
    names = np.arange(n) if ids is None else np.asarray(ids, dtype=object)
    indices = np.asarray(rows, dtype=np.int64)
    utilities = np.asarray([0.5, np.nan, np.inf, 0.1])[:n]
    votes = {"margin": np.asarray([True, False])}
    return Query(indices=indices, ids=names[indices], utilities=utilities, votes=votes)


def urls(n: int = 4) -> list[str]:
    return [f"https://h/{i}.png" for i in range(n)]


@pytest.mark.parametrize(
    "show",
    [
        {i: {"image": url} for i, url in enumerate(urls())},
        {str(i): {"image": url} for i, url in enumerate(urls())},
        {float(i): url for i, url in enumerate(urls())},
        {np.int64(i): {"image": np.str_(url)} for i, url in enumerate(urls())},
        pd.Series(urls()),
        pd.Series(urls(), index=["0", "1", "2", "3"], name="image"),
        pd.Series([{"image": url} for url in urls()], name="fields"),
        pd.DataFrame({"image": urls()}),
        pd.DataFrame({"image": urls()[::-1], "id": [3, 2, 1, 0]}),
        pd.DataFrame({"image": urls()[::-1], "id": ["3", "2", "1", "0"]}, index=[7, 7, 7, 7]),
    ],
)  # fmt: skip
def test_whatever_says_what_to_look_at(show: Any) -> None:
    tasks = tasks_of(picked(), show)
    assert [task["data"]["image"] for task in tasks] == ["https://h/2.png", "https://h/0.png"]
    assert [task["data"]["id"] for task in tasks] == [2, 0]
    assert json.loads(json.dumps(tasks, allow_nan=False)) == tasks
    assert tasks[0]["data"]["utility"] is None and tasks[1]["data"]["utility"] == 0.5


def test_polars_too() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"id": [0, 2], "n": [1, None], "image": urls(2)})
    assert tasks_of(picked(), frame)[0]["data"]["row"] == {"n": None, "image": "https://h/1.png"}


def test_numbers_dates_and_gaps_stay_what_they_are() -> None:
    frame = pd.DataFrame(
        {
            "whole": [1, 2, 3, 4],
            "share": [0.5, 1.5, np.nan, 2.5],
            "on": pd.to_datetime(["2024-01-02"] * 4),
            "kind": pd.Categorical(["a", None, None, "b"]),
            "index": list("wxyz"),
            "some words": [True, False, True, False],
        }
    )
    tasks = tasks_of(picked(), frame)
    row = {"whole": 3, "share": None, "on": "2024-01-02T00:00:00", "kind": None, "index": "y", "some words": True}
    assert tasks[0]["data"]["row"] == row and type(tasks[0]["data"]["whole"]) is int
    assert tasks[0]["data"]["index"] == 2 and tasks[0]["data"]["row_index"] == "y"
    assert tasks[0]["data"]["some_words"] is True
    json.dumps(tasks, allow_nan=False)


@pytest.mark.parametrize(
    ("show", "said"),
    [
        ({0: "a"}, "1 of 2 points have nothing to look at, e.g. 2"),
        (pd.DataFrame({"image": urls(2)}), "nothing to look at"),
        ({}, "2 of 2 points"),
        ({0: {}, 2: {}}, "without fields"),
        ({0: "a", 2: b"bytes"}, "2: got a value of type bytes"),
        ({0: "a", "0": "b", 2: "c"}, "more than one entry for the id '0'"),
        (["a", "b", "c", "d"], "got data of type list"),
        ("urls.csv", "got data of type str"),
        (pd.DataFrame([[1, 2]] * 4, columns=["a", "a"]), "more than one column"),
        (Show([{"text": "a"}]), "fields of 1 points for 2"),
    ],
)
def test_what_cannot_be_looked_at(show: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        tasks_of(picked(), show)
    with pytest.raises(InvalidInput, match=said):
        picked().to_label_studio(data=show)


@pytest.mark.parametrize(
    ("fields", "looks"),
    [
        ([{"text": "a"}, {"text": "b"}], {"text": "text"}),
        ([{"image": "x.png"}], {"image": "image"}),
        ([{"url": "https://h/x.JPG?size=3"}], {"url": "image"}),
        ([{"url": "x.png"}, {"url": "no picture"}], {"url": "text"}),
        ([{"my words": "a"}], {"my_words": "text"}),
        ([{"id": "a"}], {"row_id": "text"}),
        ([{"a.b": "a", "a b": "c.png"}], {"row_a_b": "image", "a_b": "text"}),
        ([{"n": 1}], {"row": "table"}),
        ([{"a": "x", "b": "y"}], {"row": "table"}),
        ([{"a": "x", "b": "y", "c": "z.png"}], {"c": "image", "row": "table"}),
        ([{}], {}),
    ],
)
def test_the_page_shows_what_there_is(fields: list[dict[str, Any]], looks: dict[str, str]) -> None:
    assert looks_of(fields) == looks
    tasks = tasks_of(picked(rows=(2, 0)[: len(fields)]), Show(fields))
    for task in tasks:
        assert set(looks) <= set(task["data"])
    if looks:
        page = ElementTree.fromstring(label_config(["a", "b"], looks))
        assert [child.get("value") for child in page if child.get("name") != "label"] == [f"${name}" for name in looks]


def test_hostile_words_are_words() -> None:
    page = ElementTree.fromstring(label_config(HOSTILE, "image"))
    assert [choice.get("value") for choice in page.iter("Choice")] == HOSTILE
    assert len(list(page.iter())) == 3 + len(HOSTILE)
    tasks = tasks_of(picked(), dict.fromkeys(range(4), HOSTILE[0]), {0: HOSTILE[1], 2: (HOSTILE[2], 0.25)})
    assert tasks[0]["data"]["text"] == HOSTILE[0]
    assert [task["predictions"][0]["result"][0]["value"]["choices"] for task in tasks] == [[HOSTILE[2]], [HOSTILE[1]]]


@pytest.mark.parametrize(
    ("classes", "looks", "said"),
    [
        (None, "text", "0 classes"),
        (["oak"], "text", "1 classes"),
        (["1", 1], "text", "written alike"),
        (["a\x01", "b"], "text", "XML"),
        (["a", "b"], "video", "looks="),
        (["a", "b"], {}, "looks="),
    ],
)
def test_pages_that_cannot_be(classes: Any, looks: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        label_config(classes, looks)


def test_predictions_come_with_scores() -> None:
    frame = pd.DataFrame({"id": ["2", "1"], "label": [7, 8], "confidence": [0.75, np.nan], "labeled": False})
    first, second = tasks_of(picked(), dict.fromkeys(range(4), "t"), frame)
    assert "predictions" not in second
    assert first["predictions"] == [
        {
            "model_version": "autoal",
            "score": 0.75,
            "result": [
                {
                    "from_name": "label",
                    "to_name": "item",
                    "type": "choices",
                    "value": {"choices": ["7"]},
                    "score": 0.75,
                }
            ],
        }
    ]
    page = ElementTree.fromstring(label_config([7, 8]))
    assert page[1].get("name") == "label" and page[1].get("toName") == page[0].get("name") == "item"
    number = tasks_of(picked(), None, {2: 1.5}, regression=True)[0]["predictions"][0]["result"][0]
    assert number["type"] == "number" and number["value"] == {"number": 1.5}
    assert ElementTree.fromstring(label_config(None, "table", regression=True))[1].tag == "Number"
    for wrong in ({2: ("a", 1.5)}, {2: ("a", "high")}, pd.DataFrame({"id": [1]}), ["a"]):
        with pytest.raises(InvalidInput):
            tasks_of(picked(), None, wrong)


def test_pictures_of_this_machine_are_served_by_the_tool(tmp_path: Path) -> None:
    folder = tmp_path / "my pictures" / "ä&b"
    folder.mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(folder / "1 #.png")
    path = str(folder / "1 #.png")
    show = {0: path, 2: {"image": Path(path), "page": "https://h/x.png", "gone": "/files/1.png"}}
    first, second = tasks_of(picked(), show, files_root=tmp_path)
    prefix = "/data/local-files/?d="
    assert first["data"]["image"] == second["data"]["image"]
    assert first["data"]["image"].isascii() and " " not in first["data"]["image"] and "#" not in first["data"]["image"]
    assert tmp_path / unquote(first["data"]["image"].removeprefix(prefix)) == Path(path)
    assert first["data"]["page"] == "https://h/x.png" and first["data"]["gone"] == "/files/1.png"
    with pytest.raises(InvalidInput, match="files_root="):
        tasks_of(picked(), show)
    with pytest.raises(InvalidInput, match="not below"):
        tasks_of(picked(), show, files_root=tmp_path / "elsewhere")


def test_a_query_writes_tasks_and_page(tmp_path: Path) -> None:
    query = picked(ids=list("abcd"))
    query.to_label_studio(tmp_path / "bare.json")
    assert not (tmp_path / "bare.xml").exists()
    query.to_label_studio(tmp_path / "t.json", pd.Series(list("wxyz"), index=list("abcd")), classes=["oak", "elm"])
    assert [task["data"]["text"] for task in json.loads((tmp_path / "t.json").read_text())] == ["y", "w"]
    page = ElementTree.fromstring((tmp_path / "t.xml").read_text(encoding="utf-8"))
    assert [choice.get("value") for choice in page.iter("Choice")] == ["oak", "elm"]
