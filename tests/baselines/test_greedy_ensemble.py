"""Greedy ensembles: the penalty by hand, each member against every function of a family, and the votes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from autoal.errors import InvalidInput, UnknownName
from autoal.models.ensembles import Repulsion, train_members
from autoal.models.nets import SmallCNN
from autoal.rng import generator
from baselines.greedy_ensemble import GreedyEnsemble
from tests.baselines.rounds import blobs, images, round_of


class Slope(nn.Module):
    """Log odds theta * x of one column; a family of functions with one parameter."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.theta * x[:, 0], torch.zeros(len(x), dtype=x.dtype)], dim=1)


def repulsion(strength: float, *thetas: float, n: int = 6) -> Repulsion:
    made = Repulsion(torch.randn(n, 1, generator=generator(0), dtype=torch.float64), strength, 3)
    for theta in thetas:
        made.add(Slope(theta))
    return made


def test_the_penalty_by_hand():
    penalty = repulsion(2.0, 0.5, -1.0)
    positions = torch.tensor([4, 1, 2])

    def positive(theta: float) -> list[float]:
        return [1 / (1 + math.exp(-theta * float(x))) for x in penalty.inputs[positions, 0]]

    distances = [
        # Both classes move by the same amount, so the squared distance counts it twice.
        sum(2 * (new - old) ** 2 for new, old in zip(positive(1.5), positive(theta), strict=True)) / 3
        for theta in (0.5, -1.0)
    ]
    wanted = math.log(sum(math.exp(-2 * d) for d in distances))
    assert float(penalty(Slope(1.5), positions).detach()) == pytest.approx(wanted)


def test_the_penalty_lies_within_its_bounds_and_is_largest_for_copies():
    def value(theta: float, *others: float) -> float:
        return float(repulsion(3.0, *others)(Slope(theta), torch.arange(6)).detach())

    assert value(0.7, 0.7, 0.7) == pytest.approx(math.log(2))
    assert all(math.log(2) - 6 <= value(theta, 0.7, -2.0) <= math.log(2) for theta in (-50.0, 0.0, 0.3, 50.0))


def test_each_member_is_the_best_of_all_functions_given_those_before_it():
    """Loss 0.02 theta^2 plus the penalty, against a fine grid of theta: what greedy says of each step."""
    penalty, everything = repulsion(3.0, n=20), torch.arange(20)

    def objective(net: nn.Module, others: Repulsion | None) -> Tensor:
        loss = 0.02 * net.theta.square()
        return loss if others is None else loss + others(net, everything)

    missed = []

    def fit(net: nn.Module, own: int, others: Repulsion | None) -> None:
        optimizer = torch.optim.Adam(net.parameters(), 0.2)
        for _ in range(100):
            optimizer.zero_grad()
            objective(net, others).backward()
            optimizer.step()
        with torch.no_grad():
            best = min(float(objective(Slope(theta), others)) for theta in torch.linspace(-6, 6, 121).tolist())
            missed.append(float(objective(net, others)) - best)

    starts = iter([0.5, 0.5, -0.5])
    members = train_members(3, lambda own: Slope(next(starts)), fit, 0, penalty)
    assert max(missed) < 1e-3
    first, second, third = (float(net.theta.detach()) for net in members)
    assert abs(first) < 0.01 and second > 0.5 and third < -0.5


def test_the_look_at_other_inputs_moves_neither_earlier_members_nor_running_statistics():
    first, second = SmallCNN(1, 2, width=4), SmallCNN(1, 2, width=4)
    penalty = Repulsion(images()[0], 1.0, 0)
    penalty.add(first)
    second.train()
    before = [buffer.clone() for buffer in second.buffers()]
    penalty(second, torch.arange(5)).backward()
    assert all(torch.equal(old, new) for old, new in zip(before, second.buffers(), strict=True))
    assert second.training and all(weight.grad is None for weight in first.parameters())
    assert any(bool(weight.grad.any()) for weight in second.parameters() if weight.grad is not None)


def members_of(strength: float, **options):
    selector = GreedyEnsemble(device="cpu", members=3, strength=strength, max_steps=options.pop("max_steps", 150))
    problem = selector._problem(round_of(*blobs(), labeled=30), 1)
    return selector.trained(problem)[0], problem


def test_strength_0_is_a_deep_ensemble_bit_for_bit():
    together, problem = members_of(0.0, max_steps=20)
    alone = GreedyEnsemble(device="cpu", members=1, strength=3.0, max_steps=20)
    assert all(
        torch.equal(a, b)
        for a, b in zip(together[0].parameters(), alone.trained(problem)[0][0].parameters(), strict=True)
    )
    repelled, _ = members_of(3.0, max_steps=20)
    assert torch.equal(together[0].head.weight, repelled[0].head.weight)
    assert not torch.equal(together[1].head.weight, repelled[1].head.weight)


def test_members_that_repel_each_other_disagree_around_the_data_and_know_the_labels():
    def disagreement(strength: float) -> tuple[float, float]:
        nets, problem = members_of(strength)
        far = Repulsion(problem.labeled[:], 1.0, 9).inputs
        with torch.no_grad():
            each = torch.stack([net(far).softmax(1) for net in nets])
            right = torch.stack([net(problem.labeled[:]).argmax(1) == problem.labels for net in nets]).double().mean()
        return float((each[:, None] - each[None]).square().sum(-1).mean()), float(right)

    (plain, knows), (repelled, still) = disagreement(0.0), disagreement(0.5)
    assert repelled > 2 * plain and still > knows - 0.01


@pytest.mark.parametrize("around", ["noise", "pool"])
def test_it_asks_for_the_points_on_which_the_votes_are_split(around):
    selector = GreedyEnsemble(device="cpu", members=3, max_steps=20, around=around)
    state = round_of(*blobs())
    answer = selector.select(state, 6)
    found, problem = {}, None

    def remember(one):
        nonlocal problem
        problem = one
        found["nets"], losses = GreedyEnsemble.trained(selector, one)
        return found["nets"], losses

    selector.trained = remember
    selector.select(state, 6)
    with torch.no_grad():
        each = torch.stack([net(problem.pool[:]).softmax(1) for net in found["nets"]], dim=1)
    levels = []
    for point in each:
        votes = [int(one.argmax()) for one in point]
        levels.append(3 - max(votes.count(c) for c in range(3)) + (1 - float(point.mean(0).max())) / 2)
    assert set(answer.positions.tolist()) == set(torch.tensor(levels).topk(6).indices.tolist())


@pytest.mark.parametrize("base", ["bald", "batchbald", "badge"])
def test_other_candidates_can_read_the_ensemble(base):
    answer = GreedyEnsemble(device="cpu", members=2, max_steps=5, base=base).select(round_of(*blobs()), 4)
    assert len(answer.positions.unique()) == 4 and len(answer.diagnostics["loss"]) == 2


def test_what_it_cannot_do_is_said():
    with pytest.raises(UnknownName, match="'bald'"):
        GreedyEnsemble(base="bold")
    with pytest.raises(InvalidInput, match="deviations"):
        GreedyEnsemble(base="noise_stability")
    with pytest.raises(InvalidInput, match="members=0"):
        GreedyEnsemble(members=0)
