"""CEAL: the falling threshold and the labels it gives."""

from __future__ import annotations

import pytest
import torch

from autoal.errors import InvalidInput, UnknownName
from autoal.rng import generator
from autoal.strategies import CANDIDATES
from baselines.ceal import CEAL, pseudo_labels
from tests.baselines.rounds import blobs, round_of
from tests.helpers import probs


def test_the_threshold_falls_by_the_round_and_never_below_nothing():
    selector = CEAL(threshold=1e-3, decay=4e-4)
    assert [selector.threshold_in(r) for r in range(4)] == pytest.approx([1e-3, 6e-4, 2e-4, 0])


def test_sure_predictions_are_labels_and_a_certain_one_is_no_gap():
    positions, labels = pseudo_labels(probs([0.5, 0.5], [1.0, 0.0], [0.001, 0.999], [0.2, 0.8]), 0.1)
    assert positions.tolist() == [1, 2] and labels.tolist() == [0, 1]


@pytest.mark.parametrize("base", ["entropy", "margin", "kcenter"])
def test_without_sure_predictions_it_is_its_base(base):
    selector = CEAL(base=base, threshold=0.0)
    state = round_of(*blobs(), needs=selector.needs)
    answer = selector.select(state, 6)
    assert answer.diagnostics == {"pseudo_labels": 0}
    assert set(answer.positions.tolist()) == set(
        CANDIDATES[base]().propose(state.view, 6, generator(0)).indices.tolist()
    )


def test_sure_predictions_are_trained_on_and_stay_in_the_pool():
    state = round_of(*blobs())
    plain = CEAL(threshold=0.0).select(state, len(state.pool_ids))
    answer = CEAL(threshold=1.05).select(state, len(state.pool_ids))
    assert answer.diagnostics["pseudo_labels"] > 0
    assert sorted(answer.positions.tolist()) == list(range(len(state.pool_ids)))
    assert not torch.equal(plain.utilities, answer.utilities)


def test_what_it_cannot_do_is_said():
    with pytest.raises(UnknownName, match="'entropy'"):
        CEAL(base="entropi")
    with pytest.raises(InvalidInput, match="0 or more"):
        CEAL(decay=-1.0)
