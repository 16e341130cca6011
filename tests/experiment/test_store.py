"""A cell has a file of its own, and a file that is not its own is not believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_selectors import make_selector, tiny
from hypothesis import given
from hypothesis import strategies as st

from autoal.errors import ConfigError, RunError
from autoal.experiment.runner import run
from autoal.experiment.store import LONGEST_KEY, RunStore, cell_key, early_key

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
