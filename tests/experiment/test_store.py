"""A cell has a file of its own, and a file that is not its own is not believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bench_selectors import make_selector, tiny
from hypothesis import given
from hypothesis import strategies as st

from autoal.cli import main
from autoal.errors import ConfigError, RunError
from autoal.experiment.runner import run
from autoal.experiment.store import LONGEST_KEY, RunStore, cell_key, early_key
from autoal.report.tables import read_journal

LABELS = st.text(alphabet=st.sampled_from("ab-_ .%/é2D"), max_size=5)


@given(one=st.tuples(LABELS, LABELS, st.integers(0, 12)), other=st.tuples(LABELS, LABELS, st.integers(0, 12)))
def test_other_cells_have_other_names(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert (cell_key(*one) == cell_key(*other)) == (one == other)
    assert not set(cell_key(*one)) & set("/\\ \0é")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("d", "a b"), ("d", "a_b")),
        (("a--b", "c"), ("a", "b--c")),
        (("a-", "b"), ("a", "-b")),
        (("a/b", "c"), ("a%2Fb", "c")),
    ],
)
def test_names_that_could_be_taken_for_one_another(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert cell_key(*one, 0) != cell_key(*other, 0)


def test_plain_names_stay_as_they_were() -> None:
    for parts in (("iris", "random", 0), ("letter-2", "logistic_regression+x", 12), ("a.b", "C-d", 3)):
        assert cell_key(*parts) == early_key(*parts) == "--".join(map(str, parts))


def labelled(*labels: str, **named: Any) -> Any:
    selectors = [{"name": "first" if i == 0 else "random", "label": label} for i, label in enumerate(labels)]
    return tiny(selectors=selectors, seeds=1, **named)


def test_selectors_whose_labels_are_nearly_alike_are_each_computed(tmp_path: Path) -> None:
    result = run(labelled("a b", "a_b"), make_selector, tmp_path)
    assert not result.failures
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [line["selector"] for line in lines] == ["a b"] * 4 + ["a_b"] * 4
    assert [line.get("picked") for line in lines[:4]] != [line.get("picked") for line in lines[4:]]


def renamed(folder: Path, new: str, old: str) -> None:
    for path in list((folder / "cells").iterdir()):
        if path.name.startswith(f"{new}."):
            path.rename(path.with_name(old + path.name.removeprefix(new)))


@pytest.mark.parametrize("rounds", [2, 4])
def test_a_run_of_version_0_1_0_goes_on(tmp_path: Path, rounds: int) -> None:
    config = labelled("a_b", "a b")
    run(config, make_selector, tmp_path)
    whole = (tmp_path / "journal.jsonl").read_bytes()
    renamed(tmp_path, "iris--a_b--0", "aside")
    renamed(tmp_path, "iris--a%20b--0", "iris--a_b--0")  # the other one never had a file
    cell = tmp_path / "cells" / "iris--a_b--0.jsonl"
    cell.write_bytes(b"".join(cell.read_bytes().splitlines(keepends=True)[:rounds]))
    (tmp_path / "cells" / f"iris--a_b--0.state.{rounds - 1}.json").write_text("{}")
    moved = cell.stat().st_ino
    run(config, make_selector, tmp_path)
    assert (tmp_path / "journal.jsonl").read_bytes() == whole
    assert (tmp_path / "cells" / "iris--a%20b--0.jsonl").stat().st_ino == moved


@pytest.mark.parametrize("change", ["another cell", "doubled", "missing", "no name"])
def test_a_file_of_other_rounds_is_refused_and_computed_anew_as_the_message_says(tmp_path: Path, change: str) -> None:
    config = labelled("one", "other")
    run(config, make_selector, tmp_path)
    whole = (tmp_path / "journal.jsonl").read_bytes()
    cell = tmp_path / "cells" / "iris--one--0.jsonl"
    lines = cell.read_bytes().splitlines(keepends=True)
    cell.write_bytes(
        {
            "another cell": (tmp_path / "cells" / "iris--other--0.jsonl").read_bytes(),
            "doubled": b"".join([lines[0], *lines]),
            "missing": b"".join(lines[1:]),
            "no name": b"{}\n",
        }[change]
    )
    with pytest.raises(RunError, match="delete it"):
        run(config, make_selector, tmp_path)
    cell.unlink()
    run(config, make_selector, tmp_path)
    assert (tmp_path / "journal.jsonl").read_bytes() == whole


@pytest.mark.parametrize("label", ["x" * 240, "é" * 40, "/" * 70])
def test_a_label_too_long_for_a_file_is_refused_at_the_door(label: str) -> None:
    with pytest.raises(ConfigError, match="give a shorter `label`"):
        labelled("one", label)


def test_the_longest_label_that_is_taken_runs(tmp_path: Path) -> None:
    label = "x" * (LONGEST_KEY - len(cell_key("iris", "", 0)))
    assert not run(labelled("one", label), make_selector, tmp_path).failures
    assert len(RunStore(tmp_path).cell(cell_key("iris", label, 0)).look()[0]) == 4


# Every change shows: see tests/session/test_whole.py for sessions.


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    run(labelled("one", "other"), make_selector, folder)
    return folder


@pytest.fixture
def copy(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "run"))


def flipped(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def test_every_change_of_a_cell_is_found(copy: Path) -> None:
    cell = copy / "cells" / "iris--one--0.jsonl"
    content = cell.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        place = int(rng.integers(len(content) - 1))  # not the last newline: that is a line cut off, and computed again
        cell.write_bytes(flipped(content, place, int(rng.integers(8))))
        with pytest.raises(RunError, match="iris--one--0"):
            run(labelled("one", "other"), make_selector, copy)
    cell.write_bytes(content)
    assert not run(labelled("one", "other"), make_selector, copy).failures


@pytest.mark.parametrize(
    "change", ["flip", "gone", "last gone", "doubled", "cell gone", "cell doubled", "head", "no head"]
)
def test_every_change_of_the_journal_of_a_run_is_found(copy: Path, change: str) -> None:
    whole = (copy / "journal.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    changed = {
        "flip": flipped(whole, 600, 3),
        "gone": b"".join(lines[:1] + lines[2:]),
        "last gone": b"".join(lines[:-1]),
        "doubled": b"".join([lines[0], *lines]),
        "cell gone": b"".join(lines[4:]),
        "cell doubled": b"".join(lines[:4] + lines),
    }
    if change in changed:
        (copy / "journal.jsonl").write_bytes(changed[change])
    elif change == "head":
        (copy / "journal.head").write_text("{}")
    else:
        (copy / "journal.head").unlink()
    with pytest.raises(RunError, match="run the same command again"):
        read_journal(copy)
    run(labelled("one", "other"), make_selector, copy)  # as the message says
    assert (copy / "journal.jsonl").read_bytes() == whole
    assert len(read_journal(copy)) == 8


def test_a_cell_of_another_config_is_not_taken(copy: Path, tmp_path: Path) -> None:
    """Of the same data set, selector and seed."""
    config = labelled("one", "other", batch_size=4)
    run(config, make_selector, tmp_path / "b")
    shutil.copy(tmp_path / "b" / "cells" / "iris--one--0.jsonl", copy / "cells" / "iris--one--0.jsonl")
    with pytest.raises(RunError, match="belongs to another journal"):
        run(labelled("one", "other"), make_selector, copy)


def as_version_0_1_0(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    (folder / "journal.head").unlink(missing_ok=True)
    for path in [folder / "journal.jsonl", *(folder / "cells").glob("*[0-9].jsonl")]:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            for key in ("of", "line", "hash"):
                line.pop(key, None)
        path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def test_a_run_of_a_version_without_hashes_is_read_and_goes_on(copy: Path) -> None:
    before = read_journal(copy)
    as_version_0_1_0(copy)
    pd.testing.assert_frame_equal(read_journal(copy), before)
    cell = copy / "cells" / "iris--one--0.jsonl"
    cell.write_bytes(b"".join(cell.read_bytes().splitlines(keepends=True)[:2]))
    (copy / "cells" / "iris--one--0.state.1.json").write_text("{}")
    run(labelled("one", "other"), make_selector, copy)
    pd.testing.assert_frame_equal(read_journal(copy), before)
    content = cell.read_bytes()
    assert b'"hash"' in content.splitlines()[2] and b'"hash"' not in content.splitlines()[1]
    cell.write_bytes(content.replace(b'"labels":', b'"labels": ', 1))  # in a line of the old ones
    with pytest.raises(RunError, match="line 3 of 4 is not as it was written"):
        run(labelled("one", "other"), make_selector, copy)


def test_an_old_line_with_an_unknown_key_is_refused(copy: Path) -> None:
    as_version_0_1_0(copy)
    cell = copy / "cells" / "iris--one--0.jsonl"
    cell.write_bytes(cell.read_bytes().replace(b'"value"', b'"valve"', 1))
    with pytest.raises(RunError, match=r"line 1 holds .*val[uv]e"):
        run(labelled("one", "other"), make_selector, copy)


def test_doctor_of_a_run(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(copy)]) == 0
    assert "2 of 2 finished" in capsys.readouterr().out
    whole = (copy / "journal.jsonl").read_bytes()
    cell = copy / "cells" / "iris--one--0.jsonl"
    cell.write_bytes(cell.read_bytes().replace(b'"round":2', b'"round":3', 1))
    assert main(["doctor", str(copy)]) == 1
    said = capsys.readouterr().out
    assert "iris--one--0.jsonl, line 3 of 4" in said and "--keep" in said
    assert main(["doctor", str(copy), "--keep"]) == 0
    assert not cell.exists() and len(list(cell.parent.glob("iris--one--0.jsonl.damaged-*"))) == 1
    run(labelled("one", "other"), make_selector, copy)  # as it says
    assert (copy / "journal.jsonl").read_bytes() == whole and main(["doctor", str(copy)]) == 0
