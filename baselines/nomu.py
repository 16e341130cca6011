"""NOMU: a second network learns how far the data say nothing, small where there are labels and large elsewhere."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal.compute import chunks
from autoal.errors import InvalidInput, UnknownName
from autoal.models.evaluating import evaluating
from autoal.strategies.base import Proposal, ordered, top_scores
from autoal.strategies.parts.stochastic import stochastic_keys

from ._training import Points, Problem, TrainedSelector, check_loss, perceptron, stream

__all__ = ["NOMU", "Columns", "MeanAndUncertainty", "nomu_loss", "uncertainty"]

WIDEST_BOX = 20
"""Columns up to which artificial points fill a box; a box of more is nearly all empty space."""
MARGIN = 0.1
"""5 % of the width of [-1, 1]."""


class MeanAndUncertainty(nn.Module):
    """Mean (n,) and raw uncertainty (n,) of columns: two trunks of three layers, and the second output reads both.

    With `detach` it moves the second trunk only, so the mean is what it would be alone.
    """

    def __init__(self, columns: int, width: int, detach: bool) -> None:
        super().__init__()
        self.detach = detach
        self.mean_trunk = nn.Sequential(perceptron(columns, width, width, width), nn.ReLU())
        self.raw_trunk = nn.Sequential(perceptron(columns, width, width, width), nn.ReLU())
        self.mean_head, self.raw_head = nn.Linear(width, 1), nn.Linear(2 * width, 1)
        for weight in self.parameters():
            nn.init.uniform_(weight, -0.05, 0.05)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.mean_trunk(x)
        seen = hidden.detach() if self.detach else hidden
        raw = self.raw_head(torch.cat([seen, self.raw_trunk(x)], dim=1))
        return self.mean_head(hidden).squeeze(1), raw.squeeze(1)


def nomu_loss(
    means_n: Tensor, labels_n: Tensor, raw_n: Tensor, raw_A: Tensor, square: float, outward: float, rate: float
) -> Tensor:
    """Sum of squared errors + `square` * sum of r^2 at the labels + `outward` * mean of exp(-rate r) elsewhere.

    Both terms of r are linear where they would overflow: r^2 is 2|r| - 1 beyond 1, exp(-rate r) is 1 - rate r below 0.
    """
    far = raw_n.abs() > 1
    known = torch.where(far, 2 * raw_n.abs() - 1, raw_n.square()).sum()
    around = (rate * F.relu(-raw_A) + (-rate * F.relu(raw_A)).exp()).mean()
    return (means_n - labels_n).square().sum() + square * known + outward * around


def uncertainty(raw: Tensor, least: float, most: float) -> Tensor:
    """Standard deviation most * (1 - exp(-(max(r, 0) + least) / most)): about `least` at r = 0, below `most` always."""
    return most * (1 - (-(raw.clamp_min(0) + least) / most).exp())


class Columns(NamedTuple):
    """From standardised rows (n, d) to columns in [-1, 1] over pool and labeled points; constant ones are 0."""

    low_d: Tensor
    half_d: Tensor
    """Half of the width of each column."""

    @classmethod
    def of(cls, *sides: Points | Tensor) -> Columns:
        lowest, highest = [], []
        for side in sides:
            for part in chunks(len(side), 8.0 * side[:1].numel()):
                lowest.append(side[part].amin(dim=0))
                highest.append(side[part].amax(dim=0))
        low, high = torch.stack(lowest).amin(dim=0), torch.stack(highest).amax(dim=0)
        return cls(low, (high - low) / 2)

    def __call__(self, x: Tensor) -> Tensor:
        scaled = (x - self.low_d) / torch.where(self.half_d > 0, self.half_d, torch.ones_like(self.half_d)) - 1
        return scaled * self.varies

    @property
    def varies(self) -> Tensor:
        """(d,) 1.0, or 0.0 where the column is constant."""
        return (self.half_d > 0).to(self.half_d.dtype)


@dataclass
class NOMU(TrainedSelector):
    """Asks for the points of the largest model uncertainty, in a regression.

    A network fits the means; a second one gives r, pulled to 0 at the labels (`square`) and upwards at artificial
    points (`outward`, at the rate `rate`); the uncertainty is r mapped into [`least`, `most`]. `points` artificial
    points are drawn anew in each step: evenly from the box of all points, 5 % wider on each side (`around = "box"`), or
    around points of the pool by the same 5 % (`"pool"`; ours); `auto` is the box up to 20 columns. Adam at a constant
    `lr`; the weights of the pass of least loss are kept. The source: three layers of 1024, 1024 steps on all labels at
    once, joint training (`detach = False`); width, 1000 steps, batches and `detach` are ours.

    `on`: `inputs` are columns; images go by `embeddings`, those of the task model. `batch` (ours, since the source asks
    for one point at a time): points drawn in proportion to their uncertainty (`power`), or the largest (`top`), which
    are often neighbours in one gap.
    """

    name: ClassVar[str] = "nomu"
    source: ClassVar[str] = "Heiss et al., ICML 2022, arXiv 2102.13640"
    cost: ClassVar[str] = "1 training of two networks"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})

    epochs: int = 1024
    max_steps: int = 1000
    batch_size: int = 128
    width: int = 256
    square: float = 0.1
    outward: float = 0.01
    rate: float = 30.0
    points: int = 128
    least: float = 1e-3
    most: float = 2.0
    l2: float = 1e-8
    detach: bool = True
    around: str = "auto"
    on: str = "inputs"
    batch: str = "power"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network != "auto":
            raise InvalidInput("nomu has networks of its own; leave `network` out, and set `width`")
        for name in ("width", "rate", "points", "least", "most"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"got {name}={getattr(self, name)} for nomu; wanted more than 0")
        for name in ("square", "outward", "l2"):
            if not getattr(self, name) >= 0:
                raise InvalidInput(f"got {name}={getattr(self, name)} for nomu; wanted 0 or more")
        known = {"around": ("auto", "box", "pool"), "on": ("inputs", "embeddings"), "batch": ("top", "power")}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise UnknownName(name, getattr(self, name), values)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"embeddings"} if self.on == "embeddings" else ())

    def _propose(self, problem: Problem, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        scores, diagnostics = self._scores(problem)
        draws = problem.draws("ties")
        if self.batch == "top":
            return top_scores(scores, batch_size, draws), diagnostics
        drawn = top_scores(stochastic_keys(scores, "power", 1.0, draws), batch_size, draws).indices
        return ordered(drawn, scores), diagnostics

    def _scores(self, problem: Problem) -> tuple[Tensor, dict[str, Any]]:
        pool, labeled = self._sides(problem)
        columns = Columns.of(pool, labeled)
        net = MeanAndUncertainty(len(columns.low_d), self.width, self.detach).to(problem.device)
        loss = self._train(net, problem, pool, labeled, columns)
        found = []
        with evaluating(net):
            for part in chunks(len(pool), 32.0 * (len(columns.low_d) + self.width)):
                found.append(uncertainty(net(columns(pool[part]))[1], self.least, self.most))
        spread = float(problem.state.view.labels.double().std(correction=0))
        scores = torch.cat(found).double().cpu() * (spread if spread > 0 else 1.0)
        return scores, {"steps": self._steps(len(labeled)), "loss": loss}

    def _sides(self, problem: Problem) -> tuple[Points | Tensor, Points | Tensor]:
        """Pool and labeled points as rows of columns."""
        if self.on == "embeddings":
            view = problem.state.view
            pool, labeled = (
                side.require("embeddings").float().to(problem.device) for side in (view.pool, view.labeled)
            )
            return pool, labeled
        if len(problem.shape) != 1:
            raise InvalidInput(f"nomu reads columns, got rows of shape {problem.shape}; set on='embeddings'")
        return problem.pool, problem.labeled

    def _train(
        self, net: MeanAndUncertainty, problem: Problem, pool: Points | Tensor, labeled: Points | Tensor,
        columns: Columns,
    ) -> float:  # fmt: skip
        """Trains `net`; the least mean loss of a pass, whose weights it is left with."""
        steps, draws = self._steps(len(labeled)), problem.draws("artificial points")
        batches = stream(len(labeled), self.batch_size, problem.draws("batches"))
        in_a_pass = min(steps, max(1, len(labeled) // self.batch_size))
        optimizer = torch.optim.Adam(net.parameters(), self.lr, weight_decay=2 * self.l2)  # the slope of l2 |w|^2
        best, kept, total = float("inf"), copy.deepcopy(net.state_dict()), 0.0
        for step in range(steps):
            rows = next(batches).to(problem.device)
            x = torch.cat([columns(labeled[rows]), self._artificial(pool, columns, draws)])
            means, raw = net(x)
            n = len(rows)
            loss = nomu_loss(means[:n], problem.labels[rows], raw[:n], raw[n:], self.square, self.outward, self.rate)
            total += check_loss(loss, step, self.name)
            # The loss is that of the weights before the step; of a longer pass, near enough.
            if (step + 1) % in_a_pass == 0:
                if total < best:
                    best, kept = total, copy.deepcopy(net.state_dict())
                total = 0.0
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        net.load_state_dict(kept)
        return best / in_a_pass

    def _artificial(self, pool: Points | Tensor, columns: Columns, draws: torch.Generator) -> Tensor:
        """(A, d) points at which nothing is known, in [-1, 1] and 5 % of its width around."""
        width = len(columns.low_d)
        even = (2 * torch.rand(self.points, width, generator=draws) - 1).to(columns.low_d)
        box = self.around == "box" or (self.around == "auto" and width <= WIDEST_BOX)
        if box:
            return (1 + MARGIN) * even * columns.varies
        drawn = torch.randint(len(pool), (self.points,), generator=draws).to(columns.low_d.device)
        return columns(pool[drawn]) + MARGIN * even * columns.varies
