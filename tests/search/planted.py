"""Worlds in which the right answer is known: candidates that are oracles, saboteurs or dice by construction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional

from autoal.anchor.heads import fit_heads, with_bias
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.search.engines import ENGINES
from autoal.search.fit_net import HeadProblem, clipped_log_loss
from autoal.selectors import AutoAL, RoundState
from autoal.strategies.base import Strategy, ordered, top_scores


@dataclass
class World:
    """Overlapping Gaussian clusters: a pool with (possibly wrong) labels, and a clean test set."""

    x: torch.Tensor
    y: torch.Tensor
    clean: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    classes: int
    flipped: torch.Tensor
    rows: dict[bytes, int] = field(default_factory=dict)

    def lookup(self, features: torch.Tensor) -> torch.Tensor:
        """Row numbers of feature rows, which is how a planted candidate knows more than it should."""
        if not self.rows:
            self.rows.update({row.numpy().tobytes(): i for i, row in enumerate(self.x)})
        return torch.tensor([self.rows[row.numpy().tobytes()] for row in features])


def make_world(
    seed: int, n: int = 400, d: int = 6, classes: int = 3, flip: float = 0.0, shuffle: bool = False
) -> World:
    rng = generator(seed, "planted world")
    centres = 1.6 * torch.randn(2 * classes, d, generator=rng)

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        cluster = torch.randint(0, 2 * classes, (count,), generator=rng)
        return centres[cluster] + torch.randn(count, d, generator=rng), cluster % classes

    x, clean = draw(n)
    x_test, y_test = draw(1000)
    y, flipped = clean.clone(), torch.zeros(n, dtype=torch.bool)
    if flip:
        flipped = torch.rand(n, generator=rng) < flip
        y[flipped] = (y[flipped] + 1 + torch.randint(0, classes - 1, (int(flipped.sum()),), generator=rng)) % classes
    if shuffle:
        y = y[torch.randperm(n, generator=rng)]
    return World(x, y, clean, x_test, y_test, classes, flipped)


class Planted(Strategy):
    """Base of the planted candidates; `tag` keeps two of a kind apart."""

    family, source, cost = "planted", "this test", "any"
    needs = frozenset({"embeddings"})

    def __init__(self, world: Any = None, tag: int = 0) -> None:
        self.world = world
        self.tag = tag

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tag})"


class Oracle(Planted):
    """Wants the points whose true label lowers the test loss most, to first order around the present solution."""

    name = "oracle"

    def _propose(self, view, batch_size, rng):
        world = self.world
        rows = world.lookup(view.pool.require("embeddings"))
        x = with_bias(view.labeled.require("embeddings")).double().unsqueeze(0)
        pool = with_bias(world.x[rows]).double().unsqueeze(0)
        test = with_bias(world.x_test).double().unsqueeze(0)
        weights = torch.full((1, len(world.y_test)), 1 / len(world.y_test), dtype=torch.float64)
        problem = HeadProblem.build(
            x, view.labels.unsqueeze(0), pool, world.y[rows].unsqueeze(0), test, world.y_test.unsqueeze(0), weights,
            num_classes=world.classes, batch=batch_size, l2=1.0,
        )  # fmt: skip
        ones = torch.ones(1, x.shape[1], dtype=torch.float64)
        heads = fit_heads(
            x, view.labels.unsqueeze(0), ones, num_classes=world.classes, l2=1.0, whitener=problem.whitener
        )
        with torch.enable_grad():
            mask = torch.zeros(1, pool.shape[1], dtype=torch.float64, requires_grad=True)
            loss, _ = ENGINES["implicit"](problem, heads, mask, 0, 1.0)
            (gradient,) = torch.autograd.grad(loss.sum(), mask)
        return top_scores(-gradient[0], batch_size, rng)


class Saboteur(Planted):
    """Wants exactly the points whose label is wrong."""

    name = "saboteur"

    def _propose(self, view, batch_size, rng):
        wrong = self.world.flipped[self.world.lookup(view.pool.require("embeddings"))]
        return top_scores(wrong.double(), batch_size, rng)


class Dice(Planted):
    """Random, each tag with dice of its own."""

    name = "dice"

    def _propose(self, view, batch_size, rng):
        scores = torch.rand(len(view), generator=rng, dtype=torch.float64)
        return ordered(scores.topk(batch_size).indices, scores)


class Switch(Planted):
    """`first` while `state["round"]` is below `at`, `second` from then on."""

    name = "switch"

    def __init__(self, first: Any = None, second: Any = None, at: int = 5, state: Any = None, tag: int = 0) -> None:
        self.first, self.second, self.at, self.state, self.tag = first, second, at, state, tag

    def _propose(self, view, batch_size, rng):
        active = self.first if self.state["round"] < self.at else self.second
        return active._propose(view, batch_size, rng)


@dataclass
class Played:
    """One run: per round, weights in use, learned weights, whether the gate was open, and test accuracy."""

    weights: list[dict[str, float]]
    learned: list[dict[str, float]]
    open: list[bool]
    accuracy: list[float]
    loss: list[float]
    bought: torch.Tensor

    @property
    def aubc(self) -> float:
        a = self.accuracy
        return 100 * sum((u + v) / 2 for u, v in pairwise(a)) / (len(a) - 1)


def play(
    world: World, selector: Any, seed: int, *, rounds: int, batch: int = 10, initial: int = 24, state: Any = None
) -> Played:
    """Active learning with a ridge-logistic model on the world's features; the selector sees what a user's would."""
    rng = generator(seed, "initial labels")
    order = torch.randperm(len(world.x), generator=rng)
    first = torch.cat([order[world.y[order] == c][:2] for c in range(world.classes)])
    rest = order[~torch.isin(order, first)]
    bought = torch.cat([first, rest[: initial - len(first)]])
    played = Played([], [], [], [], [], bought)
    selector.reset()
    for r in range(rounds + 1):
        if state is not None:
            state["round"] = r
        labeled = bought.sort().values
        pool = torch.arange(len(world.x))[~torch.isin(torch.arange(len(world.x)), labeled)]
        x = with_bias(world.x[labeled]).unsqueeze(0)
        heads = fit_heads(
            x, world.y[labeled].unsqueeze(0), torch.ones(1, len(labeled)), num_classes=world.classes, l2=1.0
        )

        def log_probs(points, heads=heads):
            return functional.log_softmax(heads(with_bias(points).unsqueeze(0))[0].detach(), dim=1)

        test = log_probs(world.x_test)
        played.accuracy.append(float((test.argmax(1) == world.y_test).float().mean()))
        played.loss.append(float(clipped_log_loss(test, world.y_test).mean()))
        if r == rounds:
            break
        view = PoolView(
            ModelOutputs(log_probs(world.x[pool]), world.x[pool]),
            ModelOutputs(log_probs(world.x[labeled]), world.x[labeled]),
            world.y[labeled],
            world.classes,
        )
        chosen = selector.select(RoundState(view, r, seed, pool, labeled), batch)
        played.weights.append(dict(chosen.weights))
        gate = chosen.diagnostics.get("gate", {})
        played.learned.append(gate.get("learned_weights", dict(chosen.weights)))
        played.open.append(bool(gate.get("open", False)))
        bought = torch.cat([bought, pool[chosen.positions]])
    played.bought = bought
    return played


class Alone:
    """A candidate's own batch, round after round."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def reset(self) -> None:
        pass

    def select(self, state: RoundState, batch_size: int) -> Any:
        from autoal.selectors import Selection

        proposal = self.strategy.propose(state.view, batch_size, generator(state.seed, "alone", state.round))
        return Selection(proposal.indices, proposal.scores)


def team(world: World, first: Strategy | None, dice: int = 6) -> list[tuple[str, Strategy]]:
    """`first` and `dice` random candidates."""
    members: list[tuple[str, Strategy]] = [] if first is None else [(first.name, first)]
    return members + [(f"dice{i}", Dice(world, i)) for i in range(dice)]


def standard_error(values: list[float]) -> float:
    t = torch.tensor(values, dtype=torch.float64)
    return float(t.std() / math.sqrt(len(values)))


def auto(candidates: list[tuple[str, Strategy]], mode: str = "bilevel", **search: Any) -> AutoAL:
    """One that searches in every round, with twice the episodes of the default: what is asked is whether a signal is
    found, not how soon it is looked for or at what price.
    `mode="resting"` is `bilevel` as users get it, which searches again only once there are enough new labels."""
    if mode == "resting":
        return AutoAL(candidates, search=search, random_state=0)
    return AutoAL(candidates, mode=mode, search={"relearn": 1.0, "episodes": 16, **search}, random_state=0)
