"""Several annotators: votes that are kept, what counts as the label, and how well they agree."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from autoal import Session
from autoal.cli import WRONG, main
from autoal.errors import DataMissing, InvalidInput
from autoal.session import Told
from autoal.session.agreement import agreement_of
from autoal.session.votes import decided
from tests.session.problems import NAMES, again, begun, truth
from tests.session.test_exports import annotation, task, written

PEOPLE = ["ann", "bob", "cy"]


def by(who: Any, *choices: str, **more: Any) -> dict[str, Any]:
    return annotation(*choices, completed_by=who, **more)


TASKS = [
    task("p01", by(1, "oak"), by(2, "oak"), by(3, "elm")),
    task("p02", by(1, "oak"), by(2, "elm")),
    task("p03", by({"id": 1, "email": "ann@x"}, "ash"), by(2, "ash")),
    task("p04", by(1, "elm"), by(2, was_cancelled=True)),
]


def test_every_point_in_dispute_is_named_with_counts(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    before = (session.folder / "journal.jsonl").read_bytes() if (session.folder / "journal.jsonl").exists() else b""
    many = [task(name, by(1, "oak"), by(2, "elm"), by(3, "elm")) for name in NAMES[:20]]
    with pytest.raises(InvalidInput, match="20 points") as refused:
        session.tell_file(written(tmp_path, "a.json", many))
    assert all(f"{name!r} ('elm' 2, 'oak' 1)" in str(refused.value) for name in NAMES[:20])
    assert "--on-conflict" in str(refused.value)
    after = (session.folder / "journal.jsonl").read_bytes() if (session.folder / "journal.jsonl").exists() else b""
    assert before == after


@pytest.mark.parametrize(
    ("on_conflict", "labels", "skipped", "told"),
    [
        ("skip", {"p03": "ash", "p04": "elm"}, {"p01", "p02"}, Told(2, 0, 0, 2, 2)),
        ("majority", {"p01": "oak", "p03": "ash", "p04": "elm"}, {"p02"}, Told(3, 0, 0, 1, 2)),
    ],
)
def test_what_counts(tmp_path: Path, on_conflict: str, labels: Any, skipped: set[str], told: Told) -> None:
    session = begun(tmp_path / "s")
    session.ask(3)
    path = written(tmp_path, "a.json", TASKS)
    assert session.tell_file(path, on_conflict=on_conflict) == told
    for opened in (session, again(session.folder)):
        assert opened.labeled == labels and set(opened.skipped) == skipped
        assert set(opened.skipped.values()) == {"disagreement"}
        assert opened.votes["p01"] == {"1": "oak", "2": "oak", "3": "elm"}
        assert opened.status()["annotators"] == 4 and opened.status()["disagreements"] == 2
    size = (session.folder / "journal.jsonl").stat().st_size
    for again_as in (on_conflict, "fail"):  # told again nothing changes, and nothing is refused
        session.tell_file(path, on_conflict=again_as)
        assert (session.folder / "journal.jsonl").stat().st_size == size
    assert not set(session.ask(5).ids) & {"p01", "p02"}


def test_labels_follow_votes_as_they_come_in(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    assert session.tell("p01", "oak", annotator="ann") == Told(1, 0, 0, 0)
    with pytest.raises(InvalidInput, match=r"'p01' .*'elm' 1"):
        session.tell("p01", "elm", annotator="bob")
    assert session.tell("p01", "elm", annotator="bob", on_conflict="majority") == Told(0, 0, 0, 1, 1)
    assert session.labeled == {} and session.skipped == {"p01": "disagreement"}
    assert session.tell("p01", "elm", annotator="cy", on_conflict="majority") == Told(1, 0, 0, 0, 1)
    assert session.labeled == {"p01": "elm"}
    with pytest.raises(InvalidInput, match="'oak' from ann"):
        session.tell("p01", "elm", annotator="ann")
    assert session.tell("p01", "elm", annotator="ann", correct=True) == Told(0, 1, 0, 0)
    assert set(session.votes["p01"].values()) == {"elm"}
    session.tell(["p02", "p02", "p03"], ["oak", "oak", "elm"], annotator=["ann", "bob", None])
    assert session.votes["p02"] == {"ann": "oak", "bob": "oak"} and "p03" not in session.votes
    for wrong in (["ann", "bob"], 7j, [["ann"]], "x" * 300):
        with pytest.raises(InvalidInput):
            session.tell(["p04", "p05", "p06"], ["oak", "oak", "oak"], annotator=wrong)
    with pytest.raises(InvalidInput, match="on_conflict='vote'; wanted one of fail, skip"):
        session.tell("p04", "oak", on_conflict="vote")


def test_a_correction_by_hand_beats_votes_of_before(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    path = written(tmp_path, "a.json", TASKS)
    session.tell_file(path, on_conflict="majority")
    session.relabel("p01", "ash")
    session.relabel("p02", "ash")
    assert session.tell_file(path, on_conflict="majority").repeated == 4
    assert session.labeled["p01"] == session.labeled["p02"] == "ash"
    grown = [task("p01", *copy.deepcopy(TASKS[0]["annotations"]), by(4, "oak"))]
    with pytest.raises(InvalidInput, match="'p01' has the label 'ash', and not 'oak'"):
        session.tell_file(written(tmp_path, "b.json", grown), on_conflict="majority")
    grown[0]["annotations"][0]["ground_truth"] = True
    with pytest.raises(InvalidInput, match="'p01' has the label 'ash'"):
        session.tell_file(written(tmp_path, "b.json", grown))


def test_the_truth_beats_the_many(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    session.tell_file(written(tmp_path, "a.json", TASKS), on_conflict="skip")
    marked = [task("p01", *TASKS[0]["annotations"][:2], by(3, "elm", ground_truth=True))]
    assert session.tell_file(written(tmp_path, "b.json", marked)) == Told(1, 0, 0, 0)
    assert session.labeled["p01"] == "elm"


def test_somebody_who_answers_twice_has_no_vote(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    path = written(
        tmp_path, "a.json", [task("p01", by(1, "oak"), by(1, "elm"), by(2, "elm")), task("p02", by(1, "oak"))]
    )
    with pytest.raises(InvalidInput, match="'p01'"):
        session.tell_file(path)
    session.tell_file(path, on_conflict="skip")
    assert session.labeled == {"p02": "oak"} and session.votes["p01"] == {"2": "elm"}


def test_nameless_answers_are_counted_too(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    path = written(tmp_path, "a.csv", "id,label\np01,oak\np01,elm\np01,oak\np02,oak\np02,elm\np03,ash\np03,ash\n")
    with pytest.raises(InvalidInput, match="name no annotator"):
        session.tell_file(path, on_conflict="dawid-skene")
    assert session.tell_file(path, on_conflict="majority") == Told(2, 0, 0, 1, 2)
    assert session.labeled == {"p01": "oak", "p03": "ash"} and session.votes == {}


def crowd(points: int = 60, seed: int = 0) -> tuple[dict[int, dict[str, str]], list[str]]:
    """Three who are mostly wrong on one class, and two who are right: most are wrong there, and it can be seen."""
    rng = np.random.default_rng(seed)
    right = [str(label) for label in rng.choice(["oak", "elm"], points)]
    votes: dict[int, dict[str, str]] = {}
    for row, label in enumerate(right):
        votes[row] = dict.fromkeys(("good", "better"), label)
        votes[row].update({who: str(rng.choice(["oak", "elm"])) for who in ("x", "y", "z")})
    return votes, right


def test_dawid_and_skene_know_whom_to_trust(tmp_path: Path) -> None:
    pytest.importorskip("crowdkit")
    votes, right = crowd()
    differ = {row: list(made.items()) for row, made in votes.items() if len(set(made.values())) > 1}
    probable, most = decided(differ, votes, "dawid-skene"), decided(differ, votes, "majority")
    assert sum(probable[row] == right[row] for row in differ) == len(differ) > 40
    assert sum(most[row] == right[row] for row in differ) < 0.9 * len(differ)
    assert decided(differ, votes, "dawid-skene") == probable
    session = begun(tmp_path / "s")
    for row in range(40):
        who = list(votes[row])
        session.tell([NAMES[row]] * 5, [votes[row][name] for name in who], annotator=who, on_conflict="skip")
    everyone = [(NAMES[row], who, votes[row][who]) for row in range(40) for who in votes[row]]
    names, who, labels = map(list, zip(*everyone, strict=True))
    session.tell(names, labels, annotator=who, on_conflict="dawid-skene")
    assert session.skipped == {} and list(session.labeled.values()).count("oak") == right[:40].count("oak")
    assert all(session.labeled[NAMES[row]] == right[row] for row in range(40))
    tied = {0: {"ann": "oak", "bob": "elm"}}
    assert decided({0: list(tied[0].items())}, tied, "dawid-skene") == {0: None}
    numbers = begun(tmp_path / "n", task="regression", candidates=["kcenter"])
    with pytest.raises(InvalidInput, match="regression"):
        numbers.tell("p01", 2.5, annotator="ann", on_conflict="dawid-skene")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("crowdkit", "crowdkit.aggregation", "krippendorff"):
        monkeypatch.setitem(sys.modules, name, None)
    votes = {0: {"ann": "oak", "bob": "elm", "cy": "elm"}, 1: {"ann": "oak", "bob": "oak", "cy": "oak"}}
    with pytest.raises(DataMissing, match=r"autoal\[annotators\]"):
        decided({0: list(votes[0].items())}, votes, "dawid-skene")
    found = agreement_of(votes, "classification")
    assert found is not None and found.same == 1 and "autoal[annotators]" in found.says


def test_agreement_is_that_of_the_libraries() -> None:
    # Cohen (1960): kappa = (p0 - pe) / (1 - pe); here p0 = 0.7, pe = 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    first = ["a"] * 5 + ["b"] * 5
    second = ["a"] * 4 + ["b"] + ["a"] * 2 + ["b"] * 3
    votes = {row: {"x": one, "y": two} for row, (one, two) in enumerate(zip(first, second, strict=True))}
    found = agreement_of(votes, "classification")
    assert found is not None and found.measure == "Cohen's kappa" and found.value == pytest.approx(0.4)
    assert (found.annotators, found.points, found.same) == (2, 10, 7)
    assert agreement_of({0: {"x": "a"}}, "classification") is None
    same = agreement_of({0: {"x": "a", "y": "a"}}, "classification")
    assert same is not None and "not defined" in same.says
    pytest.importorskip("krippendorff")
    # Krippendorff (2011), example C: nominal alpha of four observers with gaps is 0.743.
    table = {
        "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        "C": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    }
    ballots = {row: {who: made[row] for who, made in table.items() if made[row] is not None} for row in range(12)}
    for task_name, value in (("classification", 0.743), ("regression", 0.849)):
        alpha = agreement_of(ballots, task_name)  # type: ignore[arg-type]
        assert alpha is not None and alpha.value == pytest.approx(value, abs=5e-4)


def test_from_the_shell_to_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "pool.npy", np.random.default_rng(0).normal(size=(30, 3)))
    folder = str(tmp_path / "s")
    assert main(["query", folder, "--pool", str(tmp_path / "pool.npy"), "--batch-size", "4", "--quiet"]) == 0
    tasks = [
        task(0, by(1, "oak"), by(2, "oak")),
        task(1, by(1, "oak"), by(2, "elm")),
        task(2, by(1, "elm"), by(2, "elm")),
    ]
    export = str(written(tmp_path, "a.json", [*tasks, task("other", by(1, "x"))]))
    capsys.readouterr()
    assert main(["tell", folder, export]) == WRONG
    assert "1 ('oak' 1, 'elm' 1)" in capsys.readouterr().err
    assert main(["tell", folder, export, "--on-conflict", "nope"]) == WRONG
    capsys.readouterr()
    assert main(["tell", folder, export, "--on-conflict", "skip"]) == 0
    said = capsys.readouterr().out
    assert "2 new, 1 skipped, 1 with different answers, 1 of other tasks (passed over); 2 labeled" in said
    assert "2 annotators say the same on 2 of 3 points that several answered; Cohen's kappa 0.40" in said
    assert main(["report", folder]) == 0
    page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert "kappa 0.40" in page and "1 points were left out" in page
    journal = [json.loads(line) for line in (tmp_path / "s" / "journal.jsonl").read_text().splitlines()]
    assert len(journal[-1]["votes"]) == 6 and journal[-1]["on_conflict"] == "skip"
    assert Session.open(folder).skipped == {1: "disagreement"}


def test_votes_of_many_are_told_in_any_order(tmp_path: Path) -> None:
    made = [(name, who, str(truth[row])) for row, name in enumerate(NAMES[:8]) for who in PEOPLE]
    made[4] = (made[4][0], made[4][1], "wrong")
    one, other = begun(tmp_path / "a"), begun(tmp_path / "b")
    names, who, labels = map(list, zip(*made, strict=True))
    one.tell(names, labels, annotator=who, on_conflict="majority")
    for name, person, label in reversed(made):
        other.tell(name, label, annotator=person, on_conflict="majority")
    assert one.labeled == other.labeled and one.votes == other.votes and one.skipped == other.skipped == {}


def test_cohens_kappa_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 3, 7):
        first = rng.integers(classes, size=40)
        second = np.where(rng.random(40) < 0.6, first, rng.integers(classes, size=40))
        votes = {i: {"ann": f"c{a}", "bob": f"c{b}"} for i, (a, b) in enumerate(zip(first, second, strict=True))}
        found = agreement_of(votes, "classification")
        assert found is not None and found.value == pytest.approx(cohen_kappa_score(first, second))
