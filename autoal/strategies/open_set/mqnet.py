"""MQ-Net: a learned trade-off of informativeness and purity."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autoal.outputs import PoolView
from autoal.rng import numpy_rng
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.diversity.featsim import largest_cosine
from autoal.strategies.parts.calibration import held_out_log_probs
from autoal.strategies.parts.distances import unit_rows
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.information import top_probability
from autoal.strategies.parts.rejected import rejected_with

__all__ = ["MQNet", "MonotoneScore"]

HIDDEN = 64
BATCH = 64
"""Points a step; the first half is compared with the second."""


class MQNet(Strategy):
    """Scores points by a small net of informativeness, 1 - largest probability, and purity, the largest cosine to a
    labeled point. The net never falls as either rises, and learns from the points bought so far what they were worth.

    Both are standardised over the pool and exponentiated. While no point has been rejected the score is their sum, the
    first round of the paper. Then the net is trained to rank labeled points by their cross-entropy above rejected
    ones, which are worth 0, with a margin of 1.

    Ours: purity reads the embeddings of the task model in the place of a contrastive network; the net learns from all
    labeled and rejected points, not the last batch; a labeled point is judged by a last layer that was fitted without
    it, and by the other labeled points (1000 of them at most). The net is made and trained from a fixed seed, in
    `steps` steps of 64 points. With nothing labeled purity says nothing.
    """

    name = "mqnet"
    family = "open set"
    source = "Park et al. 2022, arXiv 2210.07805"
    cost = "N L D"
    needs = frozenset({"log_probs", "embeddings"})

    def __init__(self, steps: int = 10_000, learning_rate: float = 1e-3) -> None:
        self.steps = steps
        self.learning_rate = learning_rate

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        pool, labeled = (unit_rows(side.double()) for side in pool_and_labeled(view))
        meant = torch.stack([1 - top_probability(view.pool.require("log_probs")), largest_cosine(pool, labeled)], dim=1)
        mean, spread = meant.mean(dim=0), meant.std(dim=0, correction=0)
        spread = torch.where(spread > 1e-9, spread, 1.0)

        def scaled(values: Tensor) -> Tensor:
            # Rows that are not of the pool may lie far out; exp(20) is large enough.
            return ((values - mean) / spread).clamp(max=20).exp()

        rejected = rejected_with(view, "log_probs", "embeddings")
        if rejected is None or len(labeled) < 2:
            return top_scores(scaled(meant).sum(dim=1), batch_size, rng)
        kept = torch.linspace(0, len(labeled) - 1, min(len(labeled), 1_000), device=labeled.device).long()
        embeddings, labels = view.labeled.require("embeddings").to(pool.device)[kept], view.labels.to(pool.device)[kept]
        held_out = held_out_log_probs(embeddings, labels, view.num_classes)[0].double()
        worth = -held_out.gather(1, labels[:, None]).flatten().clamp(min=-50)
        own = labeled[kept] @ labeled.T
        own[torch.arange(len(kept), device=own.device), kept] = -torch.inf
        asked = torch.stack([1 - top_probability(held_out), own.amax(dim=1).double()], dim=1)
        turned_away = torch.stack(
            [
                1 - top_probability(rejected.require("log_probs")),
                largest_cosine(unit_rows(rejected.require("embeddings").double()), labeled),
            ],
            dim=1,
        )
        inputs = torch.cat([scaled(asked), scaled(turned_away)])
        targets = torch.cat([worth, worth.new_zeros(len(turned_away))])
        net = MonotoneScore().fit(inputs.cpu().numpy(), targets.cpu().numpy(), self.steps, self.learning_rate)
        return top_scores(torch.from_numpy(net(scaled(meant).cpu().numpy())).to(pool.device), batch_size, rng)


class MonotoneScore:
    """2-64-1, sigmoid then linear, with the weights cut off at 0: it never falls as an input rises."""

    def __init__(self) -> None:
        made = numpy_rng(0, "mqnet")
        self.parameters = [
            made.uniform(-1, 1, (2, HIDDEN)) / 2**0.5,
            made.uniform(-1, 1, HIDDEN) / 2**0.5,
            made.uniform(-1, 1, HIDDEN) / HIDDEN**0.5,
        ]

    def __call__(self, inputs_n_2: np.ndarray) -> np.ndarray:
        """(n,) scores."""
        return self._forward(inputs_n_2)[1]

    def _forward(self, inputs_n_2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        into, bias, out = self.parameters
        hidden = 1 / (1 + np.exp(-np.clip(inputs_n_2 @ np.maximum(into, 0) + bias, -500, 500)))
        return hidden, hidden @ np.maximum(out, 0)

    def fit(self, inputs_n_2: np.ndarray, targets_n: np.ndarray, steps: int, learning_rate: float) -> MonotoneScore:
        """Adam on max(0, 1 - sign(t_i - t_j) (s_i - s_j)) over pairs, from a fixed seed."""
        drawn = numpy_rng(0, "mqnet batches")
        first = [np.zeros_like(p) for p in self.parameters]
        second = [np.zeros_like(p) for p in self.parameters]
        half = max(1, min(BATCH, len(inputs_n_2)) // 2)
        for step in range(1, steps + 1):
            some = drawn.integers(len(inputs_n_2), size=2 * half)
            hidden, scores = self._forward(inputs_n_2[some])
            sign = np.sign(targets_n[some[:half]] - targets_n[some[half:]])
            active = -sign * (1 - sign * (scores[:half] - scores[half:]) > 0) / half
            gap = np.concatenate([active, -active])
            into, _, out = self.parameters
            back = gap[:, None] * np.maximum(out, 0) * hidden * (1 - hidden)
            slopes = [(inputs_n_2[some].T @ back) * (into > 0), back.sum(axis=0), (gap @ hidden) * (out > 0)]
            for p, slope, m, v in zip(self.parameters, slopes, first, second, strict=True):
                m += 0.1 * (slope - m)
                v += 0.001 * (slope**2 - v)
                p -= learning_rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        return self
