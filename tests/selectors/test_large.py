"""Pools so large that candidates are asked about some of the points."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from autoal import AutoAL
from autoal.anchor.features import uncertainty_of
from autoal.errors import InvalidInput
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.selectors import round as rounds
from autoal.strategies import Proposal, Strategy
from tests.selectors.problems import QUICK, blobs

X, Y, TRUTH = blobs(n=400, labeled=30)
MANY = {**QUICK, "gate_level": 1.0, "relearn": 1.0}


class Watched(Strategy):
    """Wants points in their order, and remembers how many it was asked about."""

    name = "watched"
    needs = frozenset({"log_probs"})
    asked: ClassVar[list[int]] = []

    def _propose(self, view, batch_size, rng) -> Proposal:
        Watched.asked.append(len(view))
        return Proposal(torch.arange(batch_size), -torch.arange(len(view), dtype=torch.float64))


def queried(monkeypatch, most: int | None, proposals: str = "auto", **settings):
    if most is not None:
        monkeypatch.setattr(rounds, "ASKED", most)
    Watched.asked = []
    selector = AutoAL(
        ["random", "margin", ("watched", Watched())], model=LogisticRegression(), random_state=0,
        search={**MANY, "proposals": proposals}, **settings,
    )  # fmt: skip
    return selector, selector.fit_query(X, Y, batch_size=5)


@pytest.mark.parametrize("proposals", ["union", "pool"])
def test_candidates_are_asked_about_so_many_points_of_a_large_pool(monkeypatch, proposals) -> None:
    selector, query = queried(monkeypatch, 120, proposals)
    assert max(Watched.asked) == 120, "of 370; twenty batches of five are fewer"
    searched = selector.query(batch_size=4).indices
    assert len(set(searched.tolist())) == 4 and not np.isin(searched, np.flatnonzero(Y >= 0)).any()
    again = queried(monkeypatch, 120, proposals)[1]
    assert query == again


def test_a_pool_as_large_as_that_is_asked_about_whole(monkeypatch) -> None:
    assert queried(monkeypatch, 370, "pool")[1] == queried(monkeypatch, None, "pool")[1]
    assert max(Watched.asked) == 370


def test_the_points_are_the_least_certain_and_others() -> None:
    """Half are those that the model is least sure of; the rest are drawn."""
    log_probs = torch.randn(300, 3, generator=generator(0, "pool")).log_softmax(1)
    outputs = ModelOutputs(log_probs=log_probs)
    some = rounds._some_of(PoolView(outputs, outputs[:2], torch.tensor([0, 1]), 3), 120, 0)
    assert some is not None and len(some) == 120 and (some.diff() > 0).all()
    least = uncertainty_of(log_probs.exp()).topk(60).indices
    assert torch.isin(least, some).all()
    assert rounds._some_of(PoolView(outputs, outputs[:2], torch.tensor([0, 1]), 3), 300, 0) is None


def test_one_strategy_that_was_named_is_asked_about_every_point(monkeypatch) -> None:
    monkeypatch.setattr(rounds, "ASKED", 120)
    Watched.asked = []
    AutoAL([("watched", Watched())], model=LogisticRegression(), random_state=0).fit_query(X, Y, batch_size=5)
    assert set(Watched.asked) == {370}


def test_a_batch_beyond_the_points_asked_about_is_refused(monkeypatch) -> None:
    selector, _ = queried(monkeypatch, 120, "pool")
    with pytest.raises(InvalidInput, match="fit again with batch_size=150"):
        selector.query(batch_size=150)
