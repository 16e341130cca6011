"""SCAL: supervised contrast against two slow loops, and its two ways to ask."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from autoal.errors import InvalidInput, UnknownName
from autoal.rng import generator
from autoal.strategies import FRE, FeatSim
from baselines._training import view_of
from baselines.scal import SCAL, supervised_contrastive_loss
from tests.baselines.rounds import blobs, round_of


def unit(n: int, d: int = 5) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=generator(1, n), dtype=torch.float64), dim=1)


def slow(z: torch.Tensor, labels: list[int], t: float) -> float:
    n, losses = len(z), []
    for i in range(n):
        below = sum(math.exp(float(z[i] @ z[a]) / t) for a in range(n) if a != i)
        each = [
            -math.log(math.exp(float(z[i] @ z[p]) / t) / below) for p in range(n) if p != i and labels[p] == labels[i]
        ]
        if each:
            losses.append(sum(each) / len(each))
    return sum(losses) / len(losses)


def test_contrast_is_that_of_two_loops_and_a_view_without_partner_is_left_out():
    z, labels = unit(9), [0, 0, 1, 2, 1, 0, 2, 1, 3]
    assert float(supervised_contrastive_loss(z, torch.tensor(labels), 0.1)) == pytest.approx(slow(z, labels, 0.1))
    other = torch.tensor([5, 5, 0, 9, 0, 5, 9, 0, 1])
    assert float(supervised_contrastive_loss(z, other, 0.1)) == pytest.approx(slow(z, labels, 0.1))
    assert supervised_contrastive_loss(z, torch.arange(9), 0.1) == 0


def test_with_a_label_for_each_point_it_is_the_loss_of_simclr():
    z = unit(12)
    alike = (z @ z.T / 0.5).fill_diagonal_(-math.inf)
    simclr = F.cross_entropy(alike, (torch.arange(12) + 6) % 12)
    assert torch.allclose(supervised_contrastive_loss(z, torch.arange(6).repeat(2), 0.5), simclr)


def test_its_gradient_is_right_and_small_temperatures_do_not_overflow():
    labels = torch.tensor([0, 1, 0, 1, 2])
    loss = lambda z: supervised_contrastive_loss(z, labels, 0.3)  # noqa: E731
    assert torch.autograd.gradcheck(loss, unit(5, 3).requires_grad_(True))
    sharp = unit(5, 3).float().requires_grad_(True)
    supervised_contrastive_loss(sharp, labels, 1e-3).backward()
    assert sharp.grad.isfinite().all()


@pytest.mark.parametrize("joint_below", [1000, 0], ids=["jointly", "one after the other"])
def test_it_learns_labels_and_gathers_classes(joint_below):
    """20 points a class, in two views while training: the contrast is never below the log of 19, or 39, partners."""
    selector = SCAL(device="cpu", max_steps=120, joint_below=joint_below)
    problem = selector._problem(round_of(*blobs(120), labeled=60), 0)
    torch.manual_seed(0)
    net = selector._network(problem)

    def spread() -> float:
        features = F.normalize(view_of(net, problem).labeled.require("embeddings"), dim=1)
        return float(supervised_contrastive_loss(features, problem.labels, 0.1)) - math.log(19)

    before = spread()
    losses = selector._train(net, problem)
    half = torch.tensor(losses if joint_below else losses[:60]) - math.log(39)
    assert len(losses) == 120 and half[-10:].mean() < 0.6 * half[:10].mean()
    assert spread() < 0.5 * before
    right = view_of(net, problem).labeled.require("log_probs").argmax(dim=1) == problem.labels
    assert float(right.double().mean()) > 0.8


@pytest.mark.parametrize(("query", "strategy"), [("fre", FRE), ("featsim", FeatSim)])
def test_it_asks_by_the_features_of_its_own_network(query, strategy, monkeypatch):
    seen = []
    propose = strategy._propose
    monkeypatch.setattr(
        strategy, "_propose", lambda self, view, *rest: (seen.append(view), propose(self, view, *rest))[1]
    )
    state = round_of(*blobs(), needs=frozenset({"embeddings"}))
    answer = SCAL(device="cpu", max_steps=15, query=query).select(state, 6)
    assert len(seen) == 1
    ours, task = seen[0].pool.require("embeddings"), state.view.pool.require("embeddings")
    assert not torch.equal(ours, task)
    expected = strategy().propose(seen[0], 6, generator(0)).indices
    assert set(answer.positions.tolist()) == set(expected.tolist())


def test_another_seed_is_another_answer_and_so_is_the_other_query():
    def picked(seed: int, query: str = "fre") -> list[int]:
        answer = SCAL(device="cpu", max_steps=10, query=query).select(round_of(*blobs(), seed=seed), 20)
        return sorted(answer.positions.tolist())

    assert picked(0) == picked(0) != picked(1)
    assert picked(0, "featsim") != picked(0)


def test_labels_of_one_class_are_enough():
    x, labels = blobs()
    labels[:12] = 1
    assert len(SCAL(device="cpu", max_steps=5).select(round_of(x, labels), 3).positions) == 3


def test_what_it_cannot_do_is_said():
    with pytest.raises(UnknownName, match="'featsim'"):
        SCAL(query="featsin")
    with pytest.raises(InvalidInput, match="temperature=0"):
        SCAL(temperature=0.0)
