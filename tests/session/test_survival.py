"""A process may die at any moment: nothing told is lost, and the next batch is the one it would have been."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoal import AutoAL, Session
from autoal.errors import AutoALError, AutoALWarning, RunError
from tests.session.forged import forged, head_at
from tests.session.killed import told
from tests.session.problems import NAMES, again, begun, named, truth


def some_rounds(session: Session, rounds: int, reopen: bool) -> list[list[str]]:
    """The batches of so many rounds, a part of each answered."""
    batches = []
    for _ in range(rounds):
        batch = session.ask(4)
        batches.append(batch.ids.tolist())
        session.tell(batch.ids[:3], named(batch.ids[:3]))
        session = again(session.folder) if reopen else session
    return batches


def test_a_session_opened_again_each_round_asks_the_same(tmp_path: Path) -> None:
    kept = some_rounds(told(tmp_path / "kept"), 4, reopen=False)
    assert kept == some_rounds(told(tmp_path / "opened"), 4, reopen=True)


def test_answers_in_another_order_lead_to_the_same_batch(tmp_path: Path) -> None:
    one, other = begun(tmp_path / "one"), begun(tmp_path / "other")
    one.tell(NAMES[:12], truth[:12])
    for name in reversed(NAMES[:12]):
        other.tell(name, named([name])[0])
    assert one.ask(5) == other.ask(5)


def test_a_killed_process_changes_no_later_batch(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "tests.session.killed", str(tmp_path)]
    found = subprocess.run(arguments, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_an_interrupted_ask_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, other = told(tmp_path / "s"), told(tmp_path / "other")

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("autoal.session.folder.Folder.append", stop)
        session.ask(4)
    session.tell("p40", named(["p40"])[0])
    other.tell("p40", named(["p40"])[0])
    assert session.ask(4) == other.ask(4)


def test_a_journal_cut_at_any_byte_is_recovered_and_said(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    session.ask(3)
    kept = (session.folder / "journal.jsonl").read_bytes()
    state = (session.labeled, session.pending)
    session.tell("p59", "oak")
    session.skip("p58", "illegible")
    whole = (session.folder / "journal.jsonl").read_bytes()
    middle = whole.index(b"\n", len(kept)) + 1
    for end in range(len(kept), len(whole)):
        (session.folder / "journal.jsonl").write_bytes(whole[:end])
        head_at(session.folder, whole[:end].count(b"\n"))
        if end in (len(kept), middle):
            opened = again(session.folder)
        else:
            with pytest.warns(AutoALWarning, match="middle of a line"):
                opened = again(session.folder)
        labeled, pending = state
        assert opened.labeled == (labeled if end < middle else {**labeled, "p59": "oak"})
        assert opened.pending == pending and opened.skipped == {}
        assert (session.folder / "journal.jsonl").read_bytes() == (kept if end < middle else whole[:middle])


def test_writing_goes_on_after_a_cut(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    with open(session.folder / "journal.jsonl", "ab") as file:
        file.write(b'{"event":"tell","ids":["p50"')
    with pytest.warns(AutoALWarning, match="middle of a line"):
        session.tell("p51", "oak")  # by the process that has it open
    assert "p51" in again(session.folder).labeled


def test_a_journal_changed_in_its_middle_is_refused(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    session.tell("p51", "oak")
    lines = (session.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (session.folder / "journal.jsonl").write_bytes(b"{}}\n" + b"".join(lines))
    with pytest.raises(RunError, match="line 1 of 3"):
        again(session.folder)
    (session.folder / "journal.jsonl").write_bytes(b'{"event":"tell","ids":["q7"],"labels":["oak"]}\n')
    with pytest.raises(RunError, match="carries no hash"):
        again(session.folder)
    (session.folder / "journal.jsonl").write_bytes(b"".join(lines))
    forged(session.folder, lambda lines: [{"event": "tell", "ids": ["q7"], "labels": ["oak"]}])
    with pytest.raises(RunError, match="line 1 holds what does not belong"):
        again(session.folder)


def test_two_processes_take_turns(tmp_path: Path) -> None:
    one = told(tmp_path / "s")
    other = again(one.folder)
    batch = one.ask(4)
    assert other.pending == batch.ids.tolist()
    other.tell(batch, named(batch.ids))
    assert one.pending == [] and len(one.labeled) == 16
    assert not set(other.ask(4).ids) & set(batch.ids)
    assert one.n_rounds == 2


def test_one_who_works_without_a_pause_does_not_keep_others_out(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "tests.session.turns", str(tmp_path / "s")]
    found = subprocess.run(arguments, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    failed, longest = found.stdout.split()
    assert failed == "0" and float(longest) < 5.0


def test_answers_are_taken_while_a_batch_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, alone = told(tmp_path / "s"), told(tmp_path / "alone")
    expected = alone.ask(4)
    free = next(name for name in NAMES[12:] if name not in expected.ids)
    chosen = AutoAL.fit_query
    times = 0

    def telling(self: AutoAL, *arguments: Any, **named: Any) -> Any:
        nonlocal times
        times += 1
        again(session.folder).tell(free if times == 1 else "p59", "oak")
        return chosen(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(AutoAL, "fit_query", telling)
        batch = session.ask(4)
    assert batch == expected and times == 1, "the one that the labels at its beginning lead to"
    assert session.labeled[free] == "oak" and session.pending == batch.ids.tolist()
    assert again(session.folder).pending == session.pending


def test_a_batch_whose_points_are_answered_meanwhile_is_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, alone = told(tmp_path / "s"), told(tmp_path / "alone")
    first = alone.ask(4).ids.tolist()
    chosen = AutoAL.fit_query
    answered: list[Any] = []

    def answering(self: AutoAL, *arguments: Any, **named: Any) -> Any:
        found = chosen(self, *arguments, **named)
        if not answered:
            answered.extend(found.ids[:1])
            again(session.folder).tell(found.ids[0], "oak")
        return found

    monkeypatch.setattr(AutoAL, "fit_query", answering)
    batch = session.ask(4)
    assert answered == first[:1] and len(set(batch.ids)) == 4 and not set(batch.ids) & set(answered)
    assert again(session.folder).pending == batch.ids.tolist()


def test_one_who_writes_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = told(tmp_path / "s")
    monkeypatch.setattr("autoal.session.folder.WAIT_S", 0.0)
    with session._folder.lock():
        opened = again(session.folder)  # looking is allowed
        assert len(opened.labeled) == 12
        with pytest.raises(RunError, match="another process"):
            opened.tell("p40", "oak")


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    folder = told(tmp_path / "s").folder

    def tell(names: list[str]) -> None:
        mine = again(folder)
        for name in names:
            mine.tell(name, named([name])[0])

    threads = [threading.Thread(target=tell, args=(NAMES[12 + i :: 4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(again(folder).labeled) == 60


KINDS = st.sampled_from(["tell", "wrong", "skip", "relabel", "take back"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(KINDS, st.integers(0, 7), st.sampled_from(["oak", "elm", "ood", "blur"])), max_size=12))
def test_whatever_happens_a_replay_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    session = begun(tmp_path_factory.mktemp("replay") / "s")
    session.ask(3)
    for kind, row, word in steps:
        try:
            if kind == "tell":
                session.tell(NAMES[row], word)
            elif kind == "wrong":
                session.tell([NAMES[row], "nobody"], [word, word])
            elif kind == "skip":
                session.skip(NAMES[row], word)
            else:
                session.relabel(NAMES[row], word if kind == "relabel" else None)
        except AutoALError:
            pass
        opened = Session.open(session.folder)
        assert opened.labeled == session.labeled and list(opened.labeled) == list(session.labeled)
        assert opened.skipped == session.skipped and opened.pending == session.pending
        assert opened.to_frame().equals(session.to_frame())
    status = session.status()
    assert status["labeled"] + status["pending"] + status["skipped"] + status["left"] == 60
    assert len({*session.labeled, *session.pending, *session.skipped}) == 60 - status["left"]


def test_a_module_with_other_weights_is_noticed(tmp_path: Path) -> None:
    import torch
    from torch import nn

    def net(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Linear(4, 3)

    session = begun(tmp_path / "s", model=net(0))
    Session.open(session.folder, model=net(0))
    with pytest.warns(AutoALWarning, match="other weights"):
        Session.open(session.folder, model=net(1))


def test_a_generator_of_numpy_is_no_seed_of_a_session(tmp_path: Path) -> None:
    with pytest.raises(AutoALError, match="random_state"):
        begun(tmp_path / "s", random_state=np.random.default_rng(0))
    assert os.listdir(tmp_path) == []
