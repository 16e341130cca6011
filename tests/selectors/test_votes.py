"""Selectors that take turns, draw, or count votes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from autoal.errors import UnknownName
from autoal.outputs import PoolView
from autoal.strategies import Strategy
from autoal.strategies.base import Proposal, ordered
from baselines.random_choice import RandomChoice
from baselines.random_vote import RandomVote
from baselines.rank_aggregation import RankAggregation, borda, geometric, schulze
from baselines.released_autoal import ReleasedAutoAL, untrained_weights
from baselines.rival import percentiles
from baselines.round_robin import RoundRobin
from tests.selectors.rounds import World


class Likes(Strategy):
    """Wants the points in the order it is given, and says so for all of them."""

    name, family, source, cost = "likes", "test", "none", "b"
    needs = frozenset({"log_probs"})

    def __init__(self, order: tuple[int, ...] = ()) -> None:
        self.order = order

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        scores = torch.full((len(view),), -1.0, dtype=torch.float64)
        scores[list(self.order)] = torch.arange(len(self.order), 0, -1, dtype=torch.float64)
        return ordered(scores.argsort(descending=True, stable=True)[:batch_size], scores)


A, B, C = (("a", Likes((0, 1, 2))), ("b", Likes((2, 1, 0))), ("c", Likes((3, 2, 1))))


def test_candidates_take_turns_in_the_order_of_the_portfolio() -> None:
    world, rival = World(), RoundRobin([C, A, B])
    names = []
    for round in range(5):
        answer = rival.select(world.state(round, world.labeled), 3)
        names.append(next(iter(answer.weights)))
    assert names == ["c", "a", "b", "c", "a"]
    assert rival.select(world.state(1, world.labeled), 3).positions.tolist() == [0, 1, 2]


def test_one_candidate_is_drawn_for_the_whole_batch_each_equally_often() -> None:
    world, rival = World(), RandomChoice([A, B, C])
    answers = [rival.select(world.state(r, world.labeled), 2) for r in range(300)]
    drawn = [next(iter(answer.weights)) for answer in answers]
    assert {a.positions.tolist()[0] for a in answers} == {0, 2, 3}
    assert all(70 < drawn.count(name) < 130 for name in "abc")


def test_percentiles_run_from_one_to_zero_and_equal_scores_share() -> None:
    proposal = Proposal(torch.tensor([3]), torch.tensor([0.0, 5.0, 5.0, 9.0, -1.0]))
    assert percentiles(proposal).tolist() == [0.25, 0.625, 0.625, 1.0, 0.0]


POINTS = torch.tensor([[4.0, 1.0], [3.0, 3.0], [2.0, 4.0], [1.0, 2.0]])


def test_borda_and_the_geometric_mean_by_hand() -> None:
    assert borda(POINTS).tolist() == [5.0, 6.0, 6.0, 3.0]
    assert geometric(POINTS).tolist() == pytest.approx([2.0, 3.0, math.sqrt(8), math.sqrt(2)])


def test_schulze_on_the_example_everyone_knows() -> None:
    # 45 voters over A..E; the winner is E, and the order E A C B D (Schulze 2011, section 3.1).
    ballots = {"ACBED": 5, "ADECB": 5, "BEDAC": 8, "CABED": 3, "CAEBD": 7, "CBADE": 2, "DCEBA": 7, "EBADC": 8}
    columns = [[5 - ballot.index(name) for name in "ABCDE"] for ballot, count in ballots.items() for _ in range(count)]
    wins = schulze(torch.tensor(columns, dtype=torch.float64).T)
    assert sorted("ABCDE", key=lambda name: -wins["ABCDE".index(name)]) == list("EACBD")
    assert wins.tolist() == [3.0, 1.0, 2.0, 0.0, 4.0]


@pytest.mark.parametrize(("method", "first"), [("borda", 1), ("geometric", 1), ("schulze", 1)])
def test_a_point_that_is_second_for_all_beats_those_that_are_first_for_one(method: str, first: int) -> None:
    world = World()
    chairs = [(str(i), Likes((top, 1, 5 + i))) for i, top in enumerate((0, 2, 3))]
    answer = RankAggregation(chairs, method=method).select(world.state(0, world.labeled), 2)
    assert answer.positions.tolist()[0] == first
    with pytest.raises(UnknownName, match="did you mean 'borda'"):
        RankAggregation(method="bordda")


def test_the_random_vote_takes_positive_sums_first_and_negative_ones_last() -> None:
    world, rival = World(), RandomVote([("a", Likes(tuple(range(12))))])
    first, places = [], []
    for round in range(40):
        state = replace(world.state(0, world.labeled), seed=round)
        rival.reset()
        answer = rival.select(state, 12)
        own = set(range(12))
        picked = answer.positions.tolist()
        liked = [p in own for p in picked]
        first.append(sum(liked))
        places.append(liked == sorted(liked, reverse=True))
    # Of twelve votes about half weigh more than nothing; the other slots go to points nobody voted for.
    assert 5 < sum(first) / 40 < 7
    assert all(places)


def test_the_released_relaxation_has_no_gradient() -> None:
    logits = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    shares = torch.softmax(logits, 0)
    relaxed = torch.sigmoid(1e11 * (shares - shares.detach().quantile(0.98)))
    relaxed.sum().backward()
    assert logits.grad is not None and bool((logits.grad == 0).all())
    assert set(relaxed.detach().round(decimals=6).tolist()) == {0.0, 1.0}


def test_the_released_weights_are_signed_differ_by_point_and_stay_over_rounds() -> None:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    weights = untrained_weights(lambda rows: x[rows], 10, 50, 3, 7, torch.device("cpu"))
    assert weights.shape == (50, 3) and bool((weights < 0).any()) and bool((weights > 0).any())
    assert len(weights.unique(dim=0)) == 50
    world, rival = World(), ReleasedAutoAL([("a", Likes(tuple(range(8)))), ("b", Likes(tuple(range(4, 12))))])
    picks = [rival.select(world.state(round, world.labeled), 8).positions.tolist() for round in range(3)]
    assert picks[0] == picks[1] == picks[2]
