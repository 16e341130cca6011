"""What a session says of the labels to come."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from autoal import Session
from autoal.cli import main
from autoal.errors import AutoALWarning, ConfigError, InvalidInput, UnknownName
from autoal.session.outlook import Outlook, outlook_of
from autoal.stopping import DEFAULT, Round
from tests.session.forged import as_version_0_1_0, forged
from tests.session.problems import NAMES, X, again, begun, named


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = begun(tmp_path_factory.mktemp("s") / "leaves")
    for size in (12, 5, 5, 5, 5):
        batch = made.ask(size)
        made.tell(batch, named(batch.ids))
    return made.folder


@pytest.fixture
def session(tmp_path: Path, folder: Path) -> Session:
    """A cold batch, and four by a model; all are answered."""
    return again(Path(shutil.copytree(folder, tmp_path / "leaves")))


def test_a_new_session_cannot_tell(tmp_path: Path) -> None:
    found = begun(tmp_path / "s").outlook()
    assert found.stop is None and found.gain is None and found.labels == found.rounds == 0
    assert found.says == "With 0 labels and 0 batches that the model chose it is too early to say whether to stop."


def test_the_sentence_says_gain_interval_stability_and_advice(session: Session) -> None:
    found = session.outlook(10)
    assert found.ahead == 10 and found.labels == 32 and found.rounds == 4
    assert found.gain is not None and found.low is not None and found.high is not None
    assert 0 <= found.low <= found.gain <= found.high <= 1 and found.stop is not None
    assert (
        found.says.startswith("The next 10 labels are expected to add ")
        and " points of accuracy (80 % interval " in found.says
    )
    assert str(found) == found.says and found.says.endswith(" is reasonable.") and found.to_json()["stop"] is found.stop


def test_the_same_journal_gives_the_same_outlook_and_trains_once(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = session.outlook()
    monkeypatch.setattr("autoal.session.estimate._estimate", None)
    assert session.outlook() is found
    assert again(session.folder).outlook() == found
    monkeypatch.undo()
    batch = session.ask(3)
    assert session.outlook().rounds == found.rounds + 1
    session.tell(batch, named(batch.ids))
    assert session.outlook().labels == found.labels + 3


def test_without_the_model_stability_is_still_known(session: Session) -> None:
    found = Session.open(session.folder).outlook()
    assert "without cross-validation: it needs the session's model" in found.says and found.stop is not None
    assert session.outlook(estimate=False).stop == found.stop


def test_rules_by_name(session: Session) -> None:
    assert session.outlook(rule="budget(labels=32)").stop is True
    assert session.outlook(rule="budget(labels=33)").stop is False
    both = session.outlook(rule="budget(labels=32) & stable_predictions(threshold=-1)")
    assert both.stop is True and both.rule == "budget(labels=32) & stable_predictions(threshold=-1)"
    with pytest.raises(UnknownName, match="did you mean 'budget'"):
        session.outlook(rule="buget")
    with pytest.raises(ConfigError, match="got labels=0"):
        session.outlook(rule="budget(labels=0)")
    with pytest.raises(InvalidInput, match="labels=0"):
        session.outlook(0)


def test_where_no_point_is_left_it_says_to_stop(session: Session) -> None:
    session.tell(session.ask(28), named(session.pending))
    assert session.outlook().stop is True and "nothing left to ask" in session.outlook().says


def test_a_regression_has_an_outlook(tmp_path: Path) -> None:
    session = Session.create(
        tmp_path / "s", X, task="regression", candidates=["kcenter"], model=LinearRegression(), ids=NAMES,
        random_state=0,
    )  # fmt: skip
    session.tell(NAMES[:12], X[:12].sum(1) + X[:12, 0] ** 2)
    for _ in range(4):
        batch = session.ask(5)
        rows = [NAMES.index(name) for name in batch.ids]
        session.tell(batch, X[rows].sum(1) + X[rows, 0] ** 2)
    found = session.outlook()
    assert "% off the error (RMSE; 80 % interval" in found.says and found.stop is not None


def test_sessions_of_earlier_versions_have_one(session: Session) -> None:
    """Their batches hold nothing of it."""
    forged(session.folder, lambda lines: [{k: v for k, v in line.items() if k != "stopping"} for line in lines])
    as_version_0_1_0(session.folder)
    with pytest.warns(AutoALWarning, match="no hashes"):
        old = again(session.folder)
    assert old.outlook().stop is None and old.outlook().rounds == 0
    batch = old.ask(4)
    old.tell(batch, named(batch.ids))
    assert old.outlook().rounds == 1


def test_the_report_shows_it(session: Session) -> None:
    page = session.report().read_text()
    assert "When to stop" in page and session.outlook().says in page


def rounds_on(
    rng: np.random.Generator, top: float, first: float, c: float
) -> tuple[list[Round], Callable[[float], float]]:
    """Ten batches of 50 on the curve top - b n^-c: cross-validated values with the noise of as many labels, and models
    that move as the curve does; and the curve."""
    b = (top - first) * 50**c

    def curve(n: float) -> float:
        return float(top - b * n**-c)

    found, own = [], rng.random(500)
    for n in range(50, 501, 50):
        drawn = np.where(rng.random(n) < 0.3, rng.random(n), own[:n])
        moved = 0.002 + 3 * (curve(n) - curve(max(n - 50, 25)))
        value = float((drawn < curve(n)).mean())
        right = int(50 * curve(n))
        found.append(Round(labels=n, value=value, agreement=1 - moved, changed=moved, asked=50, right=right))
    return found, curve


def outlook(rounds: list[Round], ahead: int = 50) -> Outlook:
    return outlook_of(rounds, rule=DEFAULT, ahead=ahead, labels=rounds[-1].labels, left=1000, task="classification")


def test_on_known_curves_the_interval_holds_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    held, said, came = [], [], []
    for _ in range(300):
        top = rng.uniform(0.7, 0.98)
        c = float(np.exp(rng.uniform(np.log(0.2), np.log(2))))
        rounds, curve = rounds_on(rng, top, rng.uniform(0.4, top), c)
        found, true = outlook(rounds), curve(550) - curve(500)
        assert found.gain is not None and found.low is not None and found.high is not None
        held.append(found.low <= true <= found.high)
        said.append(found.gain)
        came.append(true)
    assert 0.7 <= np.mean(held) <= 0.95
    assert abs(np.mean(said) - np.mean(came)) < 0.002


def test_on_a_flat_curve_stopping_is_reasonable_and_on_a_steep_one_it_is_not() -> None:
    rng = np.random.default_rng(1)
    flat, steep = outlook(rounds_on(rng, 0.9, 0.8, 2.0)[0]), outlook(rounds_on(rng, 0.95, 0.3, 0.5)[0])
    assert flat.stop is True and flat.stable >= 3
    assert f"predictions have been stable for {flat.stable} batches: stopping now is reasonable." in flat.says
    assert steep.stop is False and steep.says.endswith(" of the predictions: going on is reasonable.")
    assert flat.gain is not None and steep.gain is not None and steep.gain > flat.gain
    early = outlook(rounds_on(rng, 0.9, 0.8, 2.0)[0][:2])
    assert early.stop is None and "too early to say" in early.says


def test_the_command_line_says_it(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outlook", str(session.folder), "--labels", "7", "--rule", "budget(labels=30)"]) == 0
    said = capsys.readouterr().out
    assert "stopping now is reasonable." in said and "rule: budget(labels=30): there are 32 of 30 labels" in said
    assert main(["outlook", str(session.folder), "--labels", "0"]) == 2
