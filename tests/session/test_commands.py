"""The command line of a session: files in, files out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

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
