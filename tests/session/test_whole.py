"""A journal shows every change: in a session, in the cells of a run and in the journal made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoal.cli import main
from autoal.errors import AutoALError, AutoALWarning, DataMissing, RunError
from autoal.journal import Journal
from tests.session.forged import as_version_0_1_0, forged
from tests.session.killed import told
from tests.session.problems import again, begun, named


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with a line of every kind."""
    session = told(tmp_path_factory.mktemp("whole") / "s")
    batch = session.ask(4)
    session.tell(batch.ids[:2], named(batch.ids[:2]))
    session.skip(batch.ids[2], "blur")
    session.relabel("p01", None)
    session.undo()
    session.tell(["p50"], ["oak"], annotator="ann")
    session.ask(3)
    return session.folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "s"))


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


def flipped(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a line is gone": lambda lines: lines[:2] + lines[3:],
    "the first line is gone": lambda lines: lines[1:],
    "the last line is gone": lambda lines: lines[:-1],
    "all but the first are gone": lambda lines: lines[:1],
    "a line is there twice": lambda lines: [*lines[:3], lines[2], *lines[3:]],
    "the last is there twice": lambda lines: [*lines, lines[-1]],
    "two lines changed places": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "a key was misspelled": lambda lines: [lines[0].replace(b'"labels"', b'"lables"', 1), *lines[1:]],
    "a label was changed": lambda lines: [lines[0].replace(b'"oak"', b'"elm"', 1), *lines[1:]],
    "a line without a hash": lambda lines: [*lines, b'{"event":"tell","ids":["p40"],"labels":["oak"]}\n'],
    "nothing but space": lambda lines: [lines[0][:-1] + b" \n", *lines[1:]],
    "carriage returns": lambda lines: [line[:-1] + b"\r\n" for line in lines],
    "all hashes taken away": lambda lines: [line[: line.rindex(b',"line"')] + b"}\n" for line in lines],
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_lines_is_found_and_nothing_is_written(copy: Path, change: str) -> None:
    (copy / "journal.jsonl").write_bytes(b"".join(CHANGES[change](lines_of(copy))))
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    for call in (lambda: again(copy), lambda: again(copy).tell("p51", "oak")):
        with pytest.raises(RunError, match=r"journal.*autoal doctor"):
            call()
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_change_is_named_where_it_is(copy: Path) -> None:
    content = b"".join(lines_of(copy))
    for number, line in enumerate(lines_of(copy), start=1):
        place = content.index(line) + len(line) // 3
        (copy / "journal.jsonl").write_bytes(flipped(content, place, 0))
        with pytest.raises(RunError, match=rf"journal.jsonl, line {number} of"):
            again(copy)


def test_a_line_of_another_session_is_found(copy: Path, tmp_path: Path) -> None:
    """Of one that had the same arguments, and the same answers."""
    other = told(tmp_path / "other").folder
    (copy / "journal.jsonl").write_bytes(b"".join([lines_of(other)[0], *lines_of(copy)[1:]]))
    with pytest.raises(RunError, match=r"line 1 of .* belongs to another journal"):
        again(copy)
    for name in ("journal.jsonl", "journal.head"):
        shutil.copy(other / name, copy / name)
    with pytest.raises(RunError, match="belongs to another journal"):
        again(copy)


def test_three_hundred_flipped_bits_are_all_found(copy: Path) -> None:
    """The campaign flips thousands: see docs/trust.md."""
    rng = np.random.default_rng(0)
    for name in ("journal.jsonl", "journal.head", "manifest.json", "ids.json"):
        content = (copy / name).read_bytes()
        for _ in range(75):
            (copy / name).write_bytes(flipped(content, int(rng.integers(len(content))), int(rng.integers(8))))
            with pytest.raises((RunError, DataMissing)):
                again(copy)
        (copy / name).write_bytes(content)
    again(copy)


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "unknown event": (lambda line: {**line, "event": "tall"}, "the event 'tall'"),
    "unknown key": (lambda line: {**line, "skyps": [["p40", "ood"]]}, "skyps.*does not know"),
    "no event": (lambda line: {k: v for k, v in line.items() if k != "event"}, "the event None"),
    "no ids": (lambda line: {k: v for k, v in line.items() if k != "ids"}, "ids is missing"),
    "a label too few": (lambda line: {**line, "labels": line["labels"][1:]}, "12 ids and 11 labels"),
    "a label of another type": (lambda line: {**line, "labels": [7, *line["labels"][1:]]}, "none of this session"),
    "a label that is none": (lambda line: {**line, "labels": [[], *line["labels"][1:]]}, "does not belong there"),
    "an empty label": (lambda line: {**line, "labels": ["", *line["labels"][1:]]}, "none of this session"),
    "an unknown id": (lambda line: {**line, "ids": ["q", *line["ids"][1:]]}, "does not belong to this session"),
    "a skip without a reason": (lambda line: {**line, "skips": [["p40", ""]]}, "does not belong there"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_line_that_no_session_writes_is_refused_although_its_hash_is_right(copy: Path, forgery: str) -> None:
    change, said = FORGERIES[forgery]
    forged(copy, lambda lines: [change(lines[0]), *lines[1:]])
    with pytest.raises(RunError, match=f"journal.jsonl, line 1 holds .*{said}"):
        again(copy)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("round", 1, "batch 1, where batch 0 is next"),
        ("round", -1, "does not belong there"),
        ("utilities", [0.5], "utilities"),
        ("votes", {"margin": [9]}, "a vote for a point"),
        ("lines", 9, "lines that come after it"),
        ("seed", 3, "seed"),
    ],
)
def test_a_batch_that_does_not_count_is_refused(copy: Path, key: str, value: Any, said: str) -> None:
    forged(copy, lambda lines: [lines[0], {**lines[1], key: value}, *lines[2:]])
    with pytest.raises(RunError, match=f"journal.jsonl, line 2 holds .*{said}"):
        again(copy)


def test_labels_outside_the_classes_are_refused_on_replay(tmp_path: Path) -> None:
    folder = begun(tmp_path / "s", classes=["oak", "elm", "ash"]).folder
    again(folder).tell("p01", "oak")
    forged(folder, lambda lines: [{**lines[0], "labels": ["Oak"]}])
    with pytest.raises(RunError, match="line 1 holds a label"):
        again(folder)


def test_a_journal_of_version_0_1_0_goes_on_and_is_covered_from_then_on(copy: Path) -> None:
    new = again(copy)
    kept, pending, left = new.labeled, new.pending, len(lines_of(copy))
    as_version_0_1_0(copy)
    with pytest.warns(AutoALWarning, match=f"no hashes into it: whether its {left} lines"):
        session = again(copy)
    assert (session.labeled, session.pending) == (kept, pending)
    session.tell("p51", "oak")
    assert again(copy).labeled == {**kept, "p51": "oak"}  # and says nothing any more
    content = (copy / "journal.jsonl").read_bytes()
    for place in range(40, len(content), 97):
        (copy / "journal.jsonl").write_bytes(flipped(content, place, 1))
        with pytest.raises(RunError):
            again(copy)
    for cut in (lines_of(copy)[:-1], lines_of(copy)[1:]):
        (copy / "journal.jsonl").write_bytes(b"".join(cut))
        with pytest.raises(RunError):
            again(copy)


@pytest.mark.parametrize("name", ["journal.jsonl", "journal.head"])
@pytest.mark.parametrize("how", ["gone", "empty", "of yesterday"])
def test_a_file_that_is_gone_or_old_is_refused(whole: Path, tmp_path: Path, name: str, how: str) -> None:
    session = told(tmp_path / "s")
    old = (session.folder / name).read_bytes()
    session.tell("p51", "oak")
    path = session.folder / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if how == "empty" else old)
    if (name, how) == ("journal.head", "of yesterday"):  # as a kill right after the line leaves it
        assert again(session.folder).labeled["p51"] == "oak"
        return
    with pytest.raises(RunError, match="autoal doctor"):
        again(session.folder)


def test_no_journal_is_written_between_two_looks(tmp_path: Path) -> None:
    """A journal of equal size in its place is not taken for the one that was read."""
    session = told(tmp_path / "s")
    content = (session.folder / "journal.jsonl").read_bytes()
    (session.folder / "journal.jsonl").write_bytes(content.replace(b'"oak"', b'"elm"', 1))
    with pytest.raises(RunError, match="line 1 of 1 is not as it was written"):
        session.status()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = told(tmp_path / "s")
    before = (session.folder / "journal.jsonl").read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr("os.fsync", full)
        session.tell("p51", "oak")
    assert (session.folder / "journal.jsonl").read_bytes() == before
    assert session.tell("p51", "oak").new == 1 and again(session.folder).labeled["p51"] == "oak"


# --- autoal doctor --------------------------------------------------------------------------------------------


def test_doctor_finds_nothing_wrong_with_a_session(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(whole)]) == 0
    said = capsys.readouterr().out
    assert "wrong:" not in said and "15 labels" in said and "2 batches" in said and "the same rows" in said


def test_doctor_says_what_can_be_saved_and_saves_it(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(copy)
    (copy / "journal.jsonl").write_bytes(b"".join([*lines[:2], lines[2].replace(b'"tell"', b'"toll"', 1), *lines[3:]]))
    assert main(["doctor", str(copy)]) == 1
    said = capsys.readouterr().out
    assert "line 3 of" in said and "can be saved: 2 lines, 12 labels" in said and "--keep" in said
    assert main(["doctor", str(copy), "--keep"]) == 0
    said = capsys.readouterr().out
    assert "goes on from 2 lines" in said
    session = again(copy)
    assert len(session.labeled) == 12 and session.n_rounds == 1
    assert len(session.ask(2)) == 2
    (damaged,) = (path for path in copy.glob("journal.jsonl.damaged-*") if not path.name.endswith(".jsonl", 20))
    assert damaged.read_bytes().splitlines(keepends=True)[3:] == lines[3:]
    (answers,) = copy.glob("*.answers.jsonl")
    assert f"autoal tell {copy} {answers} --correct" in said
    assert main(["tell", str(copy), str(answers), "--correct"]) == 0
    assert again(copy).labeled["p50"] == "oak"
    assert main(["doctor", str(copy)]) == 0


def test_doctor_takes_the_manifest_and_the_backup_that_there_are(copy: Path) -> None:
    session = again(copy)
    backup = (copy / "journal.jsonl").read_bytes()
    session.tell("p51", "oak")
    (copy / "journal.jsonl").write_bytes(backup)  # of yesterday, as a message says
    with pytest.raises(RunError, match="the last ones are gone"):
        again(copy)
    assert main(["doctor", str(copy), "--keep"]) == 0
    assert "p51" not in again(copy).labeled
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(manifest.replace('"seed": 3', '"seed": 4'))
    with pytest.raises(RunError, match="the manifest"):
        again(copy)
    assert main(["doctor", str(copy), "--keep"]) == 0
    assert len(again(copy).labeled) == 15


@pytest.mark.parametrize("name", ["manifest.json", "ids.json", "X.npy", "checkpoints/round-0000/selector.json"])
def test_doctor_names_every_file_that_is_broken(copy: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = copy / name
    if not path.exists():
        path = next((copy / "checkpoints").glob("round-*/selector.json"))
    path.write_bytes(path.read_bytes()[:-20])
    if path.name == "selector.json":
        forged(
            copy,
            lambda lines: [
                {**line, "checkpoint": path.parent.name} if "checkpoint" in line else line for line in lines
            ],
        )
    assert main(["doctor", str(copy)]) == 1
    assert (path.parent.name if path.name == "selector.json" else path.name) in capsys.readouterr().out


def test_doctor_of_what_is_no_folder_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path / "no")]) == 2
    assert main(["doctor", str(tmp_path)]) == 2
    assert main(["doctor", "--keep"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_journal_by_itself(tmp_path: Path) -> None:
    """Numbers, hashes and whose it is, in the file as documented."""
    journal = Journal(tmp_path / "j.jsonl", "a" * 32, "do something")
    for value in ("é", 2**60, {"deep": [1.5, None]}):
        journal.append({"value": value})
    lines = [json.loads(line) for line in (tmp_path / "j.jsonl").read_text().splitlines()]
    assert [line["line"] for line in lines] == [1, 2, 3]
    assert [line.get("of") for line in lines] == ["a" * 32, None, None]
    assert Journal(tmp_path / "j.jsonl", "a" * 32, "").read().records == [
        {"value": "é"}, {"value": 2**60}, {"value": {"deep": [1.5, None]}}
    ]  # fmt: skip
    with pytest.raises(AutoALError, match="belongs to another"):
        Journal(tmp_path / "j.jsonl", "b" * 32, "").read()
