"""One command makes the session, and the same command goes on with it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoal.cli import main
from autoal.errors import AutoALError, AutoALWarning, DataMissing, InvalidInput
from autoal.labeling.command import _folder_of
from autoal.labeling.looks import Looks
from autoal.labeling.opening import load_model, open_session
from autoal.labeling.options import Options
from tests.labeling.problems import desk_of, picture_folder, text_file

PLAIN = Options(seed=0)


def opened(source: Path, options: Options = PLAIN, **more: Any) -> Any:
    return open_session(source, _folder_of(source, None), options, **{"batch_size": None, "model": None, **more})


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "leaves", 6)
    session, notes, said = opened(folder, batch_size=3)
    assert session.folder == tmp_path / "leaves-session" and session.ids[0] == "left-00.png"
    assert notes.batch_size == 3 and notes.source == "leaves" and "names of the pictures" in said[0]


def test_a_column_of_texts_and_what_becomes_of_the_others(tmp_path: Path) -> None:
    session, _, said = opened(text_file(tmp_path / "films.csv", 6), Options(text="sentence", classes="good,bad"))
    assert session.ids[:2] == ["r0", "r1"] and set(session.classes) == {"good", "bad"}
    assert desk_of(session).classes() == ["good", "bad"]  # as they were given
    assert Looks(session, session.history()[0]["data"]).of(0) == {"text": "a lovely film, number 0"}
    assert said[-1] == "neither shown nor used: 'year'"


def test_rows_of_a_table_with_labels_that_are_there(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(6), "b": list("xyxyxy"), "label": ["p", "q", None, None, None, None]})
    frame.to_parquet(tmp_path / "rows.parquet")
    session, _, _ = opened(tmp_path / "rows.parquet", Options(target="label"))
    assert session.labeled == {0: "p", 1: "q"}
    assert Looks(session, session.history()[0]["data"]).of(2)["fields"] == [["a", "2"], ["b", "x"]]


def test_the_same_command_goes_on_and_another_one_is_refused(tmp_path: Path) -> None:
    source = text_file(tmp_path / "films.csv", 8)
    options = Options(text="sentence", classes="good,bad", seed=3, candidates="margin")
    first, _, _ = opened(source, options, batch_size=2)
    first.tell("r1", "bad")
    again, notes, _ = opened(source, options)
    assert again.labeled == {"r1": "bad"} and notes.batch_size == 2
    assert opened(source, Options())[0].labeled == {"r1": "bad"}
    assert opened(source, Options(), batch_size=5)[1].batch_size == 5 == opened(source, Options())[1].batch_size
    for other in ({"classes": "good,bad,odd"}, {"seed": 4}, {"text": "year"}, {"audit": 0.1}, {"id_column": "year"}):
        with pytest.raises(InvalidInput, match="leave it out to go on"):
            opened(source, dataclasses.replace(options, **other))
    session, _, _ = open_session(first.folder, first.folder, Options(), batch_size=None, model=None)
    assert session.labeled == {"r1": "bad"}


def test_a_source_that_changed_or_is_another_is_noticed(tmp_path: Path) -> None:
    source = text_file(tmp_path / "films.csv", 8)
    opened(source, Options(text="sentence"))
    text_file(source, 9)
    with pytest.warns(AutoALWarning, match="has changed"):
        assert len(opened(source, Options())[0]) == 8
    other = text_file(tmp_path / "films.tsv", 8)
    with pytest.raises(InvalidInput, match=r"was made from 'films\.csv'"):
        opened(other, Options())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"text": "nope"}, "wanted --text"), ({"text": "year"}, "no texts"), ({"text": "sentence", "target": "x"}, "x")],
)
def test_columns_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoALError, match=message):
        opened(text_file(tmp_path / "films.csv"), Options(**options))
    assert not (tmp_path / "films-session").exists()


def test_a_session_does_not_lie_among_the_pictures(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "p", 4)
    with pytest.raises(InvalidInput, match="lies inside"):
        open_session(folder, folder / "session", PLAIN, batch_size=None, model=None)
    with pytest.raises(InvalidInput, match="--text names a column"):
        opened(folder, Options(text="x"))


def test_the_folder_beside(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "pics.v2").mkdir()
    monkeypatch.chdir(tmp_path / "pics.v2")
    assert _folder_of(Path("."), None) == tmp_path / "pics.v2-session"
    assert _folder_of(tmp_path / "pics.v2", None) == tmp_path / "pics.v2-session"
    assert _folder_of(tmp_path / "a.b.csv", None) == tmp_path / "a.b-session"
    assert _folder_of(tmp_path / "a.csv", Path("x")) == Path("x")


def test_models_by_their_import_path(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "mine_to_label.py").write_text(
        "from sklearn.linear_model import LogisticRegression\nfrom torch import nn\n"
        "model = LogisticRegression(C=3)\nnet = nn.Linear(2, 2)\ndef make(): return nn.Linear(2, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_model("mine_to_label:model").C == 3
    assert load_model("mine_to_label:LogisticRegression").C == 1
    assert callable(load_model("mine_to_label.make"))
    with pytest.raises(InvalidInput, match="function"):
        load_model("mine_to_label:net")
    with pytest.raises(InvalidInput, match="as model"):
        load_model("mine_to_label:nothing")
    source = tmp_path / "x.npy"
    np.save(source, np.random.default_rng(0).normal(size=(20, 2)))
    opened(source, model="mine_to_label:model")
    with pytest.raises(InvalidInput, match="give it again"):
        opened(source)
    sys.modules.pop("mine_to_label")


@pytest.mark.parametrize(
    ("name", "content"), [("nothing.csv", None), ("notes.txt", "a"), ("x.npz", "a"), ("empty", "folder")]
)
def test_sources_that_are_none_end_the_command_at_once(
    tmp_path: Path, capsys: Any, name: str, content: str | None
) -> None:
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    assert main(["label", str(path), "--no-browser", "--port", "0"]) == 2
    assert "error:" in capsys.readouterr().err and not (tmp_path / f"{path.stem}-session").exists()


def test_no_session_is_made_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing):
        opened(tmp_path / "nothing")
