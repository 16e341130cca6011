"""The trivial selectors that everything is compared with."""

from __future__ import annotations

import pytest
import torch

from autoal.errors import ConfigError, UnknownName
from autoal.experiment.config import SelectorSpec
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.selectors import AutoAL
from autoal.selectors.base import RoundState
from autoal.strategies import CANDIDATES, Strategy
from autoal.strategies.base import Proposal, ordered
from baselines import SELECTORS, Single, make_selector

N, L, C, D = 40, 9, 3, 5


class Fixed(Strategy):
    """Proposes the points of a range, and counts how often it was asked."""

    name, family, source, cost = "fixed", "test", "none", "b"
    needs = frozenset({"log_probs"})
    asked = 0

    def __init__(self, start: int = 0) -> None:
        self.start = start

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        self.asked += 1
        return ordered(torch.arange(self.start, self.start + batch_size), torch.zeros(len(view)))


def mixture_of(candidates: list) -> AutoAL:
    return AutoAL(candidates, mode="uniform")


def state(round: int = 0, seed: int = 0) -> RoundState:
    rng = generator(0, "state")

    def outputs(n: int) -> ModelOutputs:
        return ModelOutputs(
            log_probs=torch.randn(n, C, generator=rng).log_softmax(1), embeddings=torch.randn(n, D, generator=rng)
        )

    view = PoolView(outputs(N), outputs(L), torch.arange(L) % C, C)
    return RoundState(view, round, seed, torch.arange(N) + 100, torch.arange(L))


def test_single_buys_what_its_strategy_proposes() -> None:
    answer = Single(Fixed(7)).select(state(), 4)
    assert answer.positions.tolist() == [7, 8, 9, 10]
    assert len(answer.utilities) == N


def test_the_mixture_takes_next_points_in_the_order_of_the_draws() -> None:
    a, b = Fixed(0), Fixed(20)
    answer = mixture_of([("a", a), ("b", b)]).select(state(), 10)
    picked = answer.positions.tolist()
    assert [p for p in picked if p < 20] == list(range(sum(p < 20 for p in picked)))
    assert [p for p in picked if p >= 20] == list(range(20, 20 + sum(p >= 20 for p in picked)))
    assert a.asked == b.asked == 1
    assert answer.weights == {"a": 0.5, "b": 0.5}
    assert (answer.votes["a"] ^ answer.votes["b"]).all()


def test_the_mixture_draws_each_candidate_equally_often() -> None:
    mixture = mixture_of([("a", Fixed(0)), ("b", Fixed(20))])
    from_a = sum(int((mixture.select(state(r), 10).positions < 20).sum()) for r in range(200))
    assert abs(from_a / 2000 - 0.5) < 0.04


def test_the_mixture_never_buys_a_point_twice_where_candidates_agree() -> None:
    mixture = mixture_of([("a", Fixed(0)), ("b", Fixed(0)), ("c", Fixed(3))])
    assert len(mixture.select(state(), 12).positions.unique()) == 12


def test_the_mixture_depends_on_seed_and_round_only() -> None:
    mixture = mixture_of(["margin", "random"])
    first = mixture.select(state(1), 8).positions
    mixture.select(state(2), 8)
    assert torch.equal(first, mixture.select(state(1), 8).positions)
    assert not torch.equal(first, mixture.select(state(1, seed=1), 8).positions)


def test_the_mixture_leaves_out_what_the_model_cannot_serve() -> None:
    answer = mixture_of(["margin", "bald"]).select(state(), 5)
    assert answer.weights == {"margin": 1.0}
    assert "mc_log_probs" in answer.diagnostics["dropped"]["bald"]


def test_every_candidate_is_a_selector_too() -> None:
    assert set(CANDIDATES) <= set(SELECTORS)
    assert {"autoal", "autoal-paper", "uniform", "random"} <= set(SELECTORS)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (SelectorSpec(name="autoaI"), UnknownName, "did you mean 'autoal'"),
        (SelectorSpec(name="autoal", options={"serach": {}}), ConfigError, "did you mean 'search'"),
        (SelectorSpec(name="autoal", options={"search": {"episods": 1}}), UnknownName, "'episodes'"),
        (SelectorSpec(name="autoal", options={"candidates": ["margn"]}), UnknownName, "'margin'"),
    ],
)
def test_a_wrong_name_or_option_is_answered_with_the_nearest(
    spec: SelectorSpec, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_selector(spec)
