"""BAIT against a slow form with every matrix written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies.gradient.bait import BAIT
from autoal.strategies.parts.fisher import class_information, information, many_class_batch, rank_one_batch
from tests.helpers import fake_view, random_view, seeded

D = 5


def problem(seed: int, n: int = 40, labeled: int = 6, classes: int = 4, width: int = D) -> PoolView:
    made = torch.Generator().manual_seed(seed)

    def outputs(count: int) -> ModelOutputs:
        h = torch.randn(count, width, generator=made, dtype=torch.float64)
        logits = 2 * torch.randn(count, classes, generator=made, dtype=torch.float64)
        return ModelOutputs(log_probs=logits.log_softmax(1), embeddings=h)

    return PoolView(outputs(n), outputs(labeled), torch.arange(labeled) % classes, classes)


def factors(outputs: ModelOutputs, kind: str = "exact", top: int = 2) -> torch.Tensor:
    """(n, rows, C D): V, one row sqrt(p_y) (e_y - p) (x) h for each label y."""
    p, h = outputs.require("log_probs").exp(), outputs.require("embeddings")
    if kind == "binary":
        best = p.amax(1)
        pair = torch.stack([best.sqrt() * (1 - best), -(1 - best).sqrt() * best], 1)
        return pair[:, :, None] * h[:, None]
    weights = p
    if kind == "expected":
        weights = torch.where(p >= p.topk(top, 1).values[:, -1:], p, 0.0)
        weights = weights / weights.sum(1, keepdim=True)
    residual = torch.eye(p.shape[1], dtype=p.dtype) - p[:, None]
    return torch.einsum("ny,nyc,nd->nycd", weights.sqrt(), residual, h).flatten(2)


def slow_bait(
    pool: torch.Tensor, labeled: torch.Tensor, batch_size: int, ridge: float = 1.0, oversample: float = 2.0
) -> list[int]:
    """Forward and backward with all traces worked out anew at each pick, from factors (n, rows, P)."""
    n, width = len(labeled), pool.shape[2]

    def fisher(V: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nra,nrb->ab", V, V)

    F = (fisher(pool) + fisher(labeled)) / (n + len(pool))
    known = ridge * torch.eye(width, dtype=pool.dtype) + fisher(labeled) / (n + batch_size)
    step = torch.einsum("nra,nrb->nab", pool, pool) * batch_size / (n + batch_size)
    picks: list[int] = []
    for _ in range(min(len(pool), round(oversample * batch_size))):
        traces = (torch.linalg.inv(known + step) * F).sum((1, 2))
        traces[picks] = torch.inf
        picks.append(int(traces.argmin()))
        known = known + step[picks[-1]]
    while len(picks) > batch_size:
        traces = (torch.linalg.inv(known - step[picks]) * F).sum((1, 2))
        known = known - step[picks.pop(int(traces.argmin()))]
    return picks


@pytest.mark.parametrize("labeled", [0, 6])
@pytest.mark.parametrize("kind", ["exact", "binary", "expected"])
def test_it_is_the_slow_form(kind, labeled):
    for seed in range(5):
        view = problem(seed, labeled=labeled)
        expected = slow_bait(factors(view.pool, kind), factors(view.labeled, kind), 7)
        assert BAIT(kind).propose(view, 7, seeded()).indices.tolist() == expected


@pytest.mark.parametrize("oversample", [1.0, 1.5, 100.0])
def test_it_is_the_slow_form_however_many_are_put_back(oversample):
    view = problem(3, n=20)
    expected = slow_bait(factors(view.pool), factors(view.labeled), 4, ridge=0.01, oversample=oversample)
    assert BAIT("exact", ridge=0.01, oversample=oversample).propose(view, 4, seeded()).indices.tolist() == expected


@pytest.mark.parametrize("labeled", [0, 6])
def test_two_classes_are_rank_one(labeled):
    """And the same as the question whether the predicted class is right, with half the ridge."""
    for seed in range(5):
        view = problem(seed, classes=2, labeled=labeled)
        exact = BAIT("exact", ridge=0.3).propose(view, 6, seeded()).indices.tolist()
        assert exact == slow_bait(factors(view.pool), factors(view.labeled), 6, ridge=0.3)
        assert exact == BAIT("binary", ridge=0.15).propose(view, 6, seeded()).indices.tolist()


def test_all_labels_expected_are_the_exact_form():
    view = problem(1)
    every, exact = (m.propose(view, 6, seeded()) for m in (BAIT("expected", top=4), BAIT("exact")))
    assert torch.equal(every.indices, exact.indices)


def test_information_of_a_point():
    outputs = problem(0).pool
    p, h = outputs.require("log_probs").exp(), outputs.require("embeddings")
    V = factors(outputs)
    blocks = class_information(p, p)
    torch.testing.assert_close(blocks, torch.diag_embed(p) - p[:, :, None] * p[:, None])
    torch.testing.assert_close(information(p, p, h), torch.einsum("nra,nrb->ab", V, V))
    sizes = (1 - p.square().sum(1)) * h.square().sum(1)
    torch.testing.assert_close(V.square().sum((1, 2)), sizes)


def test_first_gains_are_the_falls_of_the_trace():
    outputs = problem(2, n=12).pool
    p, h = outputs.require("log_probs").exp(), outputs.require("embeddings")
    F, M0 = information(p, p, h), torch.eye(4 * D, dtype=torch.float64) / 0.7
    _, gains = many_class_batch(p, p, h, M0, F, 2, 1.0, seeded())
    V = factors(outputs)
    after = torch.linalg.inv(0.7 * torch.eye(4 * D) + torch.einsum("nra,nrb->nab", V, V))
    torch.testing.assert_close(gains, (F * M0).sum() - (F * after).sum((1, 2)), rtol=1e-5, atol=1e-5)
    _, gains = rank_one_batch(h, M0[:D, :D], F[:D, :D], 2, 1.0, seeded())
    after = torch.linalg.inv(0.7 * torch.eye(D) + h[:, :, None] * h[:, None])
    torch.testing.assert_close(gains, (F * M0)[:D, :D].sum() - (F[:D, :D] * after).sum((1, 2)))


@pytest.mark.parametrize("labeled", [0, 8])
def test_regression_is_the_slow_form(labeled):
    for seed in range(5):
        view = replace(problem(seed, labeled=labeled), num_classes=0)
        rows = [torch.cat([o.require("embeddings"), torch.ones(len(o), 1)], 1) for o in (view.pool, view.labeled)]
        size = rows[labeled > 0].square().sum(1).mean().sqrt()
        noise, b = 0.01, 5
        # The slow form divides labeled points by n + b and candidates by (n + b) / b.
        pool, known = rows[0] / size * ((labeled + b) / b) ** 0.5, rows[1] / size * (labeled + b) ** 0.5
        F = (rows[0].T @ rows[0] + rows[1].T @ rows[1]) / size**2
        M = torch.linalg.inv(noise * torch.eye(D + 1) + rows[1].T @ rows[1] / size**2)
        picks = BAIT(noise=noise).propose(view, b, seeded()).indices.tolist()
        assert picks == slow_trace(pool * (b / (labeled + b)) ** 0.5, M, F, b)
        assert len(known) == labeled


def slow_trace(rows: torch.Tensor, M: torch.Tensor, F: torch.Tensor, batch_size: int) -> list[int]:
    known, outer = torch.linalg.inv(M), rows[:, :, None] * rows[:, None]
    picks: list[int] = []
    for _ in range(2 * batch_size):
        traces = (torch.linalg.inv(known + outer) * F).sum((1, 2))
        traces[picks] = torch.inf
        picks.append(int(traces.argmin()))
        known = known + outer[picks[-1]]
    while len(picks) > batch_size:
        traces = (torch.linalg.inv(known - outer[picks]) * F).sum((1, 2))
        known = known - outer[picks.pop(int(traces.argmin()))]
    return picks


def test_rotated_embeddings_give_the_same_batch():
    view = problem(4)
    turn = torch.linalg.qr(torch.randn(D, D, generator=seeded(), dtype=torch.float64)).Q

    def turned(outputs: ModelOutputs) -> ModelOutputs:
        return replace(outputs, embeddings=outputs.require("embeddings") @ turn)

    other = replace(view, pool=turned(view.pool), labeled=turned(view.labeled))
    for method in ("exact", "binary", "expected"):
        a, b = (BAIT(method).propose(v, 6, seeded()).indices for v in (view, other))
        assert torch.equal(a, b)


def test_large_embeddings_are_worked_out_in_double_precision():
    view = problem(5)
    large = replace(
        view,
        pool=replace(view.pool, embeddings=300 * view.pool.require("embeddings")),
        labeled=replace(view.labeled, embeddings=300 * view.labeled.require("embeddings")),
    )
    assert (
        BAIT("exact").propose(large, 6, seeded()).indices.tolist()
        == BAIT("exact", ridge=1 / 90_000).propose(view, 6, seeded()).indices.tolist()
        == slow_bait(factors(large.pool), factors(large.labeled), 6)
    )


def test_batches_beat_drawn_ones():
    better = 0
    for seed in range(10):
        view = problem(seed, n=60)
        V, known = factors(view.pool), factors(view.labeled)
        F = torch.einsum("nra,nrb->ab", V, V) + torch.einsum("nra,nrb->ab", known, known)

        def trace(picks: torch.Tensor, V=V, known=known, F=F) -> float:
            all_V = torch.cat([V[picks] * 8, known]).flatten(0, 1)
            return float((torch.linalg.inv(torch.eye(4 * D) * 14 + all_V.T @ all_V) * F).sum())

        drawn = [trace(torch.randperm(60, generator=seeded(s))[:8]) for s in range(5)]
        better += trace(BAIT("exact").propose(view, 8, seeded()).indices) < min(drawn)
    assert better >= 9


def test_copies_of_a_point_are_worth_less_each_time():
    h = torch.eye(3, dtype=torch.float64).repeat_interleave(5, 0) * 10
    view = fake_view(torch.full((15, 3), 1 / 3).log(), h)
    for method in ("exact", "binary", "expected"):
        assert sorted((BAIT(method).propose(view, 3, seeded()).indices // 5).tolist()) == [0, 1, 2]


def test_certain_points_come_last():
    view = problem(6, n=10)
    sure = view.pool.require("log_probs").clone()
    sure[:4] = torch.tensor([0.0, -torch.inf, -torch.inf, -torch.inf])
    view = replace(view, pool=replace(view.pool, log_probs=sure))
    for method in ("exact", "binary", "expected"):
        assert set(BAIT(method).propose(view, 10, seeded()).indices[6:].tolist()) == {0, 1, 2, 3}


def test_auto_is_exact_for_small_problems_only():
    view = random_view(40)
    assert torch.equal(BAIT().propose(view, 5, seeded()).indices, BAIT("exact").propose(view, 5, seeded()).indices)
    assert BAIT()._method(50_000, 50_000, 10, 64, 100) == "exact"
    assert BAIT()._method(50_000, 50_000, 10, 512, 1000) == "binary"
    assert BAIT()._method(1_000, 1_000, 100, 8, 10) == "binary"


def test_a_drawn_part_of_the_pool():
    view = random_view(40)
    picks, scores = BAIT(candidates=10).propose(view, 6, seeded())
    assert picks.unique().numel() == 6 and (scores == scores.min()).sum() == 30
    assert BAIT(candidates=3).propose(view, 6, seeded()).indices.unique().numel() == 6


def test_wrong_arguments_are_refused():
    with pytest.raises(UnknownName, match="gready"):
        BAIT("gready").propose(random_view(), 3, seeded())
    with pytest.raises(InvalidInput, match="ridge=0"):
        BAIT(ridge=0).propose(random_view(), 3, seeded())
