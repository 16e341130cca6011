"""Noise stability: points whose output moves most, and in different ways, when the weights are shaken."""

from __future__ import annotations

import math

import torch

from autoal.compute import chunks
from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.rng import generator
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered
from autoal.strategies.parts.distances import centred, farthest_first, squared_norms

__all__ = ["NoiseStability"]


class NoiseStability(Strategy):
    """Greedy k-center on how the output of each point moves under small weight noise, starting from "it does not move".

    The first pick is the point that moves most; length is uncertainty, direction diversity. The movements (N, K, E) are
    the model's `deviations`: of the probabilities, or of the features in a regression. More than `width` numbers a
    point are projected to that many at random, by the same map in every call. Labeled points are no centers.
    """

    name = "noise_stability"
    family = "uncertainty"
    source = "Li et al. 2024, arXiv 2205.13340"
    cost = "N b K E"
    needs = frozenset({"deviations"})
    tasks = BOTH_TASKS

    def __init__(self, width: int = 512) -> None:
        self.width = width

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.width < 1:
            raise InvalidInput(f"got width={self.width}; wanted 1 or more")
        moves = view.pool.require("deviations").flatten(1)
        largest = float(moves.abs().max()) or 1.0
        if moves.shape[1] > self.width:
            draws = torch.randn(moves.shape[1], self.width, generator=generator(0, "noise stability", moves.shape[1]))
            turn = (draws / math.sqrt(self.width)).to(moves)
            out = moves.new_empty(len(moves), self.width)
            for rows in chunks(len(moves), 8.0 * moves.shape[1]):
                out[rows] = (moves[rows] / largest) @ turn
            moves = out
        else:
            moves = moves / largest
        # Distances do not change when all points and the origin are moved together.
        points, origin = centred(moves, moves.new_zeros(1, moves.shape[1]))
        lengths = squared_norms(points - origin)
        return ordered(farthest_first(points, lengths, batch_size, rng), lengths)
