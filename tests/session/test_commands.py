"""The command line of a session: files in, files out."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal import Session
from autoal.cli import WRONG, main
from tests.session.problems import NAMES, X, named, truth


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.npy"
    np.save(path, X)
    return path


def answered(tasks: Path, export: Path) -> list[int]:
    """What an annotator does to tasks in Label Studio."""
    content = json.loads(tasks.read_text())
    for task in content:
        choice = {"from_name": "species", "value": {"choices": [str(truth[task["data"]["index"]])]}, "type": "choices"}
        task["annotations"] = [{"was_cancelled": False, "result": [choice]}]
    export.write_text(json.dumps(content))
    return [task["data"]["id"] for task in content]


def test_weeks_of_labelling_from_the_shell(tmp_path: Path, pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, tasks, export = (str(tmp_path / name) for name in ("s", "tasks.json", "export.json"))
    common = ["query", folder, "--batch-size", "6", "--out", tasks, "--quiet"]
    assert main([*common, "--pool", str(pool), "--candidates", "margin,kcenter", "--seed", "4"]) == 0
    assert "no labels so far" in capsys.readouterr().err
    first = answered(Path(tasks), Path(export))
    assert main(["tell", folder, export]) == 0
    assert "6 new; 6 labeled, 0 pending" in capsys.readouterr().out
    assert main(["tell", folder, export]) == 0
    assert "6 repeated" in capsys.readouterr().out
    assert main(common) == 0
    second = [task["data"]["id"] for task in json.loads(Path(tasks).read_text())]
    assert len(second) == 6 and not set(first) & set(second)
    Path(tasks).unlink()
    assert main([*common, "--pending"]) == 0  # the file was lost, the batch was not
    assert [task["data"]["id"] for task in json.loads(Path(tasks).read_text())] == second
    assert main(["report", folder]) == 0
    assert "report.html" in capsys.readouterr().out and (tmp_path / "s" / "labels.csv").is_file()
    assert list(Session.open(folder).labeled) == first


def test_a_table_with_ids_and_some_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame(X, columns=list("abcd")).assign(leaf=NAMES, soil=["dry", "wet"] * 30)
    frame["species"] = [label if row < 12 else None for row, label in enumerate(truth)]
    frame.to_csv(tmp_path / "pool.csv", index=False)
    pd.DataFrame({"leaf": NAMES, "image": [f"{name}.png" for name in NAMES]}).to_csv(tmp_path / "show.csv", index=False)
    folder = str(tmp_path / "s")
    first = ["--pool", str(tmp_path / "pool.csv"), "--target", "species", "--candidates", "margin", "--quiet"]
    show = ["--show", str(tmp_path / "show.csv"), "--out", str(tmp_path / "t.json"), "--id", "leaf"]
    assert main(["query", folder, "--batch-size", "3", *first, *show]) == 0
    tasks = json.loads((tmp_path / "t.json").read_text())
    assert all(task["data"]["image"] == f"{task['data']['id']}.png" for task in tasks)
    ids = [task["data"]["id"] for task in tasks]
    pd.DataFrame({"leaf": ids, "species": named(ids)}).to_csv(tmp_path / "a.csv", index=False)
    assert main(["tell", folder, str(tmp_path / "a.csv"), "--id", "leaf", "--label", "species"]) == 0
    assert len(Session.open(folder).labeled) == 15
    capsys.readouterr()
    assert main(["query", folder, "--batch-size", "2", "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3  # a table on stdout, with its head


def test_an_audit_is_asked_for_once_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["species"] = [label if row < 12 else None for row, label in enumerate(truth)]
    frame.to_csv(tmp_path / "pool.csv", index=False)
    folder, out = str(tmp_path / "s"), str(tmp_path / "a.csv")
    first = ["--pool", str(tmp_path / "pool.csv"), "--target", "species", "--candidates", "margin", "--audit", "0.5"]
    common = ["query", folder, "--batch-size", "4", "--out", out, "--quiet"]
    assert main([*common, *first]) == 0
    assert "audit: 0 labels drawn at random are in" in capsys.readouterr().err
    asked = pd.read_csv(out)["id"]
    pd.DataFrame({"id": asked, "label": truth[asked]}).to_csv(tmp_path / "told.csv", index=False)
    assert main(["tell", folder, str(tmp_path / "told.csv")]) == 0
    assert main(common) == 0
    assert "audit: 2 labels drawn at random are in" in capsys.readouterr().err
    assert main([*common, "--audit", "0.2"]) == WRONG


def test_labels_there_are_come_in_a_file(tmp_path: Path, pool: Path) -> None:
    codes = np.unique(truth, return_inverse=True)[1]
    y = np.full(60, -1)
    y[:12] = codes[:12]
    np.save(tmp_path / "y.npy", y)
    pd.DataFrame({"id": range(12), "label": codes[:12]}).to_csv(tmp_path / "y.csv", index=False)
    common = ["--pool", str(pool), "--batch-size", "3", "--candidates", "margin", "--seed", "1", "--quiet"]
    for name in ("y.npy", "y.csv"):
        arguments = ["query", str(tmp_path / f"s-{name}"), *common, "--labels", str(tmp_path / name)]
        assert main([*arguments, "--classes", "0,1,2", "--out", str(tmp_path / f"{name}.jsonl")]) == 0
    assert (tmp_path / "y.npy.jsonl").read_text() == (tmp_path / "y.csv.jsonl").read_text()


def test_mistakes_are_found_before_anything_is_asked(
    tmp_path: Path, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "s"
    begin = ["query", str(folder), "--pool", str(pool), "--quiet"]
    for wrong, said in (
        (["--out", "tasks.xlsx"], ".json"),
        (["--out", str(tmp_path / "no" / "tasks.json")], "make it first"),
        (["--candidates", "marginn"], "did you mean 'margin'"),
        (["--target", "y"], "a .npy pool"),
        (["--labels", str(tmp_path / "none.csv")], "none.csv"),
        (["--show", str(tmp_path / "none.csv")], "none.csv"),
    ):
        assert main([*begin, *wrong]) == WRONG
        assert said in capsys.readouterr().err
        assert not folder.exists()
    assert main([*begin, "--batch-size", "3", "--out", str(tmp_path / "t.csv")]) == 0
    other = tmp_path / "other.npy"
    np.save(other, X + 1)
    for wrong, said in ((["--seed", "3"], "--seed"), (["--pool", str(other)], "same rows")):
        assert main(["query", str(folder), *wrong]) == WRONG
        assert said in capsys.readouterr().err
    (tmp_path / "bad.csv").write_text("id,label\n0,oak\n99,elm\n")
    assert main(["tell", str(folder), str(tmp_path / "bad.csv")]) == WRONG
    assert "bad.csv, line 3" in capsys.readouterr().err
    assert len(Session.open(folder).pending) == 3 and Session.open(folder).labeled == {}


def test_every_format_shows_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [f"a leaf, number {row}" for row in range(30)]
    pd.DataFrame({"id": NAMES[:30], "text": texts}).to_csv(tmp_path / "pool.csv", index=False)
    show = pd.DataFrame({"id": NAMES[:30], "url": [f"https://h/{name}.png" for name in NAMES[:30]], "note": "x"})
    show.to_csv(tmp_path / "show.csv", index=False)
    show[:29].to_csv(tmp_path / "short.csv", index=False)
    folder = str(tmp_path / "s")
    common = ["query", folder, "--batch-size", "2", "--quiet"]
    first = ["--pool", str(tmp_path / "pool.csv"), "--candidates", "margin", "--classes", "oak,elm & ash"]
    assert main([*common, *first, "--show", str(tmp_path / "short.csv")]) == WRONG
    assert "nothing to look at, e.g. 'p29'" in capsys.readouterr().err and not Path(folder).exists()
    assert main([*common, *first, "--out", str(tmp_path / "a.csv")]) == 0
    table = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert table["text"].tolist() == [texts[row] for row in table["index"]] and table["label"].tolist() == ["", ""]
    assert main([*common, "--show", str(tmp_path / "short.csv")]) == WRONG  # before anything is asked for
    assert Session.open(folder).n_rounds == 1
    for name in ("b.csv", "b.jsonl", "b.json"):
        assert main([*common, "--show", str(tmp_path / "show.csv"), "--out", str(tmp_path / name)]) == 0
    table = pd.read_csv(tmp_path / "b.csv", keep_default_na=False)
    assert table["url"].tolist() == [f"https://h/{name}.png" for name in table["id"]]
    line = json.loads((tmp_path / "b.jsonl").read_text().splitlines()[0])
    assert line["url"] == f"https://h/{line['id']}.png" and line["note"] == "x" and line["label"] is None
    made = json.loads((tmp_path / "b.json").read_text())[0]["data"]
    assert made["url"] == f"https://h/{made['id']}.png" and made["note"] == "x"
    page = (tmp_path / "b.xml").read_text(encoding="utf-8")
    assert "elm &amp; ash" in page and 'value="$url"' in page
    capsys.readouterr()
    assert main([*common]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "rank,index,id,utility,wanted_by,text,label"
    assert main([*common, "--files-root", str(tmp_path), "--out", str(tmp_path / "c.csv")]) == WRONG


def test_a_folder_of_pictures_is_served_by_the_tool(tmp_path: Path) -> None:
    folder = tmp_path / "leaves & more"
    for row in range(12):
        (folder / f"b{row % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 20 * row, dtype=np.uint8)).save(folder / f"b{row % 2}" / f"{row}.png")
    common = ["query", str(tmp_path / "s"), "--batch-size", "3", "--quiet"]
    assert main([*common, "--pool", str(folder), "--classes", "oak,elm", "--out", str(tmp_path / "t.json")]) == 0
    for made in json.loads((tmp_path / "t.json").read_text()):
        address = made["data"]["image"]
        assert address.startswith("/data/local-files/?d=leaves%20%26%20more/b")
        assert (tmp_path / unquote(address.removeprefix("/data/local-files/?d="))).is_file()
        assert address.endswith(f"/{made['data']['id']}")  # the id is the path below the folder
    assert "<Image" in (tmp_path / "t.xml").read_text()
    assert main([*common, "--pending", "--out", str(tmp_path / "t.csv")]) == 0
    assert all(Path(path).is_file() for path in pd.read_csv(tmp_path / "t.csv")["image"])
