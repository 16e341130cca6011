"""What becomes of an answer, and what is next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoal import Session
from autoal.errors import AutoALError, InvalidInput, UnknownName
from autoal.labeling.choosing import guesses_of
from autoal.labeling.desk import Superseded
from autoal.labeling.keys import RESERVED, keys_of
from autoal.labeling.options import Notes
from tests.labeling.problems import HOSTILE, AtOnce, Nobody, desk_of, picture_session


def answered(desk: Any, count: int) -> None:
    for _ in range(count):
        item = desk.view()["items"][0]
        desk.label(item["row"], item["name"].partition("-")[0])


def test_each_answer_is_in_the_journal_before_the_next_item(tmp_path: Path) -> None:
    session = picture_session(tmp_path, classes=["left", "right"])
    desk = desk_of(session)
    first, second, third, fourth = desk.view()["items"]
    desk.label(first["row"], "left")
    assert json.loads((session.folder / "journal.jsonl").read_text().splitlines()[-1])["labels"] == ["left"]
    desk.skip(second["row"], foreign=True)
    desk.skip(third["row"], foreign=False)
    view = desk.view()
    assert view["items"] == [fourth] and view["batch"] == {"number": 1, "size": 4, "done": 3}
    assert (view["counts"]["labeled"], view["counts"]["skipped"], view["counts"]["rejected"]) == (1, 2, 1)
    assert session.skipped == {second["name"]: "ood", third["name"]: "skipped in the page"}


def test_undo_brings_points_back_in_their_places(tmp_path: Path) -> None:
    desk = desk_of(picture_session(tmp_path, classes=["left", "right"]))
    rows = [item["row"] for item in desk.view()["items"]]
    for row in rows[:3]:
        desk.label(row, "left")
    desk.undo()
    desk.undo()
    assert [item["row"] for item in desk.view()["items"]] == rows[1:]
    desk.undo()
    assert not desk.view()["can_undo"]
    with pytest.raises(InvalidInput, match="none"):
        desk.undo()


def test_a_point_that_somebody_else_answered_is_not_answered_again(tmp_path: Path) -> None:
    session = picture_session(tmp_path, classes=["left", "right"])
    desk = desk_of(session)
    item = desk.view()["items"][0]
    session.reopened().tell(item["name"], "right")
    with pytest.raises(Superseded):
        desk.label(item["row"], "left")
    assert session.labeled == {item["name"]: "right"} and desk.view()["items"][0] != item


@pytest.mark.parametrize("row", [-1, 12, 10**9])
def test_only_rows_of_the_pool_are_taken(tmp_path: Path, row: int) -> None:
    desk = desk_of(picture_session(tmp_path))
    for act in (lambda: desk.label(row, "x"), lambda: desk.skip(row, foreign=True), lambda: desk.picture(row)):
        with pytest.raises(InvalidInput, match="row"):
            act()


def test_classes_are_named_in_the_page_and_stay_in_their_order(tmp_path: Path) -> None:
    session = picture_session(tmp_path)
    desk = desk_of(session)
    assert desk.view()["classes"] == [] and desk.view()["can_add"]
    for name in ("right", " left ", HOSTILE):
        desk.add_class(name)
    assert [one["name"] for one in desk.view()["classes"]] == ["right", "left", HOSTILE]
    for wrong in ("left", "", "  ", "a\0b", "\ud800"):
        with pytest.raises(AutoALError):
            desk.add_class(wrong)
    desk.label(desk.view()["items"][0]["row"], HOSTILE)
    again = desk_of(Session.open(session.folder))  # before any label of theirs came
    assert [one["name"] for one in again.view()["classes"]] == ["right", "left", HOSTILE]
    assert list(session.labeled.values()) == [HOSTILE]


def test_fixed_classes_take_no_other(tmp_path: Path) -> None:
    desk = desk_of(picture_session(tmp_path, classes=["left", "right"]))
    assert not desk.view()["can_add"]
    with pytest.raises(InvalidInput, match="fixed"):
        desk.add_class("up")
    with pytest.raises((InvalidInput, UnknownName)):
        desk.label(desk.view()["items"][0]["row"], "up")


@pytest.mark.parametrize("classes", [[1, 2], ["1", "2"], [True, False]])
def test_labels_keep_their_type(tmp_path: Path, classes: list[Any]) -> None:
    session = picture_session(tmp_path, classes=classes)
    desk = desk_of(session)
    desk.label(desk.view()["items"][0]["row"], str(classes[0]))
    (label,) = session.labeled.values()
    assert label == classes[0] and type(label) is type(classes[0])


def test_a_class_that_is_named_is_text_unless_labels_are_integers(tmp_path: Path) -> None:
    session = picture_session(tmp_path)
    desk = desk_of(session)
    desk.add_class("1")
    desk.add_class("unsure")
    desk.label(desk.view()["items"][0]["row"], "1")
    assert list(session.labeled.values()) == ["1"]
    with_integers = picture_session(tmp_path / "b")
    with_integers.tell(with_integers.ids[0], 3)
    desk = desk_of(with_integers)
    desk.add_class("7")
    assert desk.classes() == [7, 3] or desk.classes() == [3, 7]
    with pytest.raises(InvalidInput, match="int"):
        desk.add_class("unsure")


def test_numbers_are_labels_of_a_regression(tmp_path: Path) -> None:
    session = picture_session(tmp_path, task="regression", candidates=["kcenter"])
    desk = desk_of(session)
    view = desk.view()
    assert view["task"] == "regression" and view["classes"] == [] and not view["can_add"]
    desk.label(view["items"][0]["row"], "2.5")
    assert list(session.labeled.values()) == [2.5]
    for wrong in ("two", "", "inf", "nan"):
        with pytest.raises(InvalidInput):
            desk.label(view["items"][1]["row"], wrong)


def test_the_next_batch_comes_with_guesses_made_before_its_answers(tmp_path: Path) -> None:
    session = picture_session(tmp_path, n=30, classes=["left", "right"])
    desk = desk_of(session, AtOnce(session.reopened(), 6), batch_size=6)
    assert all(item["guess"] is None for item in desk.view()["items"])
    answered(desk, 6)
    view = desk.view()
    assert view["batch"]["number"] == 2 and view["phase"] == "labeling" and view["failed"] is None
    for item in view["items"]:
        assert item["guess"]["name"] in ("left", "right") and 0.5 <= item["guess"]["confidence"] <= 1
    assert set(guesses_of(session.folder)) == {1}
    answered(desk, 6)
    (said,) = desk.view()["says"]
    assert said.startswith("The model had guessed ") and "of your 6 answers to batch 2 beforehand" in said


def test_when_all_is_answered_the_page_says_so(tmp_path: Path) -> None:
    session = picture_session(tmp_path, n=5, classes=["left", "right"])
    desk = desk_of(session, AtOnce(session.reopened(), 4))
    answered(desk, 4)
    answered(desk, 1)
    view = desk.view()
    assert view["phase"] == "done" and view["items"] == [] and view["counts"]["labeled"] == 5
    desk.undo()
    assert desk.view()["phase"] == "labeling"


def test_while_nothing_is_there_yet_it_is_said_and_a_failure_too(tmp_path: Path) -> None:
    session = picture_session(tmp_path, classes=["left", "right"])
    nobody = Nobody()
    desk = desk_of(session, nobody)
    nobody.standing.take({"event": "looking"})
    answered(desk, 4)
    view = desk.view()
    assert view["phase"] == "choosing" and view["choosing"]["for"] >= 0
    nobody.standing.take({"event": "failed", "message": "no memory"})
    assert desk.view()["failed"] == "no memory" and desk.view()["choosing"] is None
    checks = nobody.checks
    desk.retry()
    assert nobody.checks == checks + 1


def test_an_audit_speaks_in_the_page(tmp_path: Path) -> None:
    session = picture_session(tmp_path, n=40, classes=["left", "right"], search={"audit": 0.25})
    desk = desk_of(session, AtOnce(session.reopened(), 8), batch_size=8)
    answered(desk, 24)
    assert any(said.startswith("The audit: ") for said in desk.view()["says"])


def test_keys_are_distinct_reserved_for_nothing_else_and_do_not_move() -> None:
    names = [f"class {n}" for n in range(40)]
    keys = keys_of(names)
    used = [key for key in keys if key is not None]
    assert keys[:9] == list("123456789") and len(used) == len(set(used)) == 30 and not RESERVED & set(used)
    assert all(keys_of(names[:n]) == keys[:n] for n in range(40))
    assert keys_of([str(n) for n in range(10)]) == [str(n) for n in range(10)]
    assert keys_of(["s", "é", "U", "B"]) == ["1", "2", "3", "b"]


def test_notes_are_whole_and_another_file_is_refused(tmp_path: Path) -> None:
    notes = Notes.read(tmp_path)
    notes.added = ["a", 3, True]
    notes.write()
    assert Notes.read(tmp_path) == notes
    for wrong in ("{", "[1]", '{"else": 1}'):
        (tmp_path / "label.json").write_text(wrong)
        with pytest.raises(AutoALError, match=r"label\.json"):
            Notes.read(tmp_path)


def test_arrays_are_labeled_too(tmp_path: Path) -> None:
    session = Session.create(tmp_path / "s", np.arange(24.0).reshape(12, 2), classes=["a", "b"], random_state=0)
    item = desk_of(session).view()["items"][0]
    assert item["fields"] == [["x0", str(2 * item["row"])], ["x1", str(2 * item["row"] + 1)]]
