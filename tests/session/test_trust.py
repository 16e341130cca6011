"""A session takes away, makes and believes only what is its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoal import AutoAL, Session
from autoal.disk import write_atomic
from autoal.errors import AutoALWarning, RunError
from autoal.experiment.store import RunStore
from autoal.report.tables import read_journal
from autoal.session.folder import MARK, being_made
from autoal.study.book import Book
from tests.session.forged import as_version_0_1_0, forged
from tests.session.killed import told
from tests.session.problems import again, begun

# --- what is taken away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "neighbour"),
    [
        ("data", ".data.backup.new"),
        ("data", ".data.0123abcd.new"),  # named as ours are, but nothing of ours in it
        ("*", ".data.0123abcd.new"),
        ("[a-z]?", ".ab.0123abcd.new"),
        ("data", ".data.0123abcd.89abcdef.new"),
        ("a.b", ".axb.0123abcd.new"),
    ],
)
def test_create_leaves_every_neighbour_alone(tmp_path: Path, name: str, neighbour: str) -> None:
    (tmp_path / neighbour).mkdir()
    (tmp_path / neighbour / "thesis.txt").write_text("years of work")
    before = sorted(os.listdir(tmp_path / neighbour))
    begun(tmp_path / name)
    assert sorted(os.listdir(tmp_path / neighbour)) == before
    assert not (tmp_path / name / MARK).exists()


def test_create_clears_only_what_a_killed_create_of_its_own_name_left(tmp_path: Path) -> None:
    for name in ("data", "data.0123abcd", "d"):
        with pytest.raises(KeyboardInterrupt), being_made(tmp_path / name) as made:
            (made.path / "X.npy").write_text("")
            shutil.copytree(made.path, tmp_path / f".{name}.01234567.new")  # what a kill at this moment leaves
            raise KeyboardInterrupt
    begun(tmp_path / "new" / "data")  # in another folder: none of these
    assert (tmp_path / ".data.01234567.new").exists()
    begun(tmp_path / "data")
    left = {name for name in os.listdir(tmp_path) if name.startswith(".")}
    assert left == {".data.0123abcd.01234567.new", ".d.01234567.new"}


def test_create_follows_no_link_to_what_is_left_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / ".data.0123abcd.new").symlink_to(tmp_path / "far")
    begun(tmp_path / "data")
    assert os.listdir(tmp_path / "far") == []


def test_folders_of_the_users_among_checkpoints_stay(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    for name in ("round-0000-good", "mine", ".mine.0123abcd", "startled"):
        (session.folder / "checkpoints" / name).mkdir()
    (session.folder / "checkpoints" / ".round-0007.0123abcd").mkdir()  # what a kill leaves of one of ours
    for _ in range(3):
        session.ask(3)
    kept = {"round-0000-good", "mine", ".mine.0123abcd", "startled", "start", "round-0001", "round-0002"}
    assert set(os.listdir(session.folder / "checkpoints")) == kept


def test_a_run_takes_away_only_files_of_its_own_names(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    one, other = store.cell("a--[b]--0"), store.cell("a--[b]--0.state.9--0")
    for path in ("a--[b]--0.state.1.json", "a--[b]--0.state.9--0.state.1.json", "a--[b]--0.state.mine.json"):
        (one.folder / path).write_text("{}")
    one.clear_states()
    assert sorted(os.listdir(other.folder)) == ["a--[b]--0.state.9--0.state.1.json", "a--[b]--0.state.mine.json"]
    (tmp_path / "failures.shard-notes.jsonl").write_text("")
    (tmp_path / "failures.shard-1-of-2.jsonl").write_text("")
    assert [path.name for path in store.shard_failures()] == ["failures.shard-1-of-2.jsonl"]


def test_saving_a_selector_leaves_weights_of_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "search_net.safetensors").write_bytes(b"mine")
    AutoAL("fast").save(tmp_path)
    assert (tmp_path / "search_net.safetensors").read_bytes() == b"mine"


# --- what is made ---------------------------------------------------------------------------------------------


CALLS: dict[str, Callable[[Session], Any]] = {
    "tell": lambda session: session.tell("p50", "oak"),
    "skip": lambda session: session.skip("p50", "blur"),
    "relabel": lambda session: session.relabel("p01", "oak"),
    "undo": lambda session: session.undo(),
    "retract": lambda session: session.retract("p01"),
    "ask": lambda session: session.ask(3),
    "ask_ahead": lambda session: session.ask_ahead(3),
    "report": lambda session: session.report(estimate=False),
    "labeled": lambda session: session.labeled,
}


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_made_where_a_session_was(tmp_path: Path, call: str) -> None:
    session = told(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*")}
    with pytest.raises(RunError, match="no longer the session"):
        CALLS[call](session)
    assert os.listdir(tmp_path) == ["b"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*")} == before
    (tmp_path / "b").rename(tmp_path / "a")  # as the message says
    CALLS[call](session)


@pytest.mark.parametrize("call", CALLS)
def test_nothing_goes_into_a_session_that_took_the_name(tmp_path: Path, call: str) -> None:
    session = told(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    other = told(tmp_path / "a")  # its arguments are the same
    before = (tmp_path / "a" / "journal.jsonl").read_bytes(), os.listdir(tmp_path / "a")
    with pytest.raises(RunError, match="no longer the session"):
        CALLS[call](session)
    assert ((tmp_path / "a" / "journal.jsonl").read_bytes(), os.listdir(tmp_path / "a")) == before
    assert len(other.labeled) == 12


def test_a_session_moved_while_it_chooses_is_not_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = told(tmp_path / "a")
    chosen = AutoAL.fit_query

    def moving(self: AutoAL, *arguments: Any, **named: Any) -> Any:
        (tmp_path / "a").rename(tmp_path / "b")
        return chosen(self, *arguments, **named)

    monkeypatch.setattr(AutoAL, "fit_query", moving)
    with pytest.raises((RunError, OSError)):
        session.ask(3)
    assert os.listdir(tmp_path) == ["b"] and again(tmp_path / "b").n_rounds == 0


def test_a_run_that_was_moved_is_not_begun_anew(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "a")
    with store.lock():
        (tmp_path / "a").rename(tmp_path / "b")
        with pytest.raises(RunError, match="put it back"):
            store.cell("iris--random--0")
    assert os.listdir(tmp_path) == ["b"]


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_journal_without_a_line_is_no_new_session(tmp_path: Path, how: str) -> None:
    session = told(tmp_path / "s")
    session.ask(3)
    journal = session.folder / "journal.jsonl"
    backup = journal.read_bytes()
    if how == "gone":
        journal.unlink()
    else:
        journal.write_bytes(b"")
    for look in (lambda: again(session.folder), lambda: session.status(), lambda: session.tell("p50", "oak")):
        with pytest.raises(RunError, match="backup"):
            look()
    journal.write_bytes(backup)  # as the message says
    assert again(session.folder).tell("p50", "oak").new == 1


def test_a_session_of_version_0_1_0_without_a_journal_goes_on(tmp_path: Path) -> None:
    folder = begun(tmp_path / "s").folder
    as_version_0_1_0(folder)
    (folder / "journal.jsonl").unlink()
    assert again(folder).tell("p50", "oak").new == 1


# --- what is believed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["byte", "cut short", "no object", "nested", "not text"])
def test_a_damaged_last_line_is_an_error_and_not_a_kill(tmp_path: Path, change: str) -> None:
    session = told(tmp_path / "s")
    session.tell("p50", "oak")
    journal = session.folder / "journal.jsonl"
    backup = journal.read_bytes()
    start = backup.rindex(b"\n", 0, -1) + 1
    line = backup[start:-1]
    damaged = {
        "byte": b"}" + line[1:],
        "cut short": line[:-9],
        "no object": b"7",
        "nested": b"[" * 100_000,
        "not text": line[:20] + b"\xff" + line[21:],
    }[change]
    journal.write_bytes(backup[:start] + damaged + b"\n")
    with pytest.raises(RunError, match=r"journal.jsonl, line 2 of 2 (cannot|is not as|carries no hash).*backup"):
        again(session.folder)
    assert journal.read_bytes() == backup[:start] + damaged + b"\n"
    journal.write_bytes(backup)  # as the message says
    assert again(session.folder).labeled["p50"] == "oak"


def test_what_is_cut_off_is_kept_beside_it(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    journal = session.folder / "journal.jsonl"
    whole = journal.read_bytes()
    for torn in (b'{"event":"te', whole[:-1]):  # the second only lacks its newline, as some editors leave it
        journal.write_bytes(whole + torn)
        with pytest.warns(AutoALWarning, match=r"is in journal\.jsonl\.torn"):
            again(session.folder)
    assert journal.read_bytes() == whole
    assert (session.folder / "journal.jsonl.torn").read_bytes() == b'{"event":"te\n' + whole


def test_a_cell_whose_last_line_is_damaged_is_not_computed_anew_in_silence(tmp_path: Path) -> None:
    cell = RunStore(tmp_path).cell("iris--random--0")
    line = (
        b'{"dataset":"iris","selector":"random","seed":0,"round":0,"labels":6,"labeled":6,"value":0.5,"last":false}\n'
    )
    cell.path.write_bytes(line + b'{"round":1,}\n')
    with pytest.raises(RunError, match="line 2 of 2"):
        cell.read()
    cell.path.write_bytes(line + b'{"rou')
    with pytest.warns(AutoALWarning, match="round 1 is computed again"):
        assert cell.read() == [json.loads(line)]
    assert (cell.folder / "iris--random--0.jsonl.torn").read_bytes() == b'{"rou\n'


def test_what_a_study_cuts_off_is_kept(tmp_path: Path) -> None:
    (tmp_path / "study.log").write_bytes(b'{"op_code":0}\n{"op_')
    Book.mend(tmp_path)
    assert (tmp_path / "study.log").read_bytes() == b'{"op_code":0}\n'
    assert (tmp_path / "study.log.torn").read_bytes() == b'{"op_\n'


@pytest.mark.parametrize("end", [b'{"round"', b"{]\n"])
def test_a_journal_of_a_run_that_is_cut_or_damaged_makes_no_table(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "journal.jsonl").write_bytes(b'{"round":0}\n' + end)
    with pytest.raises(RunError, match="run the same command again"):
        read_journal(tmp_path)


# --- where paths lead -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../evil", "/evil", "round-0000/../../../evil", "round-0000\n", "", 7, None])
def test_a_checkpoint_elsewhere_is_not_followed(tmp_path: Path, name: Any) -> None:
    session = told(tmp_path / "s")
    session.ask(3)
    journal = session.folder / "journal.jsonl"
    backup = journal.read_bytes()
    head = (session.folder / "journal.head").read_bytes()
    forged(session.folder, lambda lines: [*lines[:-1], {**lines[-1], "checkpoint": name}])
    AutoAL("fast").save(tmp_path / "evil")
    with pytest.raises(RunError, match="names a checkpoint"):
        again(session.folder).ask(3)
    journal.write_bytes(backup)  # as the message says
    (session.folder / "journal.head").write_bytes(head)
    assert len(again(session.folder).ask(3)) == 3


def test_no_link_at_the_name_of_a_partial_file_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for name in ("selector.json", "search_net.safetensors", "batch.csv", "tasks.json"):
        (tmp_path / f"{name}.partial").symlink_to(tmp_path / "mine")
    AutoAL("fast").save(tmp_path)
    batch = told(tmp_path / "s").ask(3)
    batch.to_csv(tmp_path / "batch.csv")
    batch.to_label_studio(tmp_path / "tasks.json", data={name: {"text": name} for name in batch.ids.tolist()})
    assert (tmp_path / "mine").read_text() == "mine"
    AutoAL.load(tmp_path)


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_partial_file_that_is_there_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("autoal.disk._beside", lambda path: path.with_name("foreseen"))
    (tmp_path / "mine").write_text("mine")
    if what == "link":
        (tmp_path / "foreseen").symlink_to(tmp_path / "mine")
    else:
        (tmp_path / "mine").rename(tmp_path / "foreseen")
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "new", "content")
    assert (tmp_path / "foreseen").read_text() == "mine"


def test_what_killed_writers_left_is_taken_away_after_a_day(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    names = (
        ".labels.csv.123-0123abcd.tmp",
        ".report.html.9-89abcdef.tmp",
        ".mine.tmp",
        "notes.tmp",
        ".x.1-0123abcg.tmp",
    )
    for name in names:
        (session.folder / name).write_text("half")
        os.utime(session.folder / name, (0, 0))
    (session.folder / ".labels.csv.7-0123abcd.tmp").write_text("being written")
    again(session.folder)
    assert not any((session.folder / name).exists() for name in names[:2])
    assert all((session.folder / name).exists() for name in (*names[2:], ".labels.csv.7-0123abcd.tmp"))


# --- remedies that messages name ------------------------------------------------------------------------------


def test_a_journal_of_an_earlier_round_goes_on(tmp_path: Path) -> None:
    """With the head of that day, as a backup of the folder has it; its checkpoints are long gone."""
    session = told(tmp_path / "s")
    files = [session.folder / name for name in ("journal.jsonl", "journal.head")]
    session.ask(3)
    session.ask(3)
    backup = [path.read_bytes() for path in files]
    pending = session.pending
    for _ in range(3):
        session.ask(3)
    for path, content in zip(files, backup, strict=True):
        path.write_bytes(content)
    opened = again(session.folder)
    assert opened.pending == pending and opened.n_rounds == 2
    with pytest.warns(AutoALWarning, match="as if the search had just begun"):
        batch = opened.ask(3)
    assert not set(batch.ids) & set(pending)
    assert len(again(session.folder).ask(3)) == 3  # from its own checkpoint, without a word


@pytest.mark.parametrize("how", ["cut", "flipped", "a file gone", "another one"])
def test_a_checkpoint_that_is_not_as_it_was_written_is_refused(tmp_path: Path, how: str) -> None:
    session = told(tmp_path / "s")
    session.ask(3)
    session.ask(3)
    checkpoint = session.folder / "checkpoints" / "round-0001"
    path = checkpoint / "selector.json"
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[:-9])
    elif how == "flipped":
        path.write_bytes(content.replace(b"0.", b"1.", 1))
    elif how == "a file gone":
        path.unlink()
    else:
        shutil.copy(session.folder / "checkpoints" / "round-0000" / "selector.json", path)
        path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(RunError, match=r"round-0001 cannot be read.*or remove it"):
        session.ask(3)
    shutil.rmtree(checkpoint)  # as the message says
    with pytest.warns(AutoALWarning, match="as if the search had just begun"):
        assert len(session.ask(3)) == 3


def test_a_session_of_version_0_1_0_whose_first_checkpoint_is_gone_says_what_to_do(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    session.ask(3)
    shutil.rmtree(session.folder / "checkpoints" / "start")
    shutil.rmtree(session.folder / "checkpoints" / "round-0000")
    with pytest.raises(RunError, match=r"labels\.csv of this one's report"):
        session.ask(3)
    session.report(estimate=False)
    fresh = begun(tmp_path / "new")  # as the message says
    fresh.tell_file(session.folder / "labels.csv")
    assert fresh.labeled == session.labeled and len(fresh.ask(3)) == 3
