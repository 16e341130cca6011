"""Pools as people have them on disk, through `autoal query`, `tell` and `report`: nothing is guessed in silence."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal.cli import main

WORDS = ["oak leaf with lobes", "elm leaf with teeth", "the bark of an oak", "the bark of an elm", "an acorn in autumn"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit status, and what was said on stderr."""
    status = 0
    try:
        status = main([str(argument) for argument in arguments]) or 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, capsys.readouterr().err


def texts(count: int = 40) -> list[str]:
    return [f"{WORDS[i % 5]} seen on day {i}" for i in range(count)]


def journal(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def answered(batch: Path, into: Path, label: str = "label") -> None:
    with open(batch, encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    with open(into, "w", encoding="utf-8") as file:
        file.write(f"id,{label}\n" + "".join(f"{name},{('oak', 'elm')[place % 2]}\n" for place, name in enumerate(ids)))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_of_texts_is_a_pool_whatever_separates_its_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], delimiter: str
) -> None:
    frame = pd.DataFrame({"id": [f"t{i}" for i in range(40)], "sentence": texts()})
    frame.to_csv(tmp_path / "pool.csv", index=False, sep=delimiter)
    run_folder, batch = tmp_path / "run", tmp_path / "batch.csv"
    status, said = run(
        capsys, "query", run_folder, "--pool", tmp_path / "pool.csv", "--batch-size", 8, "--out", batch, "--quiet"
    )
    assert status == 0 and "'id' is taken for the ids" in said and "texts of the column 'sentence'" in said
    answered(batch, tmp_path / "answers.csv")
    assert run(capsys, "tell", run_folder, tmp_path / "answers.csv")[0] == 0
    status, said = run(capsys, "query", run_folder, "--batch-size", 4, "--out", batch, "--quiet")
    assert status == 0
    assert any("TfidfVectorizer" in note for note in journal(run_folder)[-1]["diagnostics"]["read_as"])
    assert run(capsys, "report", run_folder)[0] == 0
    assert "TfidfVectorizer" in (run_folder / "report.html").read_text()


def test_a_folder_of_pictures_is_a_pool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = np.random.RandomState(0)
    (tmp_path / "pictures" / "deep").mkdir(parents=True)
    for number in range(12):
        pixels = made.randint(0, 255, (20 + number, 24, 3)).astype(np.uint8)
        where = tmp_path / "pictures" / ("deep" if number % 2 else "") / f"p{number}.png"
        Image.fromarray(pixels).save(where)
    batch = tmp_path / "batch.csv"
    status, said = run(
        capsys, "query", tmp_path / "run", "--pool", tmp_path / "pictures", "--batch-size", 3, "--out", batch, "--quiet"
    )
    assert status == 0 and "names of the pictures" in said
    ids = pd.read_csv(batch)["id"].tolist()
    assert all((tmp_path / "pictures" / name).is_file() for name in ids)


def test_a_picture_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
    status, said = run(capsys, "query", tmp_path / "run", "--pool", tmp_path / "pictures", "--quiet")
    assert status != 0 and "broken.png" in said and not (tmp_path / "run").exists()


@pytest.mark.parametrize("na", ["NA", "null", "None", "nan"])
def test_a_class_that_looks_like_a_gap_is_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str], na: str) -> None:
    labels = [na if i % 2 else "EU" for i in range(20)] + [""] * 20
    pd.DataFrame({"row": range(40), "x": np.arange(40.0), "region": labels}).to_csv(tmp_path / "p.csv", index=False)
    status, _ = run(
        capsys, "query", tmp_path / "run", "--pool", tmp_path / "p.csv", "--id", "row", "--target", "region",
        "--batch-size", 3, "--out", tmp_path / "b.csv", "--quiet",
    )  # fmt: skip
    assert status == 0
    assert set(journal(tmp_path / "run")[0]["labels"]) == {"EU", na}


def test_what_looks_like_labels_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"x": np.arange(30.0), "z": np.arange(30.0) % 7, "label": ["a", "b"] * 15})
    frame.to_csv(tmp_path / "p.csv", index=False)
    status, said = run(capsys, "query", tmp_path / "run", "--pool", tmp_path / "p.csv", "--quiet")
    assert status != 0 and "--target label" in said and "--drop label" in said
    asked = ("--batch-size", 3, "--out", tmp_path / "b.csv", "--quiet")
    assert run(capsys, "query", tmp_path / "run", "--pool", tmp_path / "p.csv", "--drop", "label", *asked)[0] == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["data"]["row_shape"] == [2]


def test_an_empty_label_column_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"sentence": texts(), "label": [""] * 40}).to_csv(tmp_path / "p.csv", index=False)
    status, said = run(
        capsys, "query", tmp_path / "run", "--pool", tmp_path / "p.csv", "--batch-size", 3, "--out", tmp_path / "b.csv",
        "--quiet",
    )  # fmt: skip
    assert status == 0 and "'label' is empty" in said and "texts of the column 'sentence'" in said


def test_columns_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.csv").write_text("a,a\n1,2\n3,4\n")
    status, said = run(capsys, "query", tmp_path / "run", "--pool", tmp_path / "p.csv", "--quiet")
    assert status != 0 and "more than one column named ['a']" in said


def test_gaps_among_numbers_stay_gaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i % 7},{'NA' if i % 5 == 0 else i / 3},{('oak', 'elm')[i % 2] if i < 20 else ''}" for i in range(40)]
    (tmp_path / "p.csv").write_text("a,b,kind\n" + "\n".join(rows) + "\n")
    status, _ = run(
        capsys, "query", tmp_path / "run", "--pool", tmp_path / "p.csv", "--target", "kind", "--batch-size", 3,
        "--out", tmp_path / "b.csv", "--quiet",
    )  # fmt: skip
    assert status == 0
    stored = pd.read_parquet(tmp_path / "run" / "X.parquet")
    assert stored["b"].dtype == np.float64 and int(stored["b"].isna().sum()) == 8


def test_an_encoder_by_import_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\ndef lengths(texts):\n    return np.array([[len(t), t.count('a')] for t in texts], float)\n"
    )
    pd.DataFrame({"sentence": texts()}).to_csv("p.csv", index=False)
    asked = ("--batch-size", 4, "--out", "b.csv", "--quiet")
    assert run(capsys, "query", "run", "--pool", "p.csv", "--encoder", "mine:lengths", *asked)[0] == 0
    status, said = run(capsys, "query", "run", *asked)
    assert status != 0 and "created with the encoder mine.lengths" in said
    assert run(capsys, "query", "run", "--encoder", "mine:lengths", *asked)[0] == 0
    status, said = run(capsys, "query", "other", "--pool", "p.csv", "--encoder", "mine:nothing", *asked)
    assert status != 0 and "nothing" in said
