import pytest

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies import CANDIDATES, PORTFOLIOS, resolve_candidates
from autoal.strategies.diversity.random import Random
from autoal.strategies.gradient.badge import BADGE
from autoal.strategies.uncertainty.margin import Margin


def test_portfolios_name_candidates():
    assert list(PORTFOLIOS) == ["fast", "default", "regression", "all"]
    assert PORTFOLIOS["all"] == list(CANDIDATES)
    for name, members in PORTFOLIOS.items():
        assert [n for n, _ in resolve_candidates(name)] == members


def test_names_objects_and_pairs():
    badge = BADGE(first="uniform")
    resolved = resolve_candidates(["entropy", badge, ("coin", Random(seed=4))])
    assert [name for name, _ in resolved] == ["entropy", "badge", "coin"]
    assert resolved[1][1] is badge


def test_one_name_and_one_object():
    assert [name for name, _ in resolve_candidates("margin")] == ["margin"]
    assert [name for name, _ in resolve_candidates(Margin())] == ["margin"]


@pytest.mark.parametrize(("spec", "near"), [("defualt", "default"), (["kcentre"], "kcenter"), (["bagde"], "badge")])
def test_an_unknown_name_gets_the_nearest(spec, near):
    with pytest.raises(UnknownName, match=f"did you mean '{near}'"):
        resolve_candidates(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (["margin", "margin"], "named twice: margin"),
        ([Random(0), Random(1)], "named twice: random"),
        ([], "no candidates"),
        ([Margin], "wanted a name"),
        ([("a__b", Margin())], "__"),
        ([("margin", Margin)], "wanted a name"),
        (3, "wanted a portfolio name"),
    ],
)
def test_what_cannot_be_used_is_refused(spec, message):
    with pytest.raises(InvalidInput, match=message):
        resolve_candidates(spec)
