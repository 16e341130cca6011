"""Noise stability: greedy k-center from the origin."""

from __future__ import annotations

import torch

from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies.uncertainty.noise_stability import NoiseStability
from tests.helpers import random_view, seeded


def view_of(rows: list[list[float]]) -> PoolView:
    moves = torch.tensor(rows).unsqueeze(1)
    return PoolView(ModelOutputs(deviations=moves), ModelOutputs(), torch.zeros(0, dtype=torch.int64), 2)


def test_the_first_pick_moves_most_and_the_next_moves_otherwise():
    view = view_of([[3.0, 0.0], [2.9, 0.1], [0.0, 2.0], [0.1, 0.0], [-1.0, 0.0]])
    assert NoiseStability().propose(view, 3, seeded()).indices.tolist() == [0, 2, 4]


def test_copies_are_picked_once_before_the_still_ones():
    view = view_of([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3)
    picks = NoiseStability().propose(view, 6, seeded()).indices.tolist()
    assert len(set(picks)) == 6 and {picks[0] // 3, picks[1] // 3} == {0, 1}


def slow(moves: torch.Tensor, batch_size: int) -> list[int]:
    """The plain loop over distances to the origin and to every pick."""
    nearest, picks = moves.norm(dim=1), []
    for _ in range(batch_size):
        masked = nearest.clone()
        masked[picks] = -1
        picks.append(int(masked.argmax()))
        nearest = torch.minimum(nearest, (moves - moves[picks[-1]]).norm(dim=1))
    return picks


def test_it_is_the_plain_loop():
    view = random_view(60, dtype=torch.float64)
    moves = view.pool.deviations.flatten(1)
    assert NoiseStability().propose(view, 15, seeded()).indices.tolist() == slow(moves, 15)


def test_many_numbers_a_point_are_projected_and_distances_roughly_kept():
    moves = torch.randn(30, 1, 4000, generator=seeded(1)) * torch.linspace(1, 4, 30)[:, None, None]
    view = PoolView(ModelOutputs(deviations=moves), ModelOutputs(), torch.zeros(0, dtype=torch.int64), 2)
    picks = NoiseStability(width=256).propose(view, 3, seeded()).indices.tolist()
    assert min(picks) >= 20
    assert NoiseStability(width=256).propose(view, 3, seeded(9)).indices.tolist() == picks
