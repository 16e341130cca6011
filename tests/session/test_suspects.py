"""Labels that held-out predictions contradict, beside the library of the method's authors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression

from autoal import Session
from autoal.cli import main
from autoal.errors import AutoALWarning, InvalidInput
from autoal.session.names import alike
from autoal.session.suspects import confident_joint, margins, of_classes, of_targets, wrong_labels
from tests.session.problems import NAMES, X, begun, truth


def drawn(seed: int, n: int = 80, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels of which a fifth are not the likeliest class."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(classes, 0.4), n)
    labels = np.where(rng.random(n) < 0.8, probs.argmax(1), rng.integers(classes, size=n))
    labels[:classes] = np.arange(classes)
    return probs, labels


def test_the_confident_joint_by_hand() -> None:
    probs = np.asarray([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.6, 0.4]])
    labels = np.asarray([0, 0, 0, 1, 1])
    both = np.ones(2, dtype=bool)
    joint, counts_as = confident_joint(probs, labels, both)  # thresholds: 0.6 and 0.65
    assert counts_as.tolist() == [0, 0, 1, 1, 0] and joint.tolist() == [[2, 1], [1, 1]]
    assert wrong_labels(joint, labels) == 2  # a third of three, and half of two
    order, suggested, count = of_classes(probs, labels, both)
    assert order.tolist() == [2, 4, 1, 0, 3] and suggested.tolist() == [1, 1, 1, 0, 0] and count == 2


@pytest.mark.parametrize("seed", range(8))
def test_the_joint_and_the_number_are_those_of_cleanlab(seed: int) -> None:
    counts = pytest.importorskip("cleanlab.count")
    ranks = pytest.importorskip("cleanlab.rank")
    probs, labels = drawn(seed)
    judged = np.ones(4, dtype=bool)
    theirs, off = counts.compute_confident_joint(labels, probs, calibrate=False, return_indices_of_off_diagonals=True)
    joint, counts_as = confident_joint(probs, labels, judged)
    assert np.flatnonzero((counts_as >= 0) & (counts_as != labels)).tolist() == sorted(off)
    assert np.array_equal(joint - np.diag(joint.diagonal()), theirs - np.diag(np.diag(theirs)))
    number = counts.num_label_issues(labels, probs, estimation_method="off_diagonal_calibrated")
    assert abs(wrong_labels(joint, labels) - number) <= 2  # they round cells of the joint, we their sum
    scores = ranks.get_label_quality_scores(labels, probs, method="normalized_margin")
    assert np.array_equal(scores < 0.5, margins(probs, labels, judged) < 0)


def test_classes_that_are_not_judged_take_no_part() -> None:
    probs, labels = drawn(0)
    judged = np.asarray([True, True, True, False])
    order, suggested, _ = of_classes(probs, labels, judged)
    assert sorted(order) == np.flatnonzero(labels != 3).tolist() and not (suggested == 3).any()
    assert not confident_joint(probs, labels, judged)[0][3].any()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, dict[int, int]]:
    """300 labels, of which 15 are wrong, and what those should be."""
    rows, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(5)
    wrong = rng.choice(300, 15, replace=False)
    told = y[:300].copy()
    told[wrong] = (told[wrong] + rng.integers(1, 10, 15)) % 10
    model = LogisticRegression(max_iter=200)
    session = Session.create(tmp_path_factory.mktemp("digits") / "s", rows / 16, model=model, random_state=0)
    session.tell(np.arange(300), told)
    return session, {int(row): int(y[row]) for row in wrong}


def test_planted_labels_are_found_and_the_true_class_is_said(digits: tuple[Session, dict[int, int]]) -> None:
    session, wrong = digits
    worst = session.suspects(15)
    hits = worst[worst["id"].isin(list(wrong))]
    assert len(worst) == 15 and len(hits) >= 12
    assert np.mean([row.suggested == wrong[row.id] for row in hits.itertuples()]) >= 0.9
    assert all(type(value) is int for column in ("id", "label", "suggested") for value in worst[column].tolist())
    assert {row.id: row.label for row in worst.itertuples()}.items() <= session.labeled.items()
    contradicted = session.suspects()
    assert contradicted["contradicted"].all() and 8 <= len(contradicted) <= 40
    assert contradicted["id"].tolist()[:8] == worst["id"].tolist()[:8]
    pd.testing.assert_frame_equal(
        Session.open(session.folder, model=LogisticRegression(max_iter=200)).suspects(15), worst
    )


def test_rare_classes_are_left_out_and_said(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    session.tell(NAMES[:40], truth[:40])
    session.relabel("p00", "yew")
    with pytest.warns(AutoALWarning, match=r"1 class\(es\) with fewer than 5 labels are not judged: 'yew'"):
        frame = session.suspects(100)
    assert len(frame) == 39 and "yew" not in {*frame["label"], *frame["suggested"]}


def test_too_few_labels_are_an_error_that_counts_them(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    with pytest.raises(InvalidInput, match="got 0 labels"):
        session.suspects()
    session.tell(NAMES[:12], ["oak"] * 9 + ["elm"] * 3)
    with pytest.raises(InvalidInput, match="got 9 of oak, 3 of elm; wanted 5 labels or more of each of two classes"):
        session.suspects()
    for wrong in (0, -3, 2.0, True, "7"):
        with pytest.raises(InvalidInput, match="got n="):
            session.suspects(wrong)  # type: ignore[arg-type]


def test_class_names_written_in_two_ways_are_said(tmp_path: Path) -> None:
    assert alike(["cat", "Cat", "dog", "ice cream", "Ice-Cream", "ice_cream", 1, "cats", "c", "c++"]) == [
        ["cat", "Cat"],
        ["ice cream", "Ice-Cream", "ice_cream"],
    ]
    assert alike([1, 2, True]) == [] and alike(["1", "-1", "C", "C#"]) == []
    session = begun(tmp_path / "s")
    session.tell(NAMES[:40], truth[:40])
    with pytest.warns(AutoALWarning, match="nearly alike"):
        session.relabel("p00", str(truth[0]).upper())
    with pytest.warns(AutoALWarning, match="differ only in how|not judged") as caught:
        frame = session.suspects()
    assert any("relabel(id, label)" in str(one.message) for one in caught)
    assert [set(group) for group in frame.attrs["alike"]] == [{truth[0], truth[0].upper()}]


def test_a_value_far_from_its_prediction_is_suspect(tmp_path: Path) -> None:
    y = 100 + 7 * X[:, 0].astype(float) + np.random.default_rng(0).normal(0, 0.1, len(X))
    session = begun(tmp_path / "s", model=LinearRegression(), task="regression", candidates="fast")
    session.tell(NAMES[:9], y[:9])
    with pytest.raises(InvalidInput, match="got 9 labels; wanted 10"):
        session.suspects()
    session.tell(NAMES[9:40], y[9:40])
    session.relabel("p07", float(y[7] + 5))
    frame = session.suspects()
    assert (
        frame["id"].tolist()[0] == "p07" and abs(frame["suggested"][0] - y[7]) < 1.5 and len(session.suspects(3)) == 3
    )


def test_residuals_that_are_all_alike_contradict_nobody() -> None:
    assert not of_targets(np.zeros(12), np.ones(12)).any()
    scores: Any = of_targets(np.zeros(12), np.asarray([1.0] * 11 + [2.0]))
    assert (scores[:11] == 0).all() and scores[11] > 3.5


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = begun(tmp_path / "s", model=None)
    session.tell(NAMES[:40], truth[:40])
    session.relabel("p03", "elm" if truth[3] != "elm" else "ash")
    assert main(["suspects", str(session.folder), "--count", "3"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("id,label,suggested,") and len(out.splitlines()) == 4 and "3 most suspicious of 40" in err
    assert main(["suspects", str(session.folder), "--out", str(tmp_path / "s.csv")]) == 0
    assert "of 40 labels are contradicted" in capsys.readouterr().err and (tmp_path / "s.csv").is_file()
    assert main(["suspects", str(session.folder), "--out", str(tmp_path / "s.txt")]) == 2
