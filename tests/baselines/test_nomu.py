"""NOMU: its loss term by term, and an uncertainty that is small at labels and large in gaps."""

from __future__ import annotations

import math

import pytest
import torch

from autoal.errors import InvalidInput, UnknownName
from autoal.rng import generator
from baselines.nomu import NOMU, Columns, MeanAndUncertainty, nomu_loss, uncertainty
from tests.baselines.rounds import images, round_of


def loss(means, labels, known, around, square=0.1, outward=0.01, rate=30.0) -> float:
    tensors = (torch.tensor(values, dtype=torch.float64) for values in (means, labels, known, around))
    return float(nomu_loss(*tensors, square, outward, rate))


def test_its_loss_by_hand():
    # Errors 0.5 and 1: 1.25. r = 0.2 and -0.3 at the labels: 0.04 + 0.09. r = 0.1 and 0 elsewhere: (e^-3 + 1) / 2.
    wanted = 1.25 + 0.1 * 0.13 + 0.01 * (math.exp(-3) + 1) / 2
    assert loss([1.5, 2.0], [1.0, 3.0], [0.2, -0.3], [0.1, 0.0]) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("known", "around", "wanted"),
    [
        ([3.0, -2.0], [0.0], 0.1 * (5 + 3) + 0.01),  # 2|r| - 1 beyond 1
        ([1.0], [0.0], 0.1 + 0.01),  # where both forms meet
        ([0.0], [-2.0, 0.0], 0.01 * (30 * 2 + 1 + 1) / 2),  # 1 - rate r below 0
        ([0.0], [-1e4], 0.01 * (3e5 + 1)),  # the exponential itself would overflow
    ],
)
def test_its_terms_are_linear_where_they_would_overflow(known, around, wanted):
    zeros = [0.0] * len(known)
    assert loss(zeros, zeros, known, around) == pytest.approx(wanted)


def test_the_map_to_an_uncertainty():
    found = uncertainty(torch.tensor([-3.0, 0.0, 1.0, 1e6], dtype=torch.float64), 1e-3, 2.0)
    assert found.tolist() == pytest.approx([0.00099975, 0.00099975, 0.787545, 2.0], abs=1e-6)
    assert bool((uncertainty(torch.linspace(0, 5, 50), 1e-3, 2.0).diff() > 0).all())


def test_detached_the_mean_is_what_it_would_be_alone():
    def moved(detach: bool) -> list[bool]:
        torch.manual_seed(0)
        net = MeanAndUncertainty(2, 8, detach)
        means, raw = net(torch.randn(12, 2))
        nomu_loss(means[:4].detach(), torch.zeros(4), raw[:4], raw[4:], 1.0, 1.0, 30.0).backward()
        return [w.grad is not None and bool(w.grad.any()) for w in net.mean_trunk.parameters()]

    assert not any(moved(True)) and any(moved(False))


def test_columns_lie_in_the_box_and_constant_ones_at_nothing():
    x = torch.randn(50, 3, generator=generator(0))
    x[:, 1] = 7.0
    scaled = Columns.of(x[:30], x[30:])(x)
    assert torch.allclose(scaled.amin(dim=0), torch.tensor([-1.0, 0.0, -1.0]))
    assert torch.allclose(scaled.amax(dim=0), torch.tensor([1.0, 0.0, 1.0]))


@pytest.mark.parametrize("around", ["box", "pool"])
def test_artificial_points_reach_five_percent_beyond_and_leave_constant_columns(around):
    x = torch.rand(40, 3, generator=generator(0))
    x[:, 2] = 3.0
    selector = NOMU(around=around, points=2000)
    columns, draws = Columns.of(x), generator(1)
    found = selector._artificial(x, columns, draws)
    assert found.shape == (2000, 3) and not found[:, 2].any()
    assert 1.05 < float(found[:, :2].max()) <= 1.1 and -1.1 <= float(found[:, :2].min()) < -1.05
    if around == "pool":
        assert float(torch.cdist(found, columns(x)).min(dim=1).values.max()) <= 0.1 * math.sqrt(2) + 1e-6


def line(scale: float = 1.0, shift: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """101 points of a sine, those that will be labeled first: all but the middle is known."""
    known = torch.tensor([0, 8, 16, 24, 32, 68, 76, 84, 92, 100])
    order = torch.cat([known, torch.tensor([i for i in range(101) if i not in set(known.tolist())])])
    x = torch.linspace(-1, 1, 101)[order][:, None]
    return x, scale * torch.sin(4 * x[:, 0]).double() + shift


@pytest.mark.parametrize("detach", [True, False])
def test_it_asks_for_the_gap_between_the_labels(detach):
    x, y = line()
    answer = NOMU(device="cpu", width=64, max_steps=600, detach=detach, batch="top").select(round_of(x, y, 10), 5)
    assert float(x[10:][answer.positions].abs().max()) < 0.35
    at, u = x[10:, 0], answer.utilities
    assert float(u[(at.abs() > 0.36)].mean()) < float(u[at.abs() < 0.1].mean()) / 3


def test_uncertainty_is_in_units_of_the_targets():
    short = {"device": "cpu", "width": 16, "max_steps": 50, "batch": "top"}
    plain, larger = (NOMU(**short).select(round_of(*line(*how), 10), 5) for how in ((1.0, 0.0), (8.0, 0.0)))
    assert torch.allclose(8 * plain.utilities, larger.utilities)
    moved = NOMU(**short).select(round_of(*line(1.0, 1024.0), 10), 5)
    assert torch.allclose(plain.utilities, moved.utilities, rtol=1e-3)


def test_without_a_pull_outwards_nothing_is_uncertain():
    selector = NOMU(device="cpu", width=16, max_steps=400, outward=0.0, least=1e-6, batch="top")
    answer = selector.select(round_of(*line(), 10), 5)
    assert float(answer.utilities.max()) < 0.02


def test_a_drawn_batch_spreads_and_its_scores_put_the_picks_first():
    answer = NOMU(device="cpu", width=16, max_steps=30).select(round_of(*line(), 10), 9)
    assert answer.utilities.argsort(descending=True)[:9].tolist() == answer.positions.tolist()


def test_images_go_by_the_embeddings_of_the_task_model():
    x, labels = images()
    state = round_of(x, labels.double() + x.mean(dim=(1, 2, 3)), needs=frozenset({"embeddings"}))
    with pytest.raises(InvalidInput, match="on='embeddings'"):
        NOMU(device="cpu").select(state, 3)
    selector = NOMU(device="cpu", on="embeddings", width=16, max_steps=20)
    assert selector.needs_for("regression") == {"embeddings"}
    assert len(selector.select(state, 3).positions) == 3


def test_what_it_cannot_do_is_said():
    with pytest.raises(UnknownName, match="'power'"):
        NOMU(batch="powr")
    with pytest.raises(InvalidInput, match="networks of its own"):
        NOMU(network="resnet18")
    with pytest.raises(InvalidInput, match="most"):
        NOMU(most=0.0)
