"""A batch that is chosen before the latest one is done depends on the journal, and not on the time it takes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from autoal.errors import InvalidInput, RunError
from autoal.session.ahead import choosing, due
from autoal.session.asking import Asking
from autoal.session.folder import Folder
from tests.session.problems import NAMES, X, again, begun, named


def answer(session: Any, ids: list[str]) -> None:
    for name in ids:
        session.tell(name, named([name])[0])


def test_the_next_batch_is_due_once_half_of_the_latest_is_answered(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    first = session.ask_ahead(5).ids.tolist()
    assert len(first) == 5
    assert session.ask_ahead(5) is None  # nothing is answered
    answer(session, first[:2])
    assert session.ask_ahead(5) is None
    session.skip(first[2])
    second = session.ask_ahead(5)
    assert len(second) == 5 and not set(second.ids) & set(first)
    assert session.ask_ahead(5) is None
    assert session.pending == [*first[3:], *second.ids]


def test_it_is_what_ask_would_have_given_then_whatever_came_in_since(tmp_path: Path) -> None:
    prompt, late, interrupted = (begun(tmp_path / name) for name in ("prompt", "late", "interrupted"))
    first = prompt.ask(6).ids.tolist()
    for session in (late, interrupted):
        assert session.ask_ahead(6).ids.tolist() == first
    for session in (prompt, late, interrupted):
        answer(session, first[:3])
    second = prompt.ask(6)
    answer(late, first[3:])
    late.tell("p59", "elm")
    assert late.ask_ahead(6) == second
    answer(interrupted, first[3:5])
    interrupted.relabel(first[0], None)  # half was answered once, and that is what counts
    assert again(interrupted.folder).ask_ahead(6) == second


def test_answers_come_in_while_it_is_being_chosen(tmp_path: Path, monkeypatch: Any) -> None:
    session = begun(tmp_path / "s")
    first = session.ask(6).ids.tolist()
    answer(session, first[:3])
    searching, go_on = threading.Event(), threading.Event()
    search = Asking._search

    def slowly(*arguments: Any) -> Any:
        searching.set()
        assert go_on.wait(60)
        return search(*arguments)

    monkeypatch.setattr(Asking, "_search", slowly)
    found: list[Any] = []
    chooser = threading.Thread(target=lambda: found.append(again(tmp_path / "s").ask_ahead(6)))
    chooser.start()
    assert searching.wait(60)
    answer(session, first[3:])
    taken = next(name for name in NAMES if name not in first)
    session.tell(taken, "oak")
    with pytest.raises(RunError, match="choosing the next batch"):
        again(tmp_path / "s").ask_ahead(6)
    go_on.set()
    chooser.join(120)
    assert len(session.pending) in (5, 6) and taken not in session.pending
    record = Folder(tmp_path / "s").read()[0][-1]
    assert record["event"] == "ask" and record["lines"] == 4 and record["ids"] == found[0].ids.tolist()
    assert set(session.labeled) == {*first, taken}


def test_a_batch_that_ask_chose_meanwhile_is_the_next(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    first = session.ask(4).ids.tolist()
    answer(session, first)
    session.ask(4)
    assert session.ask_ahead(4) is None and session.n_rounds == 2


def test_the_last_points_are_fewer_and_then_there_is_none(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", X=X[:6], ids=NAMES[:6])
    assert len(session.ask_ahead(4)) == 4
    answer(session, session.pending)
    assert len(session.ask_ahead(4)) == 2
    answer(session, session.pending)
    assert session.ask_ahead(4) is None
    with pytest.raises(InvalidInput):
        session.ask_ahead(0)


def test_the_report_counts_the_labels_that_a_batch_was_chosen_from(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    first = session.ask(6).ids.tolist()
    answer(session, first)
    session.ask_ahead(6)
    assert [len(labels) for labels in session.history()[2]] == [0, 3, 6]


def test_only_one_chooses_at_a_time(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    with choosing(Folder(session.folder)), pytest.raises(RunError, match="choosing the next batch"):
        again(session.folder).ask_ahead(3)
    assert due(Folder(session.folder).read()[0], session._ids) == 0
