"""Taking answers back: all is as it was before them, and what follows is what would have followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoal import Session
from autoal.cli import main
from autoal.errors import AutoALError, InvalidInput, RunError
from tests.session.forged import forged
from tests.session.killed import told
from tests.session.problems import NAMES, again, begun, named, truth


def standing(session: Session) -> tuple[Any, ...]:
    """All that a session knows of its points, orders included."""
    return list(session.labeled.items()), session.pending, list(session.skipped.items()), session.status()


def test_the_last_answers_are_taken_back_latest_first(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    batch = session.ask(4).ids.tolist()
    before = standing(session)
    session.tell(batch[2], "oak")
    session.skip(batch[0], "illegible")
    session.tell([batch[3], batch[1]], ["elm", "ash"])
    assert session.undo() == [batch[1]] and session.pending == [batch[1]]
    assert session.undo(3) == [batch[3], batch[0], batch[2]]
    assert standing(session) == before == standing(again(session.folder))


def test_a_correction_undone_is_the_earlier_answer(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    session.relabel("p00", "yew")
    session.skip("p30", "blur")
    session.skip("p30", "ood")
    session.relabel("p05", None)
    session.relabel("p30", "oak")
    after = [standing(session)]
    assert session.undo() == ["p30"] and session.skipped == {"p30": "ood"}
    assert session.undo() == ["p05"] and list(session.labeled) == NAMES[:12]  # where it was among them
    assert session.undo() == ["p30"] and session.skipped == {"p30": "blur"}
    assert session.undo(2) == ["p30", "p00"] and session.labeled["p00"] == truth[0]
    assert session.skipped == {} and "p30" not in session.pending  # nobody had asked for it
    for name, label in [("p00", "yew"), ("p05", None), ("p30", "oak")]:
        session.relabel(name, label)
    assert standing(session) == after[0]


def test_nothing_to_take_back_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", y=[*truth[:5], *[None] * 55])
    with pytest.raises(InvalidInput, match="there are none; tell one first"):  # the beginning is no answer
        session.undo()
    session.tell("p30", "oak")
    session.tell("p30", "oak")  # a repetition is none either
    size = (session.folder / "journal.jsonl").stat().st_size
    with pytest.raises(InvalidInput, match=r"got n=2 .* there are 1 of them; take back 1 or fewer"):
        session.undo(2)
    for wrong in (0, -1, 1.0, True, "1", None):
        with pytest.raises(InvalidInput, match="got n="):
            session.undo(wrong)  # type: ignore[arg-type]
    assert (session.folder / "journal.jsonl").stat().st_size == size
    assert session.undo() == ["p30"] and len(session.labeled) == 5
    with pytest.raises(InvalidInput, match="none"):
        again(session.folder).undo()


def test_the_batch_after_an_undo_is_that_of_a_session_without_it(tmp_path: Path) -> None:
    plain, undoing = told(tmp_path / "plain"), told(tmp_path / "undoing")
    for _ in range(2):
        batch = plain.ask(4)
        assert undoing.ask(4) == batch
        plain.tell(batch.ids[:3], named(batch.ids[:3]))
        undoing.tell(batch.ids[:2], named(batch.ids[1:3]))
        undoing.skip(batch.ids[3])
        undoing.undo(3)
        assert undoing.pending_query().ids.tolist() == [*plain.pending[:-1], *batch.ids]
        undoing.tell(batch.ids[:3], named(batch.ids[:3]))
        undoing = again(undoing.folder)
    assert standing(undoing) == standing(plain)
    assert undoing.ask(5) == plain.ask(5)


def test_what_was_asked_for_stays_asked_for(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    first = session.ask(3)
    session.tell(first, named(first.ids))
    second = session.ask(3)
    session.undo(2)
    assert session.pending == [*first.ids[1:], *second.ids] and session.n_rounds == 2
    assert not {*session.ask(3).ids} & {*first.ids, *second.ids}


def test_a_point_asked_for_while_its_answer_was_away_is_pending(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    session.relabel("p00", None)
    everything = session.ask(49).ids.tolist()
    assert "p00" in everything
    session.undo()
    assert "p00" in session.labeled and "p00" not in session.pending and len(session.pending) == 48
    session.undo(12)
    assert session.pending == everything and standing(again(session.folder)) == standing(session)


def test_an_undo_that_does_not_fit_its_journal_is_noticed(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    session.undo()
    forged(session.folder, lambda lines: [*lines[:-1], {**lines[-1], "ids": ["p03"]}])
    with pytest.raises(RunError, match="changed from outside"):
        again(session.folder)


STEPS = st.tuples(
    st.sampled_from(["tell", "tell", "skip", "take back", "undo"]),
    st.integers(0, 7),
    st.sampled_from(["oak", "elm", "ood", "blur"]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=14))
def test_an_undo_is_the_answer_not_given(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("undo")
    session = begun(folder / "s")
    session.ask(3)
    stood: list[Any] = []  # before each answer
    for kind, row, word in steps:
        size = (session.folder / "journal.jsonl").stat().st_size
        before = standing(session)
        try:
            if kind == "tell":
                session.tell(NAMES[row], word, correct=True)
            elif kind == "skip":
                session.skip(NAMES[row], word)
            elif kind == "take back":
                session.relabel(NAMES[row], None)
            else:
                session.undo()
        except AutoALError:
            continue
        if kind == "undo":
            assert standing(session) == stood.pop()
        elif (session.folder / "journal.jsonl").stat().st_size > size:
            stood.append(before)
        opened = again(session.folder)
        assert standing(opened) == standing(session) and opened.to_frame().equals(session.to_frame())


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = told(tmp_path / "s")
    name = session.ask(1).ids[0]
    session.tell(name, "elm")
    session.relabel("p00", "[bold]yew")
    session.relabel("p00", "yew")
    assert main(["undo", str(session.folder), "--count", "3"]) == 0
    out = capsys.readouterr().out
    assert f"{name}: open again" in out and f"p00: labeled {str(truth[0])!r} again" in out
    assert "3 taken back; 12 labeled, 1 pending" in out
    assert main(["undo", str(session.folder), "--count", "99"]) == 2
    assert "got n=99" in capsys.readouterr().err
    assert main(["undo", str(session.folder), "--count", "0"]) == 2
    assert main(["undo", str(tmp_path / "none")]) == 2
