"""Each rule against a slow answer, and two rules together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from autoal.errors import ConfigError, UnknownName
from autoal.stopping import DEFAULT, RULES, Round, Rule, Verdict, parse_rule
from autoal.stopping.audit_clean import AuditClean, error_bound
from autoal.stopping.base import Both, Either
from autoal.stopping.budget import Budget
from autoal.stopping.classification_change import ClassificationChange
from autoal.stopping.record import compared, concordance, kappa, uncertainty
from autoal.stopping.selected_accuracy import SelectedAccuracy
from autoal.stopping.settled_predictions import SettledPredictions
from autoal.stopping.stable_predictions import StablePredictions


def rounds_of(seed: int, n: int = 8) -> list[Round]:
    """Any rounds, with gaps."""
    rng = np.random.default_rng(seed)

    def maybe(value: float) -> float | None:
        return None if rng.random() < 0.1 else value

    found = []
    for number in range(n):
        asked, audited = int(rng.integers(0, 5)), int(rng.integers(0, 8))
        found.append(
            Round(
                labels=10 * (number + 1),
                agreement=maybe(1 - rng.random() * 0.03),
                changed=maybe(float(rng.choice([0.0, 0.0, 0.001, 0.1]))),
                entropy=maybe(rng.random() * 0.03),
                most_uncertain=maybe(rng.random() * 0.003),
                expected_error=maybe(rng.random() * 0.03),
                asked=asked,
                right=int(rng.integers(0, asked + 1)),
                audited=audited,
                audited_right=audited if rng.random() < 0.8 else 0,
                value=maybe(rng.random()),
            )
        )
    return found


def slow(name: str, rounds: Sequence[Round]) -> bool | None:
    """The rule at the values of its paper, spelt out."""
    last = rounds[-1]
    if name == "stable_predictions":
        some = [r.agreement for r in rounds[-3:]]
        known = [value for value in some if value is not None]
        return None if len(known) < 3 else sum(known) / 3 > 0.99
    if name == "classification_change":
        some = [r.changed for r in rounds[-2:]]
        return None if len(some) < 2 or None in some else some == [0.0, 0.0]
    if name == "overall_uncertainty":
        return None if last.entropy is None else last.entropy < 0.01
    if name == "maximum_uncertainty":
        return None if last.most_uncertain is None else last.most_uncertain < 0.001
    if name == "minimum_expected_error":
        return None if last.expected_error is None else last.expected_error < 0.01
    if name == "selected_accuracy":
        batches = [r for r in rounds if r.asked > 0]
        return None if not batches else 10 * batches[-1].right >= 9 * batches[-1].asked
    if name == "audit_clean":
        drawn = [r for r in rounds if r.audited > 0]
        if len(drawn) < 3 or sum(r.audited for r in drawn[-3:]) < 10:
            return None
        return all(r.audited_right == r.audited for r in drawn[-3:])
    if name == "settled_predictions":
        earlier = [i for i, r in enumerate(rounds) if 3 * r.labels <= 2 * last.labels]
        if not earlier or any(r.agreement is None for r in rounds[earlier[-1] + 1 :]):
            return None
        return sum(1 - r.agreement for r in rounds[earlier[-1] + 1 :] if r.agreement is not None) <= 0.05
    assert name == "budget"
    return last.labels >= 1000


@pytest.mark.parametrize("name", [name for name in RULES if name != "expected_gain"])
def test_a_rule_says_what_its_definition_says(name: str) -> None:
    answers = set()
    for seed, end in itertools.product(range(60), range(1, 9)):
        rounds = rounds_of(seed)[:end]
        answer = RULES[name]().judge(rounds).stop
        assert answer == slow(name, rounds), (seed, end)
        answers.add(answer)
    assert False in answers


@pytest.mark.parametrize("name", RULES)
def test_what_is_not_known_is_not_guessed(name: str) -> None:
    for rounds in ([], [Round(labels=20)], [Round(labels=n) for n in (20, 30, 40, 50)]):
        verdict = RULES[name]().judge(rounds)
        assert verdict.stop is (False if name == "budget" else None) and verdict.says


@pytest.mark.parametrize("name", RULES)
def test_a_rule_gives_the_same_answer_again_and_changes_nothing(name: str) -> None:
    rounds = rounds_of(3)
    before = list(rounds)
    assert RULES[name]().judge(rounds) == RULES[name]().judge(tuple(rounds)) and rounds == before


def test_thresholds_move_the_answer() -> None:
    rounds = [Round(labels=n, agreement=0.98, changed=0.01) for n in (20, 30, 40)]
    assert StablePredictions().judge(rounds).stop is False
    assert StablePredictions(threshold=0.97).judge(rounds).stop is True
    assert StablePredictions(threshold=0.97, window=4).judge(rounds).stop is None
    assert ClassificationChange(most=0.01).judge(rounds).stop is True
    assert Budget(labels=40).judge(rounds).stop is True
    assert Budget(labels=45).judge([*rounds, Round(labels=44, paid=46)]).stop is True
    assert SelectedAccuracy(least=0.5).judge([Round(labels=9, asked=4, right=2), Round(labels=13)]).stop is True


def test_settled_predictions_do_not_depend_on_the_size_of_a_batch() -> None:
    """The same movement over the same labels, in one step or in ten: the mean agreement of the last models differs."""

    def rounds(batch: int) -> list[Round]:
        return [Round(labels=n, agreement=1 - 0.1 * batch / 100) for n in range(100, 201, batch)]

    rule, mean = SettledPredictions(), StablePredictions(threshold=0.97, window=1)
    assert {rule.judge(rounds(batch)).stop for batch in (10, 25, 50)} == {False}
    assert {mean.judge(rounds(batch)).stop for batch in (10, 25, 50)} == {True, False}
    assert SettledPredictions(most=0.1).judge(rounds(10)).stop is True


def test_kappa_is_cohens() -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 3, 7):
        a, b = rng.integers(0, classes, 50), rng.integers(0, classes, 50)
        mixed = np.where(rng.random(50) < 0.7, a, b)
        assert math.isclose(kappa(a, mixed), cohen_kappa_score(a, mixed), abs_tol=1e-12)
        names = np.array(["oak", "elm", "ash", "fir", "yew", "box", "may"])
        assert math.isclose(kappa(names[a], names[mixed]), kappa(a, mixed), abs_tol=1e-12)
    assert kappa([1, 1, 1], [1, 1, 1]) == 1.0 and kappa([1, 1, 1], [2, 2, 2]) == 0.0


def test_concordance_is_kappa_with_squared_weights() -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(0, 5, 80)
    b = np.clip(a + rng.integers(-1, 2, 80), 0, 4)
    assert math.isclose(concordance(a, b), cohen_kappa_score(a, b, weights="quadratic"), abs_tol=1e-12)
    assert concordance([2.0, 2.0], [2.0, 2.0]) == 1.0 and concordance([0.0, 1.0], [1.0, 2.0]) < 1.0


def test_what_is_compared_suits_the_task() -> None:
    assert compared([0, 1, 1, 0], [0, 1, 0, 0], "classification") == {"agreement": 0.5, "changed": 0.25}
    assert set(compared([0.0, 1.0], [0.0, 1.5], "regression")) == {"agreement"}
    assert compared([], [], "classification") == {}


def test_uncertainty_is_that_of_scipy() -> None:
    probs = np.random.default_rng(2).dirichlet(np.ones(4), 30)
    probs[0] = [1.0, 0.0, 0.0, 0.0]
    with np.errstate(divide="ignore"):
        found = uncertainty(np.log(probs))
    entropy = stats.entropy(probs, axis=1)
    assert math.isclose(found["entropy"], entropy.mean()) and math.isclose(found["most_uncertain"], entropy.max())
    assert math.isclose(found["expected_error"], 1 - probs.max(1).mean()) and uncertainty(probs[:0]) == {}


@pytest.mark.parametrize(("wrong", "n"), [(0, 1), (0, 10), (0, 59), (1, 20), (7, 30), (30, 30)])
def test_the_bound_is_where_the_binomial_begins_to_reject(wrong: int, n: int) -> None:
    bound = error_bound(wrong, n)
    assert bound == 1.0 if wrong == n else math.isclose(stats.binom.cdf(wrong, n, bound), 0.05, rel_tol=1e-6)
    if wrong == 0:
        assert math.isclose(bound, 1 - 0.05 ** (1 / n))


def test_a_clean_audit_says_what_it_proves() -> None:
    rounds = [Round(labels=n, audited=20, audited_right=20) for n in (50, 100, 150)]
    verdict = AuditClean().judge(rounds)
    assert verdict.stop is True and f"below {1 - 0.05 ** (1 / 60):.1%} with 95% confidence" in verdict.says
    assert AuditClean(least=61).judge(rounds).stop is None


@dataclass(frozen=True)
class Says(Rule):
    """For tests of two rules together."""

    name = "says"
    answer: bool | None = None

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        return Verdict(self.answer, str(self.answer))


@pytest.mark.parametrize(("a", "b"), list(itertools.product([True, False, None], repeat=2)))
def test_together_they_are_kleenes_logic(a: bool | None, b: bool | None) -> None:
    rank = {False: 0, None: 1, True: 2}
    back = {value: key for key, value in rank.items()}
    assert (Says(a) & Says(b)).judge([]).stop is back[min(rank[a], rank[b])]
    assert (Says(a) | Says(b)).judge([]).stop is back[max(rank[a], rank[b])]


def test_rules_are_values_and_texts() -> None:
    rules = [rule() for rule in RULES.values()]
    for a, b, c in itertools.product(rules[:4], rules[2:6], rules[-2:]):
        for rule in (a, a & b, a | b, (a | b) & c, a & b | c, (a & b) & c, a | (b & c)):
            assert parse_rule(str(rule)) == rule and hash(parse_rule(str(rule))) == hash(rule)
    rule = parse_rule(" stable_predictions( threshold = .98,window=2 ) |budget(labels=200)")
    assert rule == StablePredictions(0.98, 2) | Budget(200) and isinstance(rule, Either)
    assert isinstance(parse_rule("budget & budget(labels=3)"), Both) and parse_rule(DEFAULT) is DEFAULT
    assert all(f.default is not None for rule in RULES.values() for f in fields(rule))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("stable_prediction", UnknownName, "did you mean 'stable_predictions'"),
        ("budget(label=3)", UnknownName, "did you mean 'labels'"),
        ("budget(3)", ConfigError, "by name"),
        ("budget(labels=3.5)", ConfigError, "got labels=3.5; wanted a whole number, 1 or more"),
        ("budget(labels=True)", ConfigError, "whole number"),
        ("budget(labels=x)", ConfigError, "wanted a number"),
        ("budget(**{'labels': 3})", UnknownName, "None"),
        ("stable_predictions(threshold=1.5)", ConfigError, "wanted a number from -1 to 1"),
        ("stable_predictions(threshold='a')", ConfigError, "wanted a number from -1 to 1"),
        ("stable_predictions(window=0)", ConfigError, "got window=0"),
        ("classification_change(most=-0.1)", ConfigError, "got most=-0.1"),
        ("expected_gain(level=1)", ConfigError, "got level=1"),
        ("overall_uncertainty(threshold=-1)", ConfigError, "wanted a number 0 or more"),
        ("maximum_uncertainty(threshold=1e999)", ConfigError, "got threshold=inf"),
        ("audit_clean(level=0.2)", ConfigError, "got level=0.2"),
        ("budget and budget", ConfigError, "in a stopping rule"),
        ("~budget", ConfigError, "in a stopping rule"),
        ("budget.labels", ConfigError, "in a stopping rule"),
        ("__import__('os')", UnknownName, "unknown stopping rule"),
        ("budget(", ConfigError, "cannot be read"),
        ("", ConfigError, "wanted a rule, as in"),
        ("(" * 500 + "budget" + ")" * 500, ConfigError, "cannot be read"),
        (" & ".join(["budget"] * 200), ConfigError, "nested more than 50 deep"),
        ("budget\x00", ConfigError, "cannot be read"),
        (None, ConfigError, "got the stopping rule None"),
    ],
)
def test_wrong_rules_are_named(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_rule(text)


def test_a_rule_is_joined_with_rules_only() -> None:
    with pytest.raises(TypeError):
        Budget() & 3  # type: ignore[operator]


def test_records_of_other_versions_are_read() -> None:
    assert Round.of(20, {"agreement": 0.5, "of_a_later_version": 3}) == Round(labels=20, agreement=0.5)
    assert Round.of(20, {}) == Round(labels=20)
