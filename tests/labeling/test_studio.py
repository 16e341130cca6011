"""Translation of Label Studio's tasks, from responses recorded of a Label Studio 1.23.2, and what can be tested without
one. Rows of `recorded_tasks.json`: see WHAT."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoal import Session
from autoal.cli import main
from autoal.errors import InvalidInput, RunError
from autoal.labeling.label_studio import Studio, server_url
from autoal.labeling.serve_notes import Notes, session_name
from autoal.labeling.serving import alone
from autoal.labeling.studio_answers import Rules, take_answers
from autoal.labeling.studio_tasks import control_of, digest_of, found_in, session_tasks
from autoal.labeling.webhook import HEADER, Bell

HERE = Path(__file__).parent
ONE, CANCELLED, DIFFER, AGREE, UPDATED, EMPTY, LABELED_AFTER_CANCEL, TRUTH, NONE = range(9)
"""What was done with each row; a tenth task is somebody else's."""
SESSION = "5e5510"


def recorded(name: str) -> Any:
    return json.loads((HERE / f"recorded_{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def rows() -> dict[int, list[dict[str, Any]]]:
    return found_in(recorded("tasks")["tasks"], SESSION, 9).rows


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session.create(
        tmp_path / "run", [f"text {i}" for i in range(9)], ids=[f"note {i}" for i in range(9)], classes=["oak", "elm"],
        candidates="fast", random_state=0,
    )  # fmt: skip


def notes_of(session: Session) -> Notes:
    return Notes(session.folder, "http://localhost:8080", 3)


CERTAIN = {"note 0": "oak", "note 3": "elm", "note 4": "elm", "note 6": "oak", "note 7": "elm"}


@pytest.mark.parametrize(
    ("on_conflict", "skipped"),
    [
        ("fail", {"note 1": "cancelled"}),
        ("skip", {"note 1": "cancelled", "note 2": "disagreement"}),
        ("majority", {"note 1": "cancelled", "note 2": "disagreement"}),  # one to one
    ],
)
def test_annotations_become_answers(
    session: Session, rows: dict[int, list[dict[str, Any]]], on_conflict: str, skipped: dict[str, str]
) -> None:
    notes, rules = notes_of(session), Rules("label", on_conflict=on_conflict)
    taken = take_answers(session, rows, notes, rules)
    assert session.labeled == CERTAIN and session.skipped == skipped
    assert set(taken.refused) == ({EMPTY, DIFFER} if on_conflict == "fail" else {EMPTY})
    assert "empty" in taken.refused[EMPTY]
    journal = (session.folder / "journal.jsonl").read_bytes()
    take_answers(session, rows, notes_of(session), rules)
    assert (session.folder / "journal.jsonl").read_bytes() == journal  # what is known is not told again
    (session.folder / "label-studio.json").unlink()
    take_answers(session, rows, notes_of(session), rules)
    assert session.labeled == CERTAIN and session.skipped == skipped  # nor does it matter when it is


def test_what_is_changed_there_corrects_and_what_is_deleted_is_taken_back(
    session: Session, rows: dict[int, list[dict[str, Any]]]
) -> None:
    notes, rules = notes_of(session), Rules("label", on_conflict="skip")
    take_answers(session, rows, notes, rules)
    rows[ONE][0]["annotations"][0]["result"][0]["value"]["choices"] = ["elm"]
    rows[DIFFER][0]["annotations"].pop()  # the second annotator's
    rows[UPDATED][0]["annotations"].clear()
    rows[CANCELLED][0]["annotations"].clear()
    taken = take_answers(session, rows, notes, rules)
    expected = {name: label for name, label in CERTAIN.items() if name != "note 4"}
    assert session.labeled == {**expected, "note 0": "elm", "note 2": "oak"}
    assert session.skipped == {} and taken.counts["taken back"] == 2
    assert session.votes["note 2"] == {str(rows[DIFFER][0]["annotations"][0]["completed_by"]): "oak"}


def test_a_label_that_was_changed_here_stays_when_the_annotation_goes(
    session: Session, rows: dict[int, list[dict[str, Any]]]
) -> None:
    notes, rules = notes_of(session), Rules("label", on_conflict="skip")
    take_answers(session, rows, notes, rules)
    session.relabel("note 0", "elm")
    take_answers(session, rows, notes, rules)
    assert session.labeled["note 0"] == "elm"
    rows[ONE][0]["annotations"].clear()
    take_answers(session, rows, notes, rules)
    assert session.labeled["note 0"] == "elm"


def test_a_class_that_is_none_is_named_and_the_rest_is_taken(
    session: Session, rows: dict[int, list[dict[str, Any]]]
) -> None:
    rows[ONE][0]["annotations"][0]["result"][0]["value"]["choices"] = ["beech"]
    taken = take_answers(session, rows, notes_of(session), Rules("label", on_conflict="skip"))
    assert "beech" in taken.refused[ONE] and str(rows[ONE][0]["id"]) in taken.refused[ONE]
    assert "note 0" not in session.labeled and session.labeled["note 3"] == "elm"


def test_labels_keep_the_type_that_the_session_has(tmp_path: Path, rows: dict[int, list[dict[str, Any]]]) -> None:
    session = Session.create(tmp_path / "n", [f"text {i}" for i in range(9)], classes=[1, 2], candidates="fast")
    rows[ONE][0]["annotations"][0]["result"][0]["value"]["choices"] = ["2"]
    take_answers(session, {ONE: rows[ONE]}, notes_of(session), Rules("label"))
    assert session.labeled == {0: 2}


def test_foreign_tasks_are_counted_and_those_there_twice_are_found() -> None:
    tasks = recorded("tasks")["tasks"]
    assert found_in(tasks, SESSION, 9).foreign == 1 and found_in(tasks, "another", 9).foreign == len(tasks)
    assert found_in(tasks, SESSION, 5).foreign == 5  # rows that no such pool has
    again = [{**task, "id": task["id"] + 1000, "annotations": []} for task in tasks]
    found = found_in([*again, *tasks], SESSION, 9)
    doubled = {task["id"] for task in found.doubles}
    assert len(doubled) == 9 and all(number > 1000 for number in doubled)  # of a row nobody has begun, the later one
    drafted = [{**task, "drafts": [{"id": 1}]} for task in again]
    assert {task["id"] for task in found_in([*drafted, *tasks], SESSION, 9).doubles} == {
        task["id"] for task in tasks if task["meta"].get("autoal", {}).get("row") == NONE
    }


def test_a_digest_changes_with_what_annotations_say_and_not_with_their_age() -> None:
    (annotation,) = recorded("tasks")["tasks"][ONE]["annotations"]
    assert digest_of([]) == ""
    assert digest_of([{**annotation, "created_ago": "3 weeks"}]) == digest_of([annotation])
    assert digest_of([{**annotation, "was_cancelled": True}]) != digest_of([annotation])


def test_tasks_fit_the_configuration_that_the_project_has(session: Session) -> None:
    controls = recorded("project")["parsed_label_config"]
    control = control_of(controls, None, regression=False)
    assert (control.name, control.field, control.labels) == ("label", "text", ("oak", "elm"))
    other = control_of(
        {"kind": {**controls["label"], "to_name": ["note"], "inputs": [{"type": "Text", "value": "body"}]}},
        None,
        regression=False,
    )
    query = session.ask(3)
    guesses = {query.ids[0]: ("elm", 0.75), query.ids[1]: ("beech", 0.9)}
    tasks = session_tasks(query, SESSION, 1, query.show, guesses, control=other)
    assert [task["data"]["body"] for task in tasks] == [f"text {row}" for row in query.indices]
    assert [task["meta"]["autoal"]["row"] for task in tasks] == query.indices.tolist()
    (guess,) = tasks[0]["predictions"]
    assert guess["score"] == 0.75 and guess["result"][0]["from_name"] == "kind" and tasks[1]["predictions"] == []
    with pytest.raises(InvalidInput, match="kind, label"):
        control_of({"kind": {}, "label": {}}, None, regression=False)
    with pytest.raises(InvalidInput, match="no control 'sort'"):
        control_of(controls, "sort", regression=False)
    with pytest.raises(InvalidInput, match="a number"):
        control_of(controls, None, regression=True)


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://localhost", "http://", "http://a:b@localhost:8080", "http://localhost:port"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        server_url(url)


def test_an_address_copied_from_the_browser_names_the_project() -> None:
    assert server_url("https://ls.example.org/tool/ ") == "https://ls.example.org/tool"
    with pytest.raises(InvalidInput, match=r"--label-studio http://localhost:8080 --project 3"):
        server_url("http://localhost:8080/projects/3/data?tab=4")


@pytest.mark.parametrize("key", ["", "  ", "two words", "schlüssel", "a\nb"])
def test_what_is_no_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Studio("http://localhost:8080", key)
    assert not key.strip() or key not in str(caught.value)


def test_the_command_says_what_is_missing(
    session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    serve = ["serve", str(session.folder), "--label-studio", "http://127.0.0.1:9"]
    for options, words in (
        ([], "one of --project N and --create TITLE"),
        (["--project", "1", "--create", "x"], "one of --project N and --create TITLE"),
        (["--project", "1"], "LABEL_STUDIO_API_KEY"),
        (["--project", "1", "--api-key-file", str(tmp_path / "none")], "cannot be read"),
        (["--project", "1", "--webhook-url", "http://x"], "--webhook PORT"),
    ):
        assert main([*serve, *options]) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_two_processes_do_not_serve_one_session(session: Session) -> None:
    with alone(session), pytest.raises(RunError, match="being served by another process"), alone(session):
        pass


def test_the_name_of_a_session_stays_when_its_folder_moves(session: Session, tmp_path: Path) -> None:
    name = session_name(session.folder)
    moved = session.folder.rename(tmp_path / "elsewhere")
    assert session_name(moved) == name
    other = Session.create(tmp_path / "other", np.zeros((9, 2)), candidates="fast")
    assert session_name(other.folder) != name


def test_the_bell_rings_for_its_token_alone() -> None:
    bell = Bell()
    try:
        port = int(bell.url.split(":")[2].split("/")[0])
        for token, path, body, status, rings in (
            ("", "/autoal", b"{}", 403, False),
            ("wrong", "/autoal", b"{}", 403, False),
            (bell.token, "/other", b"{}", 403, False),
            (bell.token, "/autoal", b"{" * 100_000, 204, True),
        ):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("POST", path, body, {HEADER: token})
            assert client.getresponse().status == status and bell.rung.is_set() == rings
            client.close()
    finally:
        bell.close()
    with pytest.raises(RunError, match="--webhook"):
        Bell(70_000)
