"""Micrographs and marks in, picks out, and the commands around them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal.cli import WRONG, main
from autoal.cryo import synthetic_micrograph
from autoal.cryo.files import micrograph_files, read_marks, read_micrograph, write_picks
from autoal.cryo.labels import read_labels
from autoal.cryo.star import read_star
from autoal.errors import DataMissing, InvalidInput
from autoal.rng import numpy_rng

CENTRES = np.asarray([[10.5, 20.25], [101.0, 7.125]])
SCORES = np.asarray([0.9, 0.25])
WIDE = ["int16", "uint16", "float32", "float16"]
QUICK = ["--steps", "3", "--seed", "1", "--device", "cpu"]


@pytest.mark.parametrize(("dtype", "order"), [("int8", "<"), *itertools.product(WIDE, "<>")])
def test_mrc_of_every_kind_and_byte_order(tmp_path: Path, dtype: str, order: str) -> None:
    mrcfile = pytest.importorskip("mrcfile")
    low = 0 if dtype == "uint16" else -100
    values = numpy_rng(0, "mrc").integers(low, 120, size=(17, 23)).astype(dtype)
    with mrcfile.new(tmp_path / "m.mrc") as mrc:
        mrc.set_data(values.astype(np.dtype(dtype).newbyteorder(order)))
    raw = (tmp_path / "m.mrc").read_bytes()
    assert raw[212:214] == (b"DD" if order == "<" else b"\x11\x11")
    read = read_micrograph(tmp_path / "m.mrc")
    assert read.dtype == np.float64 and np.array_equal(read, values.astype(np.float64))


def test_mrc_of_one_section_and_a_movie(tmp_path: Path) -> None:
    mrcfile = pytest.importorskip("mrcfile")
    for name, frames in (("one", 1), ("movie", 5)):
        with mrcfile.new(tmp_path / f"{name}.mrc") as mrc:
            mrc.set_data(np.ones((frames, 6, 7), dtype=np.float32))
    assert read_micrograph(tmp_path / "one.mrc").shape == (6, 7)
    with pytest.raises(InvalidInput, match="average"):
        read_micrograph(tmp_path / "movie.mrc")
    (tmp_path / "torn.mrc").write_bytes(b"no header")
    with pytest.raises(InvalidInput, match="torn"):
        read_micrograph(tmp_path / "torn.mrc")


def test_mrc_without_mrcfile_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.mrc").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "mrcfile", None)
    with pytest.raises(InvalidInput, match=r"autoal\[cryo\]"):
        read_micrograph(tmp_path / "m.mrc")


def test_pictures_and_arrays(tmp_path: Path) -> None:
    grey = numpy_rng(0, "grey").integers(0, 256, size=(9, 12)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.stack([grey, grey, grey], axis=2)).save(tmp_path / "b.png")
    Image.fromarray(grey.astype(np.uint16) * 200).save(tmp_path / "c.tif")
    np.save(tmp_path / "d.npy", grey.astype(np.float32))
    for name, factor in (("a.png", 1), ("b.png", 1), ("c.tif", 200), ("d.npy", 1)):
        assert np.array_equal(read_micrograph(tmp_path / name), grey * float(factor)), name
    (tmp_path / ".hidden.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    assert [file.name for file in micrograph_files(tmp_path)] == ["a.png", "b.png", "c.tif", "d.npy"]
    (tmp_path / "a.npy").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="several files named"):
        micrograph_files(tmp_path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_micrograph(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["plain.mrc", "with space.mrc"])
def test_star_goes_there_and_back_also_by_another_library(tmp_path: Path, name: str) -> None:
    path = tmp_path / "p.star"
    write_picks(path, "star", name, CENTRES, SCORES, 20)
    assert np.allclose(read_marks(path)[Path(name).stem], CENTRES)
    starfile = pytest.importorskip("starfile")
    frame = starfile.read(path)
    assert frame["rlnMicrographName"].tolist() == [name] * 2
    assert np.allclose(frame[["rlnCoordinateY", "rlnCoordinateX"]].to_numpy(), CENTRES)
    particles = frame.rename(columns={"rlnAutopickFigureOfMerit": "rlnClassNumber"})
    starfile.write(
        {"optics": pd.DataFrame({"rlnVoltage": [300.0, 200.0]}), "particles": particles}, tmp_path / "o.star"
    )
    assert np.allclose(read_marks(tmp_path / "o.star")[Path(name).stem], CENTRES)


def test_csv_and_box(tmp_path: Path) -> None:
    write_picks(tmp_path / "p.csv", "csv", "m.mrc", CENTRES, SCORES, 20)
    assert np.allclose(read_marks(tmp_path / "p.csv")["m"], CENTRES)
    write_picks(tmp_path / "p.box", "box", "m.mrc", CENTRES, SCORES, 20)
    assert (tmp_path / "p.box").read_text() == "7\t-3\t28\t28\n-6\t88\t28\t28\n"
    assert np.abs(read_marks(tmp_path / "p.box")[None] - CENTRES).max() <= 0.5
    (tmp_path / "e.csv").write_text("X-Coordinate,Y-Coordinate,Diameter\n3,4,9\n")
    assert read_marks(tmp_path / "e.csv")[None].tolist() == [[4.0, 3.0]]
    write_picks(tmp_path / "none.star", "star", "m.mrc", np.zeros((0, 2)), np.zeros(0), 20)
    assert len(read_star(tmp_path / "none.star")) == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "a,b\n1,2\n", "wanted row and column"),
        ("a.csv", "row,column\n1,here\n", "line 1 of marks"),
        ("a.box", "1 2\n", "x y width height"),
        ("a.star", "data_\n\nloop_\n_rlnVoltage #1\n300\n", "no loop with"),
        ("a.star", "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1 2 3\n", "3 values for the 2"),
        ("a.txt", "1 2", "wanted a file of marks"),
    ],
)
def test_marks_that_cannot_be_read(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=message):
        read_marks(tmp_path / name)


# --- the commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two micrographs, an even one, and marks.csv beside them."""
    (tmp_path / "m").mkdir()
    for number in range(2):
        made = synthetic_micrograph("blob", number, snr=2.0, side=128, particles=9)
        np.save(tmp_path / "m" / f"grid{number}.npy", made.pixels)
        if number == 0:
            frame = pd.DataFrame({"micrograph": "grid0.npy", "row": made.centres[:, 0], "column": made.centres[:, 1]})
            frame.to_csv(tmp_path / "marks.csv", index=False)
    np.save(tmp_path / "m" / "void.npy", np.zeros((128, 128)))
    return tmp_path


def run(folder: Path, command: str, *more: str, marks: str = "marks.csv", diameter: str = "24") -> int:
    return main(
        ["cryo", command, str(folder / "m"), "--marks", str(folder / marks), "--diameter", diameter, *QUICK, *more]
    )


def test_picks_of_a_folder_and_the_same_command_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "picks"
    assert run(folder, "pick", "--out", str(out)) == 0
    said = capsys.readouterr().err
    assert "trained on 9 of 9 marks" in said and "void.npy: 0 picks: nothing in it is like the marks" in said
    summary = json.loads((out / "picks.json").read_text())["micrographs"]
    assert summary["void"] == {"picks": 0, "threshold": summary["void"]["threshold"], "rule": "empty"}
    first = (out / "grid1.star").read_bytes()
    assert len(read_star(out / "grid1.star")) == summary["grid1"]["picks"]
    (out / "grid1.star").unlink()
    assert run(folder, "pick", "--out", str(out)) == 0
    assert "2 of 3 micrographs are done already" in capsys.readouterr().err
    assert (out / "grid1.star").read_bytes() == first
    assert run(folder, "pick", "--out", str(out), "--threshold", "0.5") == WRONG
    assert "made with other marks" in capsys.readouterr().err
    assert run(folder, "pick", "--out", str(out), "--recentre") == WRONG
    assert run(folder, "pick", "--out", str(folder / "right"), "--recentre", "--format", "csv") == 0
    assert (folder / "right" / "grid1.csv").is_file()


def test_rows_counted_from_below(folder: Path) -> None:
    frame = pd.read_csv(folder / "marks.csv")
    frame["row"] = 127 - frame["row"]
    frame.to_csv(folder / "below.csv", index=False)
    for marks, more in (("marks.csv", []), ("below.csv", ["--flip-y"])):
        assert run(folder, "pick", "--format", "csv", "--out", str(folder / marks[:5]), *more, marks=marks) == 0
    up, down = (read_marks(folder / name / "grid1.csv")["grid1"] for name in ("marks", "below"))
    assert np.allclose(up[:, 0], 127 - down[:, 0], atol=1e-3) and np.allclose(up[:, 1], down[:, 1], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--diameter", "500"), "half of its shorter side"),
        (("--diameter", "-3"), "--diameter -3"),
        (("--format", "pdf"), "--format 'pdf'"),
        (("--marks", "nowhere.csv"), "nowhere.csv"),
        (("--labels", "nowhere"), "places.csv"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], message: str
) -> None:
    assert run(folder, "pick", "--out", str(folder / "out"), *change) == WRONG
    said = capsys.readouterr().err
    assert message in said and said.count("\n") <= 2
    assert not (folder / "out").exists()


def test_marks_of_no_micrograph_and_of_none_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(folder / "marks.csv")
    frame.assign(micrograph="other.mrc").to_csv(folder / "other.csv", index=False)
    assert run(folder, "pick", marks="other.csv") == WRONG
    assert "the marks are in ['other']" in capsys.readouterr().err
    frame.drop(columns="micrograph").to_csv(folder / "unnamed.csv", index=False)
    assert run(folder, "pick", marks="unnamed.csv") == WRONG
    assert "--reference" in capsys.readouterr().err
    assert run(folder, "pick", "--out", str(folder / "o"), "--reference", "grid0", marks="unnamed.csv") == 0


def test_windows_are_labeled_and_teach_the_picker(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from autoal.labeling.looks import Looks
    from autoal.labeling.opening import open_session
    from autoal.labeling.options import Options

    out = folder / "windows"
    assert run(folder, "windows", "--out", str(out)) == 0
    frame, places = pd.read_csv(out / "windows.csv"), pd.read_csv(out / "places.csv")
    assert len(frame) == len(places) == len(list((out / "pictures").iterdir()))
    assert (frame["label"] == "particle").sum() == 9
    for _, part in places.groupby("micrograph"):
        at = part[["row", "column"]].to_numpy()
        far = np.linalg.norm(at[:, None] - at[None], axis=2)[np.triu_indices(len(at), 1)]
        assert far.min() > 24  # none shows what another shows
    assert run(folder, "pick", "--labels", str(out), "--out", str(folder / "p")) == WRONG
    assert "were not labeled yet" in capsys.readouterr().err
    said = Options(classes="particle,background", target="label", show=str(out / "pictures"), seed=0)
    session, notes, _ = open_session(out / "windows.csv", out / "windows-session", said, batch_size=4, model=None)
    looks = Looks(session, session.history()[0]["data"], notes.show)
    row = session.ids.index(places["id"].iloc[3])
    assert looks.kind == "picture"
    assert looks.picture(row).content == (out / "pictures" / f"{places['id'].iloc[3]}.png").read_bytes()
    others = places.loc[places["kind"] != "mark", "id"].tolist()
    session.tell(others[:4], ["background"] * 3 + ["particle"])
    session.skip(others[4:5], reason="ood")
    labeled = read_labels(out)
    assert sum(map(len, labeled.background.values())) == 4 and sum(map(len, labeled.particles.values())) == 1
    assert run(folder, "pick", "--labels", str(out), "--out", str(folder / "p")) == 0
    assert "1 windows were labeled particle, 4 background" in capsys.readouterr().err


def test_pictures_to_look_at_must_be_there(tmp_path: Path) -> None:
    from autoal.labeling.looks import pictures_by_id

    (tmp_path / "p").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "p" / "a.png")
    Image.new("L", (4, 4)).save(tmp_path / "p" / "b.1.png")
    assert [path.name for path in pictures_by_id(tmp_path / "p", ["b.1", "a", "a.png"])] == [
        "b.1.png",
        "a.png",
        "a.png",
    ]
    with pytest.raises(InvalidInput, match="1 of 2 rows, 'c' the first"):
        pictures_by_id(tmp_path / "p", ["a", "c"])
    with pytest.raises(DataMissing):
        pictures_by_id(tmp_path / "q", ["a"])
    Image.new("L", (4, 4)).save(tmp_path / "p" / "a.jpg")
    with pytest.raises(InvalidInput, match="more than one"):
        pictures_by_id(tmp_path / "p", ["a"])


def test_help_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("pick", "windows"):
        assert main(["cryo", command, "--help"]) == 0
        assert f"Example: autoal cryo {command}" in capsys.readouterr().out
    code = "import sys; from autoal.cli import main; main(['cryo', 'pick', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
