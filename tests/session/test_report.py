"""The page of a session, and the figure it dares to give."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoal import Session
from tests.selectors.problems import QUICK
from tests.session.problems import NAMES, X, again, begun, named, truth


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Three rounds: one cold, two by AutoAL; one point skipped, four pending."""
    made = begun(tmp_path / "leaves")
    for size in (12, 4):
        batch = made.ask(size)
        made.tell(batch.ids[:-1], named(batch.ids[:-1]))
    made.skip(batch.ids[-1], "blurred & <small>")
    made.ask(3)
    return made


def test_a_page_needs_nothing_but_itself(session: Session) -> None:
    page = session.report().read_text()
    assert "<script" not in page and "http" not in page and 'src="data:image/png' in page
    assert html.escape("1 blurred & <small>") in page and "<small>blurred" not in page
    assert "14 of 60 points are labeled, after 3 rounds. Cross-validated accuracy" in page
    assert "no fair sample of the pool" in page
    assert all(f">{name}<" in page for name in ("oak", "elm", "ash")) and "typiclust" in page and "margin" in page
    labels = pd.read_csv(session.folder / "labels.csv")
    assert labels["state"].value_counts().to_dict() == {"labeled": 14, "pending": 4, "skipped": 1}


def test_estimates_are_by_round_and_computed_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = session.history()[2]
    assert [len(moment) for moment in moments] == [0, 11, 14, 14]
    found = session.cross_validate(moments)
    assert isinstance(found, pd.DataFrame) and found["labels"].tolist() == [11, 14]
    assert found["value"].between(0.5, 1).all() and (found["floor"] < found["value"]).all()

    def refuse(*arguments: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("autoal.session.estimate._estimate", refuse)
    same = again(session.folder).cross_validate(moments)
    assert isinstance(same, pd.DataFrame) and same.equals(found)


def test_without_the_model_there_is_a_page_that_says_so(session: Session) -> None:
    page = Session.open(session.folder).report().read_text()
    assert "There is no estimate. It needs the session&#39;s model, LogisticRegression" in page
    assert "It was left out." in session.report(estimate=False).read_text()


def test_a_new_session_has_a_page(tmp_path: Path) -> None:
    assert "0 of 60 points are labeled, after 0 rounds." in begun(tmp_path / "s").report().read_text()


def test_a_regression_has_a_page(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    session = Session.create(
        tmp_path / "s",
        X,
        task="regression",
        candidates=["kcenter"],
        model=LinearRegression(),
        ids=NAMES,
        random_state=0,
    )
    session.tell(NAMES[:20], X[:20].sum(1))
    session.ask(3)
    page = session.report().read_text()
    assert "RMSE" in page and "Labels of each class" not in page


def test_few_labels_and_rare_classes(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    session.tell(NAMES[:9], truth[:9])
    assert "It needs 10 labels or more" in session.report().read_text()
    session.tell(NAMES[9:12], ["yew", *truth[10:12]])  # one label of its class: in no training part when it is judged
    found = session.cross_validate(session.history()[2])
    assert isinstance(found, pd.DataFrame) and np.isfinite(found["value"]).all()


def test_an_audit_gives_a_fair_figure(tmp_path: Path) -> None:
    made = begun(tmp_path / "leaves", search={**QUICK, "audit": 0.5})
    for size in (12, 8, 8, 4):
        batch = made.ask(size)
        made.tell(batch.ids, named(batch.ids))
    page = again(made.folder).report(estimate=False).read_text()
    assert "The audit, with the labels of the last round: 5 chosen labels against as many random ones" in page
    assert "8 labels drawn at random are in" in page
