"""The first two lines of a report, from journals made by hand."""

from __future__ import annotations

import pytest

from autoal.report.words import answer, labels_needed
from tests.experiment.test_report import made


def test_a_win_is_told_in_labels() -> None:
    journal = made({"mine": 0.05, "random": 0.0})
    says = answer(journal, "mine", "random")
    assert says.headline == "Yes: on a, the accuracy that random labels reach with 30 labels was reached with 25."
    assert "+5." in says.detail and "8 seeds" in says.detail
    assert labels_needed(journal, "mine", "random") == (25, 30)


def test_a_loss_and_a_tie_are_no_yes() -> None:
    assert answer(made({"mine": -0.05, "random": 0.0}), "mine", "random").headline.startswith(
        "No: on a, mine did worse"
    )
    tie = answer(made({"mine": 0.002, "random": 0.0}, noise=0.03, seeds=3), "mine", "random")
    assert tie.headline.startswith("Not on this evidence") and "3 seeds are few" in tie.headline


def test_a_gain_that_is_gone_at_the_end_is_said() -> None:
    journal = made({"mine": 0.05, "random": 0.0})
    mine = journal["selector"] == "mine"
    journal.loc[mine, "value"] = journal.loc[mine, "value"].clip(upper=0.66)  # random ends at 0.7
    assert "while labels are few" in answer(journal, "mine", "random").headline


def test_a_better_rival_is_named() -> None:
    journal = made({"mine": 0.05, "random": 0.0, "rival": 0.09, "third": 0.01})
    assert "rival was better than it by 4" in answer(journal, "mine", "random").detail
    journal = made({"mine": 0.05, "random": 0.0, "third": 0.01})
    assert "third came nearest" in answer(journal, "mine", "random").detail


def test_many_scenarios_are_counted() -> None:
    journal = made({"mine": 0.05, "random": 0.0}, datasets=("a", "b", "c"))
    assert answer(journal, "mine", "random").headline.startswith("Yes: mine was better than random labels in 3 of 3")
    worse = journal["dataset"].eq("b") & journal["selector"].eq("mine")
    journal.loc[worse, "value"] -= 0.08
    assert answer(journal, "mine", "random").headline.startswith("On average yes, not everywhere")


@pytest.mark.parametrize(("gains", "seeds"), [({"mine": 0.1}, 4), ({"mine": 0.1, "random": 0.0}, 1)])
def test_without_evidence_there_is_no_answer(gains: dict[str, float], seeds: int) -> None:
    assert answer(made(gains, seeds=seeds), "mine", "random").headline.startswith("No answer")
