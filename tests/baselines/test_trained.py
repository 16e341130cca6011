"""What every selector that trains keeps to, beside what tests/selectors/test_shared_selectors.py asks of all."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from autoal.data import as_rows
from autoal.errors import InvalidInput, MissingOutput
from autoal.selectors.base import RoundState
from baselines import SELECTORS, TRAINED
from baselines._training import TrainedSelector
from tests.baselines.rounds import blobs, images, round_of, short_options, waves


def short(name: str, **options):
    """The selector with as little training as it takes to run."""
    return SELECTORS[name](**{**short_options(SELECTORS[name]), **options})


def problem(selector, **options) -> RoundState:
    if "classification" in selector.tasks:
        return round_of(*blobs(), needs=selector.needs_for("classification"), **options)
    return round_of(*waves(), needs=selector.needs_for("regression"), **options)


@pytest.fixture(params=[selector.name for selector in TRAINED])
def name(request) -> str:
    return request.param


def test_it_buys_distinct_points_of_the_pool_and_the_same_ones_again(name):
    state = problem(short(name))
    first = short(name).select(state, 7)
    assert len(first.positions.unique()) == 7 and 0 <= int(first.positions.min()) <= int(first.positions.max()) < 78
    assert len(first.utilities) == len(state.pool_ids)
    again = short(name).select(state, 7)
    assert torch.equal(first.positions, again.positions) and torch.equal(first.utilities, again.utilities)


def test_no_label_of_the_pool_is_within_its_reach(name):
    """Everything a round holds is the same, whatever the labels of the pool are; nor does the answer change."""
    selector = short(name)
    x, labels = blobs() if "classification" in selector.tasks else waves()
    needs = selector.needs_for("classification" if "classification" in selector.tasks else "regression")
    other = labels.clone()
    other[12:] = labels[12:].flip(0)
    one, two = round_of(x, labels, needs=needs), round_of(x, other, needs=needs)
    assert torch.equal(one.view.labels, two.view.labels)
    assert torch.equal(selector.select(one, 9).positions, short(name).select(two, 9).positions)


def test_it_leaves_the_task_model_and_the_global_generators_as_they_were(name):
    state = problem(short(name))
    before = {k: v.clone() for k, v in state.model.module.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    short(name).select(state, 3)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(v, before[k]) for k, v in state.model.module.state_dict().items())


def test_images_are_taken(name):
    selector = short(name)
    if "classification" not in selector.tasks:
        pytest.skip("regression only")
    state = round_of(*images(), needs=selector.needs_for("classification"))
    assert len(selector.select(state, 3).positions) == 3


def test_a_task_it_is_not_defined_for_is_refused(name):
    selector = short(name)
    if len(selector.tasks) == 2:
        assert len(selector.select(round_of(*waves(), needs=selector.needs_for("regression")), 3).positions) == 3
        return
    state = round_of(*waves()) if "classification" in selector.tasks else round_of(*blobs())
    with pytest.raises(InvalidInput, match=f"{name} is defined for"):
        selector.select(state, 3)


def test_a_round_without_inputs_is_refused(name):
    state = dataclasses.replace(problem(short(name)), inputs=None)
    with pytest.raises(InvalidInput, match="reads inputs"):
        short(name).select(state, 3)


def test_inputs_that_are_no_numbers_are_refused(name):
    if not issubclass(SELECTORS[name], TrainedSelector):
        pytest.skip("trains no network of its own")
    state = problem(short(name))
    broken = state.inputs.take(torch.arange(len(state.inputs)))
    broken[20, 0] = float("nan")
    with pytest.raises(InvalidInput, match=r"1 of .* rows of the inputs hold NaN .*\[20\]"):
        short(name).select(dataclasses.replace(state, inputs=as_rows(broken)), 3)


def test_each_says_where_it_comes_from_and_what_it_costs():
    for selector in TRAINED:
        assert selector.source and selector.cost and SELECTORS[selector.name] is selector


def test_attacks_need_a_torch_model():
    state = dataclasses.replace(problem(short("adversarial_bim")), model=None)
    for name in ("adversarial_bim", "adversarial_deepfool"):
        with pytest.raises(MissingOutput, match="choose mlp"):
            short(name).select(state, 3)
