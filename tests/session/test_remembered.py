"""What a session knows of its earlier batches stands in its journal, once: a checkpoint does not grow with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from autoal import Session
from autoal.errors import RunError
from autoal.selectors.saving import save_selector
from tests.selectors.problems import QUICK
from tests.session.forged import forged
from tests.session.problems import NAMES, again, begun, named, truth

AUDIT: dict[str, Any] = {**QUICK, "audit": 0.5}


def rounds(session: Session, count: int) -> list[Any]:
    batches = []
    for _ in range(count):
        batches.append(session.ask(4))
        session.tell(batches[-1], named(batches[-1].ids))
    return batches


def told(folder: Path, search: Any = AUDIT) -> Session:
    session = begun(folder, search=search)
    session.tell(NAMES[:12], truth[:12])
    return session


def written(folder: Path) -> dict[str, int]:
    """Bytes of the checkpoint of the latest batch."""
    latest = max((folder / "checkpoints").glob("round-*"))
    return {path.name: path.stat().st_size for path in latest.iterdir()}


@pytest.mark.parametrize("search", [QUICK, AUDIT], ids=["without an audit", "with an audit"])
def test_an_ask_writes_no_more_after_many_rounds_than_after_few(tmp_path: Path, search: Any) -> None:
    session = begun(tmp_path / "s", search=search)
    session.tell(NAMES[:28], truth[:28])  # enough for a search, whose numbers a checkpoint holds from then on
    rounds(session, 2)
    few, journal = written(session.folder), (session.folder / "journal.jsonl").read_bytes()
    rounds(session, 5)
    many = written(session.folder)
    assert all(abs(many[name] - few[name]) < 100 for name in few)  # digits of numbers, and not rounds
    assert (session.folder / "journal.jsonl").read_bytes().startswith(journal)


def test_an_audit_knows_every_batch_whoever_asks_next(tmp_path: Path) -> None:
    straight, other = told(tmp_path / "straight"), told(tmp_path / "other").folder
    for number, batch in enumerate(rounds(straight, 5)):
        (same,) = rounds(again(other), 1)
        assert same == batch
        assert batch.diagnostics["audit"]["labels"] == 2 * number
    assert len(straight.selector.history_) == 5


def test_batches_that_are_asked_for_one_after_the_other_all_count(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    first, second = session.ask(4), session.ask(4)
    for batch in (first, second):
        session.tell(batch, named(batch.ids))
    assert session.ask(4).diagnostics["audit"]["labels"] == 4


def test_an_audit_survives_the_loss_of_what_the_search_remembers(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    rounds(session, 3)
    shutil.rmtree(session.folder / "checkpoints" / "round-0002")
    with pytest.warns(match="as if the search had just begun"):
        assert session.ask(4).diagnostics["audit"]["labels"] == 6


def test_a_session_whose_checkpoints_held_all_goes_on(tmp_path: Path) -> None:
    """As version 0.1.0 kept it: nothing in the lines, everything in each checkpoint."""
    session = told(tmp_path / "s")
    rounds(session, 3)
    old = tmp_path / "old"
    shutil.copytree(session.folder, old)
    save_selector(session.selector, old / "checkpoints" / "round-0002", None)
    keys = ("asked", "saved")
    forged(old, lambda lines: [{key: value for key, value in line.items() if key not in keys} for line in lines])
    for _ in range(3):
        (batch,), (same,) = rounds(session, 1), rounds(again(old), 1)
        assert same == batch
    assert written(old)["selector.json"] > written(session.folder)["selector.json"]  # those three, and no more


def test_a_line_whose_audit_does_not_fit_is_refused(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    rounds(session, 2)

    def shorter(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**line, "asked": {**line["asked"], "predicted": []}} if "asked" in line else line for line in lines]

    forged(session.folder, shorter)
    with pytest.raises(RunError, match="drawn at random and 0 predictions"):
        again(session.folder)
