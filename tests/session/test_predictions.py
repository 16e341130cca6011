"""What the labels have brought: a model to keep, and what it says of every row."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC
from torch import nn

from autoal import Session
from autoal.cli import main
from autoal.errors import AutoALError, AutoALWarning, DataMissing, InvalidInput
from autoal.session import predictions
from tests.session.problems import NAMES, X, again, begun, truth


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Half of the points labeled, one of none of the classes, one pending."""
    made = begun(tmp_path / "s")
    made.tell(NAMES[:30], truth[:30])
    made.skip("p40")
    made.skip("p41", "illegible")
    made.ask(1)
    return made


def test_the_model_to_keep_is_the_users_own_on_the_users_labels(session: Session) -> None:
    kept = session.fit()
    assert isinstance(kept, LogisticRegression) and kept.classes_.tolist() == ["ash", "elm", "oak"]
    np.testing.assert_allclose(kept.coef_, LogisticRegression().fit(X[:30], truth[:30]).coef_, rtol=1e-6)
    assert session.predict()["predicted"].tolist() == kept.predict(X).tolist()


def test_every_row_is_there_with_what_people_said_first(session: Session) -> None:
    session.relabel("p03", "elm" if truth[3] != "elm" else "oak")  # the model will say otherwise, perhaps
    frame = session.predict()
    assert frame["id"].tolist() == NAMES and list(frame) == ["id", "label", "predicted", "confidence", "labeled"]
    by_id = frame.set_index("id")
    assert by_id.loc[list(session.labeled), "label"].to_dict() == session.labeled
    assert by_id["labeled"].sum() == 30 and by_id.loc["p40", "label"] is None
    others = by_id[~by_id["labeled"] & (by_id.index != "p40")]
    assert (others["label"] == others["predicted"]).all()
    probs = session.fit().predict_proba(X)
    np.testing.assert_allclose(frame["confidence"], probs.max(axis=1), rtol=1e-5)
    pd.testing.assert_frame_equal(again(session.folder).predict(), frame)


@pytest.mark.parametrize("names", [[7, 3, 1], [True, False], ["1", "2", "10"], [-1, 0, 2**40]])
def test_labels_are_of_the_users_type(tmp_path: Path, names: list[Any]) -> None:
    y = [names[row % len(names)] for row in range(len(X))]
    session = begun(tmp_path / "s", classes=names)
    session.tell(NAMES[:40], y[:40])
    frame = session.predict(tmp_path / "p.parquet")
    assert {type(value) for value in frame["label"].tolist()} == {type(names[0])}
    assert frame["label"].tolist()[:40] == y[:40] and set(frame["predicted"]) <= set(names)
    session.skip(NAMES[50])
    frame = session.predict(tmp_path / "p.parquet")
    assert pd.isna(frame["label"][50]) and frame["label"].tolist()[:40] == y[:40]
    read = pd.read_parquet(tmp_path / "p.parquet")
    assert read["label"].dropna().tolist() == frame["label"].dropna().tolist() and len(read) == 60


def test_a_regression_has_values_and_no_confidence(tmp_path: Path) -> None:
    y = 100 + 7 * X[:, 0].astype(float)
    session = begun(tmp_path / "s", model=LinearRegression(), task="regression", candidates="fast")
    session.tell(NAMES[:30], y[:30])
    frame = session.predict()
    assert list(frame) == ["id", "label", "predicted", "labeled"]
    np.testing.assert_allclose(frame["predicted"], y, rtol=1e-5)
    assert frame["label"].tolist()[:30] == y[:30].tolist()  # untouched, not rounded to float32


def test_a_model_without_probabilities_says_so(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", model=LinearSVC())
    session.tell(NAMES[:30], truth[:30])
    with pytest.warns(AutoALWarning, match="no predict_proba"):
        frame = session.predict()
    assert "confidence" not in frame and frame["predicted"].tolist() == session.fit().predict(X).tolist()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_network_to_keep_says_what_predict_says(tmp_path: Path, task: str) -> None:
    torch.manual_seed(0)
    own = nn.Sequential(nn.Linear(X.shape[1], 8), nn.ReLU(), nn.Linear(8, 3 if task == "classification" else 1))
    y: Any = truth if task == "classification" else 100 + 7 * X[:, 0].astype(float)
    for name, model in (("own", own), ("built-in", None)):
        session = begun(tmp_path / name, model=model, task=task, candidates="fast")
        session.tell(NAMES[:30], y[:30])
        kept, frame = session.fit(), session.predict()
        assert isinstance(kept, nn.Module) and not kept.training
        with torch.no_grad():
            said = kept(torch.from_numpy(np.asarray(X, dtype=np.float32)))
        if task == "classification":
            assert np.asarray(["ash", "elm", "oak"])[said.argmax(1)].tolist() == frame["predicted"].tolist()
        else:
            np.testing.assert_allclose(said.flatten(), frame["predicted"], rtol=1e-5)


def test_an_estimator_on_codes_says_what_they_stand_for(tmp_path: Path) -> None:
    class Coded(LogisticRegression):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            if np.asarray(y).dtype.kind not in "iu":
                raise ValueError("wanted 0, 1, 2")
            return super().fit(X, y)

    session = begun(tmp_path / "s", model=Coded())
    session.tell(NAMES[:30], truth[:30])
    with pytest.warns(AutoALWarning, match="predicts 0 for 'ash', 1 for 'elm', 2 for 'oak'"):
        session.fit()
    assert set(session.predict()["predicted"]) <= set(truth)


def test_too_little_to_fit_on_is_said(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    for call in (session.fit, session.predict):
        with pytest.raises(InvalidInput, match="got 0 labels; wanted some of two classes"):
            call()
    session.tell(NAMES[:2], ["oak", "oak"])
    with pytest.raises(InvalidInput, match="got 2 labels, all 'oak'"):
        session.predict()
    with pytest.raises(InvalidInput, match=r"needs the session's model, LogisticRegression.*Session.open"):
        Session.open(session.folder).predict()
    outputs = begun(tmp_path / "o", model=None)
    outputs.tell(NAMES[:30], truth[:30])
    outputs.ask(2, probs=np.full((60, 3), 1 / 3))
    with pytest.raises(InvalidInput, match="outputs of one of your own"):
        outputs.predict()


def test_a_file_that_cannot_be_is_refused_before_any_training(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any, **named: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("autoal.session.learned.trained", never)
    (tmp_path / "folder.csv").mkdir()
    for out in ("p.txt", "p", tmp_path / "folder.csv", 7):
        with pytest.raises(InvalidInput):
            session.predict(out)  # type: ignore[arg-type]
    with pytest.raises(DataMissing, match="make it first"):
        session.predict(tmp_path / "none" / "p.csv")


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_a_file_is_whole_or_the_old_one(session: Session, tmp_path: Path, name: str, monkeypatch: Any) -> None:
    frame = session.predict(tmp_path / name)
    read = pd.read_csv(tmp_path / name) if name == "p.csv" else pd.read_parquet(tmp_path / name)
    assert read["predicted"].tolist() == frame["predicted"].tolist() and os.listdir(tmp_path).count(name) == 1
    before = (tmp_path / name).read_bytes()

    def half(self: Any, path: Path, **named: Any) -> None:
        Path(path).write_bytes(b"id,lab")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", half)
    with pytest.raises(AutoALError, match="No space left"):
        session.predict(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before and sorted(os.listdir(tmp_path)) == [name, "s"]


def test_blocks_of_rows_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = begun(tmp_path / "s", model=RandomForestClassifier(10))
    session.tell(NAMES[:30], truth[:30])
    whole = session.predict()
    monkeypatch.setattr(predictions, "BLOCK", 7 * 12)
    pd.testing.assert_frame_equal(session.predict(), whole)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = begun(tmp_path / "s", model=None, X=np.hstack([X, X]))
    session.tell(NAMES[:30], truth[:30])
    assert main(["predict", str(session.folder), "--out", str(tmp_path / "p.csv")]) == 0
    assert "60 rows in" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "p.csv")["labeled"].sum() == 30
    for out in ("p.json", str(tmp_path / "none" / "p.csv")):
        assert main(["predict", str(session.folder), "--out", out]) == 2
    assert main(["predict", str(session.folder)]) == 2
