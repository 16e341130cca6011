"""Files that people bring back: what is read from them, and how a mistake in them is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoal import Session
from autoal.errors import AutoALError, DataMissing, InvalidInput
from autoal.session import Told
from autoal.session.exports import read_answers
from tests.session.problems import NAMES, begun, named, truth


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def annotation(*choices: str, **more: Any) -> dict[str, Any]:
    result = [{"from_name": "species", "to_name": "image", "type": "choices", "value": {"choices": list(choices)}}]
    return {"id": 7, "was_cancelled": False, "ground_truth": False, "result": result, **more}


def task(name: Any, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": 1000, "data": {"id": name, "index": 3, "utility": 0.5}, "annotations": list(annotations)}


TRUE = annotation("elm", ground_truth=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,label\np01,oak\np02,\np03,elm\n"),
        ("a.csv", "\ufeffrank;id;utility;wanted_by;label\r\n1;p01;0.1;\"a, b\";oak\r\n2;p03;0.1;;elm\r\n"),
        ("a.csv", 'note,id,class\n"said ""hm"", then oak",p01,oak\n,p03, elm \n'),
        ("a.jsonl", '{"id": "p01", "label": "oak"}\n\n{"id": "p02", "label": null}\n{"id": "p03", "label": ["elm"]}\n'),
        ("a.json", [{"id": "p01", "label": "oak"}, {"id": "p03", "label": {"choices": ["elm"]}}]),
        ("a.json", [task("p01", annotation("oak")), task("p02"), task("p03", annotation("elm"), annotation("elm"))]),
        ("a.json", [task("p01", annotation("oak")), task("p03", annotation("ash"), TRUE)]),
        ("a.json", [task("p01", annotation("oak"), annotation(was_cancelled=True)), task("p03", annotation("elm"))]),
    ],
)  # fmt: skip
def test_formats(tmp_path: Path, name: str, content: Any) -> None:
    answers = read_answers(written(tmp_path, name, content))
    found = list(dict.fromkeys((answer.id, answer.label) for answer in answers))
    assert found == [("p01", "oak"), ("p03", "elm")]


def test_short_formats_of_label_studio_go_by_row(tmp_path: Path) -> None:
    # The tool writes its own number over the field `id` of the task.
    row = {"id": 1001, "index": 3, "utility": 0.5, "image": "u", "annotator": 1, "annotation_id": 8, "lead_time": 2.0}
    short = written(tmp_path, "min.json", [{**row, "choice": "oak"}, {**row, "index": 4, "choice": "elm"}])
    head = "annotation_id,annotator,id,image,index,species,utility\n"
    table = written(tmp_path, "ls.csv", head + '8,1,1001,u,3,oak,0.5\n9,1,1002,u,4,"{""choices"": [""elm""]}",0.5\n')
    for path, label in ((short, None), (table, "species")):
        session = begun(tmp_path / path.stem)
        assert session.tell_file(path, label=label) == Told(2, 0, 0, 0)
        assert session.labeled == {"p03": "oak", "p04": "elm"}


def test_skips_come_along(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    tasks = [task("p01", annotation(was_cancelled=True)), task("p02", annotation("oak")), task("p04", annotation())]
    assert session.tell_file(written(tmp_path, "a.json", tasks), cancelled="ood") == Told(1, 0, 0, 1)
    rows = "id,label,skip\np05,elm,\np06,,blurred\np07,,true\np08,,\n"
    assert session.tell_file(written(tmp_path, "a.csv", rows)) == Told(1, 0, 0, 2)
    assert session.skipped == {"p01": "ood", "p06": "blurred", "p07": "skipped"}


def test_tasks_of_a_query_come_back(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    session.tell(NAMES[:12], truth[:12])
    batch = session.ask(4)
    batch.to_label_studio(tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert session.tell_file(tmp_path / "tasks.json") == Told(0, 0, 0, 0)  # nobody has answered yet
    for made, label in zip(tasks, named(batch.ids), strict=True):
        made["annotations"] = [annotation(label)]
    assert session.tell_file(written(tmp_path, "export.json", tasks)) == Told(4, 0, 0, 0)
    for name, write in (("b.csv", batch.to_csv), ("b.jsonl", batch.to_jsonl)):
        write(tmp_path / name)
        assert session.tell_file(tmp_path / name) == Told(0, 0, 0, 0)  # the column is there, to be filled in
    assert session.pending == []


def test_integers_in_files(tmp_path: Path) -> None:
    session = Session.create(tmp_path / "s", [[float(i), 1.0] for i in range(20)], random_state=0)
    session.tell_file(written(tmp_path, "a.csv", "id,label\n0,3\n1,4.0\n"))
    session.tell_file(written(tmp_path, "a.json", [task(2, annotation("3"))]))
    assert session.labeled == {0: 3, 1: 4, 2: 3}
    with pytest.raises(InvalidInput, match=r"b\.csv, line 2: .*labels so far are int"):
        session.tell_file(written(tmp_path, "b.csv", "id,label\n5,oak\n"))
    text = begun(tmp_path / "t", classes=["1", "2"])
    text.tell_file(written(tmp_path, "c.csv", "id,label\np00,1\n"))
    assert text.labeled == {"p00": "1"}


def test_targets_in_files(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", task="regression", candidates=["kcenter"])
    number = {"result": [{"from_name": "n", "value": {"number": 2.5}}]}
    session.tell_file(written(tmp_path, "a.json", [task("p01", number)]))
    session.tell_file(written(tmp_path, "a.csv", "id,y\np02,-1\np03,1e-3\n"))
    assert session.labeled == {"p01": 2.5, "p02": -1.0, "p03": 0.001}
    with pytest.raises(InvalidInput, match="line 2: 'p04'"):
        session.tell_file(written(tmp_path, "b.csv", "id,y\np04,much\n"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xlsx", "", ".csv, .jsonl, .json"),
        ("a.csv", "", "is empty"),
        ("a.csv", "leaf,label\np01,oak\n", "no field 'id', only .*id="),
        ("a.csv", "id,species\np01,oak\n", "label="),
        ("a.csv", "id,label\np01,oak\np02,oak,elm\n", "line 3"),
        ("a.csv", "id,label\n,oak\n", "line 2.*no id"),
        ("a.csv", 'id,label\np01,"oak\n', "line"),
        ("a.csv", "id,label\np01,oak\np01,elm\n", "line 2: 'p01' \\('oak' 1, 'elm' 1\\)"),
        ("a.csv", "id,label\np01,oak\nq77,elm\n", "line 3: 'q77'"),
        ("a.jsonl", '{"id": "p01", "label": "oak"}\n{"id": \n', "line 2"),
        ("a.jsonl", '["p01", "oak"]\n', "line 1 holds list"),
        ("a.jsonl", '{"id": "p01", "label": ["oak", "elm"]}\n', "2 labels"),
        ("a.jsonl", '{"id": "p01", "label": "oak", "skip": "blurred"}\n', "a label and a skip"),
        ("a.json", '{"id": 1}', "holds dict"),
        ("a.json", "[", "not JSON"),
        ("a.json", [task("p01", annotation("oak"), annotation("elm"))], "task 1: 'p01' \\('oak' 1, 'elm' 1\\)"),
        ("a.json", [task("p01", annotation("oak", "elm"))], "2 labels"),
        ("a.json", [{"data": {"image": "u"}, "annotations": []}], "task 1: got no id"),
    ],
)
def test_mistakes_name_their_place(tmp_path: Path, name: str, content: Any, said: str) -> None:
    session = begun(tmp_path / "s")
    with pytest.raises(AutoALError, match=said):
        session.tell_file(written(tmp_path, name, content))
    assert session.labeled == {} and session.skipped == {}


def test_two_controls_want_a_name(tmp_path: Path) -> None:
    both = annotation("oak")
    both["result"].append({"from_name": "age", "value": {"choices": ["old"]}})
    path = written(tmp_path, "a.json", [task("p01", both)])
    with pytest.raises(InvalidInput, match="species, age"):
        read_answers(path)
    assert read_answers(path, label="age")[0].label == "old"


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataMissing):
        read_answers(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"id,label\np01,\xff\xfe\n")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_answers(tmp_path / "b.csv")
