"""Asking and telling: what is pending, what answers may be, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoal import Query, Session
from autoal.errors import AutoALError, AutoALWarning, DataMissing, InvalidInput, PoolExhausted, RunError
from autoal.session import Told
from tests.session.problems import NAMES, X, again, begun, model, named, truth


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Twelve points labeled, none pending."""
    made = begun(tmp_path / "s")
    made.tell(NAMES[:12], truth[:12])
    return made


def test_a_batch_is_pending_until_it_is_answered(session: Session) -> None:
    batch = session.ask(5)
    assert session.pending == batch.ids.tolist() and not set(session.pending) & set(NAMES[:12])
    more = session.ask(5)
    assert not set(batch.ids) & set(more.ids)
    assert session.tell(more.ids[::-1], named(more.ids[::-1])) == Told(5, 0, 0, 0)
    assert session.pending == batch.ids.tolist()
    assert session.tell(batch, named(batch.ids)) == Told(5, 0, 0, 0)
    assert session.pending == [] and session.n_rounds == 2 and len(session.labeled) == 22


def test_asking_takes_the_whole_pool_and_no_more(session: Session) -> None:
    session.skip("p20", "illegible")
    with pytest.raises(PoolExhausted, match="47 of 60 points are left: 12 are labeled, 0 pending, 1 skipped"):
        session.ask(48)
    assert len(set(session.ask(47).ids)) == 47
    with pytest.raises(PoolExhausted, match="0 of 60"):
        session.ask(1)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "5"])
def test_a_batch_size_is_a_number_of_points(session: Session, size: Any) -> None:
    with pytest.raises(InvalidInput):
        session.ask(size)
    assert session.n_rounds == 0


def test_without_labels_a_batch_is_of_typical_points(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    first = session.ask(3)
    assert "no labels" in first.diagnostics["cold_start"] and first.weights == {"typiclust": 1.0}
    assert len(set(named(first.ids))) == 3  # three clusters, one point of each
    session.tell(first.ids[0], named(first.ids[:1])[0])
    assert "one label" in session.ask(2).diagnostics["cold_start"]
    alike = [name for name in NAMES if named([name]) == named(first.ids[:1])][:3]
    session.tell(alike, named(alike))
    assert "labels so far are" in session.ask(2).diagnostics["cold_start"]
    session.tell(first, named(first.ids))
    assert "cold_start" not in session.ask(2).diagnostics


def test_a_wide_or_large_pool_starts_as_well(tmp_path: Path) -> None:
    wide = np.random.RandomState(0).rand(30, 10, 10)
    picked = Session.create(tmp_path / "w", wide, random_state=0).ask(4)
    assert len(set(picked)) == 4 and np.isfinite(picked.utilities[picked]).all()


def test_answers_may_be_of_points_never_asked_for(session: Session) -> None:
    session.ask(3)
    free = next(name for name in NAMES[12:] if name not in session.pending)
    assert session.tell(free, "oak") == Told(1, 0, 0, 0)
    frame = session.to_frame().set_index("id")
    assert frame.loc[free, "label"] == "oak" and frame.loc[free, "round"] is pd.NA
    assert list(frame["state"].value_counts()[["labeled", "pending"]]) == [13, 3]


def test_the_same_answer_again_changes_nothing(session: Session) -> None:
    size = (session.folder / "journal.jsonl").stat().st_size
    assert session.tell(NAMES[:12], truth[:12]) == Told(0, 12, 0, 0)
    assert session.tell([], []) == Told(0, 0, 0, 0)
    assert (session.folder / "journal.jsonl").stat().st_size == size


def test_another_answer_is_a_correction_that_says_so(session: Session) -> None:
    wrong = "oak" if truth[0] != "oak" else "elm"
    with pytest.raises(InvalidInput, match=r"'p00' has the label .* relabel\(id, label\)"):
        session.tell(["p30", "p00"], ["oak", wrong])
    assert "p30" not in session.labeled and session.labeled["p00"] == truth[0]
    assert session.relabel("p00", wrong) == Told(0, 0, 1, 0)
    assert session.tell(["p00", "p30"], [truth[0], "oak"], correct=True) == Told(1, 0, 1, 0)
    assert session.labeled["p00"] == truth[0]
    session.relabel("p00", None)
    assert "p00" not in session.labeled and session.status()["left"] == 60 - 12


@pytest.mark.parametrize(
    ("ids", "labels", "said"),
    [
        (["p20", "p99"], ["oak", "elm"], "'p99'"),
        (["p20", "p20"], ["oak", "elm"], "twice"),
        (["p20", "p21"], ["oak", None], "'p21': the label is missing"),
        (["p20"], [float("nan")], "missing"),
        (["p20"], [7], "labels so far are str"),
        (["p20", "p21"], ["oak"], "2 ids and 1 labels"),
        ([2.5], ["oak"], "2.5"),
        ([None], ["oak"], "None"),
        (7j, ["oak"], "ids of type complex"),
    ],
)
def test_a_wrong_answer_leaves_nothing_written(session: Session, ids: Any, labels: Any, said: str) -> None:
    before = (session.folder / "journal.jsonl").read_bytes()
    with pytest.raises(AutoALError, match=said):
        session.tell(ids, labels)
    assert (session.folder / "journal.jsonl").read_bytes() == before and "p20" not in session.labeled


def test_skipped_points_are_not_asked_for_and_ood_ones_are_learned_from(session: Session) -> None:
    batch = session.ask(6)
    assert session.skip(batch.ids[:2]) == Told(0, 0, 0, 2)
    assert session.skip(batch.ids[2], reason="illegible") == Told(0, 0, 0, 1)
    assert session.skip(batch.ids[:2]) == Told(0, 2, 0, 0)
    assert session.skipped == {batch.ids[0]: "ood", batch.ids[1]: "ood", batch.ids[2]: "illegible"}
    assert session.pending == batch.ids[3:].tolist()
    everything = session.ask(60 - 12 - 6)
    assert not set(everything.ids) & set(batch.ids)
    assert session.selector is not None and len(session.selector.pool_.rejected) == 2
    with pytest.raises(InvalidInput, match="has the label"):
        session.skip("p00")
    session.tell(batch.ids[0], "oak")  # it was of a class after all
    assert batch.ids[0] not in session.skipped


def test_a_new_class_is_legal_unless_classes_were_fixed(session: Session, tmp_path: Path) -> None:
    session.tell("p40", "yew")
    assert len(session.ask(3).ids) == 3 and session.status()["classes"] == 4
    fixed = begun(tmp_path / "fixed", classes=["oak", "elm", "ash"])
    with pytest.raises(AutoALError, match="did you mean 'ash'"):
        fixed.tell(["p00", "p01"], ["oak", "ashe"])
    assert fixed.labeled == {}


def test_labels_and_ids_may_be_integers(tmp_path: Path) -> None:
    codes = np.unique(truth, return_inverse=True)[1]
    session = Session.create(tmp_path / "s", X, candidates=["margin"], model=model(), random_state=0)
    session.tell(np.arange(9), codes[:9])
    session.tell("9", np.int64(codes[9]))  # ids come back from files as text
    batch = session.ask(4)
    assert batch.ids.dtype.kind == "i" and session.labeled[9] == codes[9]
    session.tell(batch, pd.Series(codes[batch], dtype=float))  # a column with gaps turns into floats
    with pytest.raises(InvalidInput, match="-1"):
        session.tell(40, -1)
    rows, labels = session.training_set()
    assert np.array_equal(labels, codes[rows]) and labels.dtype.kind == "i" and len(rows) == 14


def test_what_is_labeled_already_is_passed_at_the_start(tmp_path: Path) -> None:
    y = np.full(60, None, dtype=object)
    y[:12] = truth[:12]
    session = begun(tmp_path / "a", y=y)
    other = begun(tmp_path / "b", y=truth[:12], labeled=np.arange(12))
    assert session.labeled == other.labeled and len(session.labeled) == 12
    assert session.ask(4) == other.ask(4)
    with pytest.raises(InvalidInput, match="length 12"):
        begun(tmp_path / "c", y=truth[:12])
    assert not (tmp_path / "c").exists()


def test_a_regression_takes_numbers(tmp_path: Path) -> None:
    session = Session.create(tmp_path / "s", X, task="regression", candidates=["kcenter"], random_state=0, ids=NAMES)
    assert "cold_start" in session.ask(2).diagnostics
    session.tell(NAMES[:10], X[:10].sum(1))
    session.tell("p30", -1)
    assert "cold_start" not in session.ask(2).diagnostics
    with pytest.raises(InvalidInput, match="regression"):
        session.tell("p31", "oak")
    with pytest.raises(InvalidInput, match="ood"):
        session.skip("p31")
    session.skip("p31", "broken")


def test_a_pending_batch_can_be_had_again(session: Session) -> None:
    batch = session.ask(5)
    same = again(session.folder).pending_query()
    assert same.ids.tolist() == batch.ids.tolist() and same.weights == batch.weights
    assert same.to_frame().equals(batch.to_frame())
    session.tell(batch.ids[1:3], named(batch.ids[1:3]))
    later = session.ask(2)
    left = session.pending_query()
    assert left.ids.tolist() == [*batch.ids[[0, 3, 4]], *later.ids]
    assert left.utilities[left.indices].tolist() == [
        *batch.utilities[batch.indices[[0, 3, 4]]], *later.utilities[later.indices]
    ]  # fmt: skip
    assert isinstance(left, Query) and set(left.votes) == {"margin", "kcenter"}


def test_outputs_of_a_model_of_ones_own_may_be_passed(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", model=None)
    session.tell(NAMES[:12], truth[:12])
    probs = np.full((60, 3), 1 / 3)
    assert len(session.ask(3, probs=probs, embeddings=X)) == 3
    with pytest.raises(InvalidInput):
        session.ask(3, probs=probs[:5])
    assert session.n_rounds == 1


def test_costs_are_kept(tmp_path: Path) -> None:
    costs = np.ones(60)
    costs[:30] = 1000.0
    session = begun(tmp_path / "s", costs=costs)
    session.tell(NAMES[:6] + NAMES[30:36], np.concatenate([truth[:6], truth[30:36]]))
    assert (again(session.folder).ask(8).indices >= 30).all()
    with pytest.raises(InvalidInput, match="costs"):
        begun(tmp_path / "t", costs=costs[:3])


def test_a_session_that_asks_without_its_model_says_so(session: Session) -> None:
    blind = Session.open(session.folder)
    assert blind.tell("p20", "oak") == Told(1, 0, 0, 0)
    with pytest.raises(InvalidInput, match="LogisticRegression"):
        blind.ask(3)


def test_another_model_is_taken_with_a_warning(session: Session) -> None:
    from sklearn.linear_model import LogisticRegression

    with pytest.warns(AutoALWarning, match="C=0.5"):
        other = Session.open(session.folder, model=LogisticRegression(C=0.5))
    other.ask(3)
    Session.open(session.folder, model=LogisticRegression(C=0.5))  # is that of the latest batch by now


def test_other_versions_are_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoal.session.opened.versions", lambda: {"torch": "0.1"})
    with pytest.warns(AutoALWarning, match="torch"):
        again(session.folder)


def test_folders_that_are_no_sessions(session: Session, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no session"):
        Session.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match="already"):
        begun(session.folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is no session"):
        begun(tmp_path / "full")
    (tmp_path / "empty").mkdir()
    assert len(begun(tmp_path / "empty")) == 60


@pytest.mark.parametrize(
    "arguments",
    [
        {"ids": ["a"] * 60},
        {"ids": [0.5 + i for i in range(60)]},
        {"ids": [*range(59), "7"]},
        {"candidates": ["marginn"]},
        {"mode": "guess"},
        {"random_state": "seven"},
        {"classes": ["oak"]},
        {"task": "regression", "classes": ["oak", "elm"]},
        {"labeled": [1, 2]},
        {"time_limit": -1},
    ],
)
def test_what_cannot_be_is_refused_before_there_is_a_folder(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(AutoALError):
        begun(tmp_path / "s", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_it_says_where_it_stands(session: Session) -> None:
    session.ask(3)
    assert session.status() == {
        "points": 60, "labeled": 12, "pending": 3, "skipped": 0, "left": 45, "rounds": 1, "classes": 3
    }  # fmt: skip
    assert "12 labeled, 3 pending" in repr(session) and len(session) == 60 and session.task == "classification"
