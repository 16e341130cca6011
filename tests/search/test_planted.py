"""Planted signals (T14 to T19): found, not found, and expected not to be found. Rates over 20 seeds: `rates.py`."""

import pytest
import torch

from tests.search import rates
from tests.search.planted import Dice, Oracle, Saboteur, auto, make_world, play, team


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_an_oracle_gains_weight_and_a_saboteur_loses_it():
    world = make_world(0, flip=rates.FLIP)
    good = play(world, auto(team(world, Oracle(world), 3)), 0, rounds=2, initial=60)
    bad = play(world, auto(team(world, Saboteur(world), 3)), 0, rounds=2, initial=60)
    assert good.learned[-1]["oracle"] > 0.35 and bad.learned[-1]["saboteur"] < 0.25


def test_copies_of_a_point_are_bought_once():
    (rate,) = rates.redundancy("bilevel", range(1))
    assert rate.hits == rate.of


def test_with_shuffled_labels_the_gate_stays_closed():
    (rate,) = rates.shuffled("bilevel", range(1))
    assert rate.hits == rate.of


def test_a_run_is_a_function_of_its_seed_and_survives_a_round_trip_through_json():
    import json

    world = make_world(1, flip=rates.FLIP)
    first = play(world, auto(team(world, Oracle(world), 2)), 0, rounds=2, initial=60)
    torch.rand(5)
    again = play(world, auto(team(world, Oracle(world), 2)), 0, rounds=2, initial=60)
    assert torch.equal(first.bought, again.bought) and first.learned == again.learned
    selector = auto(team(world, Dice(world), 2))
    play(world, selector, 0, rounds=2, initial=60)
    state = json.loads(json.dumps(selector.state_dict()))
    other = auto(team(world, Dice(world), 2))
    other.load_state_dict(state)
    assert other.state_dict() == selector.state_dict()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("check", ["switch", "redundancy", "shuffled"])
def test_the_planted_signal_is_found_in_18_of_20_seeds(check):
    for rate in rates.CHECKS[check]("bilevel", range(20)):
        assert rate.hits >= 18, rate


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_oracle_is_learned_in_18_of_20_seeds():
    learned, _, _ = rates.oracle("bilevel", range(20))
    assert learned.hits >= 18, learned


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_dice_are_told_apart_by_nothing():
    weights, closed, auc = rates.null("bilevel", range(20))
    assert weights.hits >= 6 and closed.hits >= 0.95 * closed.of and auc.hits == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_saboteur_is_seen_through_in_18_of_20_seeds():
    (rate,) = rates.saboteur("bilevel", range(20))
    assert rate.hits >= 18, rate


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.xfail(reason="maximising the loss of what is bought prefers wrong labels (arXiv 2410.13853)", strict=True)
def test_the_papers_objective_sees_through_a_saboteur():
    (rate,) = rates.saboteur("paper", range(20))
    assert rate.hits >= 18, rate
