"""DALBT: the Barlow Twins loss against slow loops, what the network learns, and three ways to ask."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoal.errors import InvalidInput, UnknownName
from autoal.rng import generator
from baselines import dalbt
from baselines._training import view_of
from baselines.dalbt import DALBT, barlow_twins_loss, inconsistency, over_views
from tests.baselines.rounds import blobs, round_of


def views(n: int = 20, d: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    a = torch.randn(n, d, generator=generator(0, "views"), dtype=torch.float64)
    return a, a + 0.5 * torch.randn(n, d, generator=generator(1, "views"), dtype=torch.float64)


def test_the_loss_is_that_of_slow_loops():
    a, b = views()
    total = 0.0
    for i in range(4):
        for j in range(4):
            x, y = a[:, i], b[:, j]
            deviations = ((x.var(correction=0) + 1e-5) * (y.var(correction=0) + 1e-5)).sqrt()
            c = float(((x - x.mean()) * (y - y.mean())).mean() / deviations)
            total += (1 - c) ** 2 if i == j else 0.1 * c**2
    assert float(barlow_twins_loss(a, b, 0.1)) == pytest.approx(total)


def test_equal_views_without_correlation_cost_nothing_and_dimensions_have_no_order():
    a, b = views()
    whitened = torch.linalg.qr(a - a.mean(dim=0)).Q
    assert float(barlow_twins_loss(whitened * 100, whitened * 100, 0.1)) < 1e-10
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(barlow_twins_loss(a[:, order], b[:, order], 0.1), barlow_twins_loss(a, b, 0.1))
    same = torch.cat([a, a], dim=1)
    assert float(barlow_twins_loss(same, same, 0.0)) < 1e-8 < float(barlow_twins_loss(same, same, 0.1))


def test_its_gradient_is_right_and_constant_columns_are_no_gap():
    a, b = views(6, 3)
    loss = lambda x, y: barlow_twins_loss(x, y, 0.1)  # noqa: E731
    assert torch.autograd.gradcheck(loss, (a.requires_grad_(True), b.requires_grad_(True)))
    assert float(barlow_twins_loss(torch.ones(5, 3), torch.ones(5, 3), 0.1)) == 3.0


def trained(**options) -> tuple:
    selector = DALBT(device="cpu", max_steps=80, **options)
    problem = selector._problem(round_of(*blobs(150), labeled=40), 0)
    torch.manual_seed(0)
    net = selector._network(problem)
    project = nn.Sequential(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 256))
    return selector, problem, net, project, selector._train(net, project, problem)


def test_it_learns_the_labels_after_learning_from_views():
    _, problem, net, _, losses = trained()
    assert max(losses[:16]) < 0.2  # the warm-up: twins alone, times 0.1 over the width
    assert sum(losses[-10:]) < 0.7 * sum(losses[16:26])
    right = view_of(net, problem).labeled.require("log_probs").argmax(dim=1) == problem.labels
    assert float(right.double().mean()) > 0.8


def test_the_twins_come_closer():
    *_, losses = trained(warm_up=0.99)
    assert sum(losses[60:70]) < 0.7 * sum(losses[:10])


def test_means_over_views_are_probabilities_and_an_indifferent_network_is_consistent():
    _, problem, net, project, _ = trained()
    project.eval()
    view = over_views(net, problem)
    assert torch.allclose(view.pool.require("log_probs").exp().sum(dim=1), torch.ones(110))
    assert float(inconsistency(net, project, problem).min()) > 0
    with torch.no_grad():
        for layer in net.layers:
            layer.weight.zero_()
    assert float(inconsistency(net, project, problem).abs().max()) < 1e-6


def test_each_query_asks_by_what_it_says(monkeypatch):
    kept = {}
    for name in ("inconsistency", "over_views", "view_of"):
        made = getattr(dalbt, name)

        def keep(*arguments, name=name, made=made):
            kept[name] = made(*arguments)
            return kept[name]

        monkeypatch.setattr(dalbt, name, keep)

    def picked(query: str) -> list[int]:
        return DALBT(device="cpu", max_steps=8, query=query).select(round_of(*blobs()), 5).positions.tolist()

    assert picked("inconsistency") == kept["inconsistency"].argsort(descending=True)[:5].tolist()
    top = lambda: kept["over_views"].pool.require("log_probs").exp().topk(2, dim=1).values  # noqa: E731
    found = picked("margin")
    assert found == (top()[:, 0] - top()[:, 1]).argsort()[:5].tolist()
    first = picked("kcenter")[0]
    far = torch.cdist(kept["view_of"].pool.require("embeddings"), kept["view_of"].labeled.require("embeddings"))
    assert first == int(far.amin(dim=1).argmax())


def test_another_seed_is_another_answer():
    def picked(seed: int) -> list[int]:
        return sorted(DALBT(device="cpu", max_steps=8).select(round_of(*blobs(), seed=seed), 20).positions.tolist())

    assert picked(0) == picked(0) != picked(1)


def test_what_it_cannot_do_is_said():
    with pytest.raises(UnknownName, match="'kcenter'"):
        DALBT(query="kcentre")
    with pytest.raises(InvalidInput, match="warm_up=1"):
        DALBT(warm_up=1.0)
