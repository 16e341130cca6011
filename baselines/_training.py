"""What selectors that train a network of their own share: inputs, budget of steps, networks, views, one way to descend.

Such a selector reads the inputs of pool and labeled points and the labels of the labeled ones, never a label of the
pool. What `autoal compare` measures is the ordinary task model on the labels bought: only the query is compared. Each
network is trained anew in each round from (seed, selector, round), so nothing needs to survive between rounds unless a
selector says so. Ours, in all: AdamW on a cosine schedule (as for task models), and a bound on the steps of a round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal import rng
from autoal.compute import chunks, resolve_device
from autoal.data.rows import Rows, check_finite
from autoal.errors import AutoALError, InvalidInput, UnknownName
from autoal.models.evaluating import evaluating
from autoal.models.nets import EmbeddingNet, ResNet18, default_net
from autoal.models.standardise import Standardise
from autoal.outputs import ModelOutputs, PoolView
from autoal.selectors.base import RoundState, Selection
from autoal.strategies.base import BOTH_TASKS, Proposal, check_batch_size, top_scores

__all__ = [
    "CLASSIFICATION",
    "Points",
    "Problem",
    "RoundSelector",
    "TrainedSelector",
    "check_loss",
    "descend",
    "in_chunks",
    "make_network",
    "perceptron",
    "random_view",
    "seen_by",
    "stream",
    "supervised_loss",
    "view_of",
]

CLASSIFICATION = frozenset({"classification"})
LEAST_STEPS = 300
"""As in TrainConfig: epochs over a handful of labels are too few steps to fit."""
_HELD_BYTES = 2**30


class Points:
    """Inputs of some rows, standardised, in batches on a device; held there where they take a gibibyte at most."""

    def __init__(self, rows: Rows, indices: Tensor, scale: Standardise, device: torch.device) -> None:
        self._rows, self._indices, self._scale, self._device = rows, indices, scale, device
        small = 4 * len(indices) * math.prod(rows.row_shape) <= _HELD_BYTES
        self._held = scale(rows.take(indices).to(device)) if small else None

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, positions: Any) -> Tensor:
        """(n, ...) float32 inputs of the points at these positions (a tensor or a slice)."""
        if self._held is not None:
            return self._held[positions.to(self._device) if isinstance(positions, Tensor) else positions]
        return self._scale(self._rows.take(self._indices[positions]).to(self._device))


@dataclass(frozen=True)
class Problem:
    """One round: inputs of everything, labels of the labeled points."""

    pool: Points
    labeled: Points
    labels: Tensor
    """(L,) int64; float32 of mean 0 and deviation 1 in a regression."""
    num_classes: int
    """0 in a regression."""
    shape: tuple[int, ...]
    seed: int
    """Of this selector in this round."""
    device: torch.device
    state: RoundState

    def draws(self, purpose: str) -> torch.Generator:
        """A generator of its own for each purpose."""
        return rng.generator(self.seed, purpose)


@dataclass
class RoundSelector:
    """Base of selectors that read the inputs. Subclasses set the class attributes and write `_answer`."""

    name: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[str]
    """Trainings of a network in each round, besides that of the task model."""
    tasks: ClassVar[frozenset[str]] = BOTH_TASKS

    @property
    def needs(self) -> frozenset[str]:
        """Nothing of the task model, where a subclass does not say otherwise."""
        return frozenset()

    def needs_for(self, task: str) -> frozenset[str]:
        return self.needs if task in self.tasks else frozenset()

    def select(self, state: RoundState, batch_size: int) -> Selection:
        """Trains, then chooses. Raises InvalidInput for a task it is not defined for, or without inputs."""
        check_batch_size(batch_size, len(state.view))
        if state.view.task not in self.tasks:
            tasks = " and ".join(sorted(self.tasks))
            raise InvalidInput(f"{self.name} is defined for {tasks}, not for {state.view.task}")
        if state.inputs is None or state.pool_indices is None or state.labeled_indices is None:
            raise InvalidInput(f"{self.name} reads inputs, and this round has none; run it with `autoal compare`")
        order = state.pool_ids.argsort()  # what draws by position gives the same points, however the pool is ordered
        state = _reordered(state, order)
        seed = rng.derive_seed(state.seed, self.name, state.round)
        with rng.isolated(rng.derive_seed(seed, "training")), torch.enable_grad():
            proposal, diagnostics = self._answer(state, seed, batch_size)
        scores = torch.empty_like(proposal.scores.cpu()).index_copy_(0, order.cpu(), proposal.scores.cpu())
        return Selection(order.cpu()[proposal.indices.cpu()], scores, diagnostics=diagnostics)

    def reset(self) -> None:
        """Nothing is remembered."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""

    def _answer(self, state: RoundState, seed: int, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        """What to buy, and what to record."""
        raise NotImplementedError


def _reordered(state: RoundState, order: Tensor) -> RoundState:
    """The same round with the rows of its pool in another order."""
    assert state.pool_indices is not None
    if bool((order[1:] > order[:-1]).all()):
        return state
    rows = order.to(state.view.device)
    costs = None if state.view.costs is None else state.view.costs[rows]
    view = replace(state.view, pool=state.view.pool[rows], costs=costs)
    return replace(state, view=view, pool_ids=state.pool_ids[order], pool_indices=state.pool_indices[order])


@dataclass
class TrainedSelector(RoundSelector):
    """Base of selectors that train a network of their own. Subclasses write `_scores` or `_propose`."""

    epochs: int = 50
    """Passes over what is trained on (50 is ours, as for task models), but 300 steps at least."""
    max_steps: int = 2000
    """Steps of one round at most."""
    batch_size: int = 64
    lr: float = 1e-3
    network: str = "auto"
    """`auto` is a small CNN for images and an MLP for other rows; `resnet18` is what most of the papers use."""
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "max_steps", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"got {name}={getattr(self, name)} for {self.name}; wanted more than 0")
        if self.network not in ("auto", "resnet18"):
            raise UnknownName("network", self.network, ("auto", "resnet18"))

    def _answer(self, state: RoundState, seed: int, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        return self._propose(self._problem(state, seed), batch_size)

    def _propose(self, problem: Problem, batch_size: int) -> tuple[Proposal, dict[str, Any]]:
        scores, diagnostics = self._scores(problem)
        return top_scores(scores.cpu(), batch_size, problem.draws("ties")), diagnostics

    def _scores(self, problem: Problem) -> tuple[Tensor, dict[str, Any]]:
        """(N,) higher is more wanted, and what to record."""
        raise NotImplementedError

    def _problem(self, state: RoundState, seed: int) -> Problem:
        assert state.pool_indices is not None and state.labeled_indices is not None
        if len(state.labeled_indices) == 0:
            raise InvalidInput(f"{self.name} trains on labeled points, and there are none; start with some labels")
        device, rows = resolve_device(self.device), state.inputs
        # By all inputs together: the same numbers in every round, whoever is labeled.
        everything = torch.cat([state.pool_indices.cpu(), state.labeled_indices.cpu()]).sort().values
        check_finite(rows, everything, "the inputs")
        scale = Standardise.of(rows, everything)
        labels = state.view.labels.to(device)
        if state.view.num_classes == 0:
            spread = labels.std(correction=0)
            labels = ((labels - labels.mean()) / torch.where(spread > 0, spread, torch.ones_like(spread))).float()
        return Problem(
            pool=Points(rows, state.pool_indices.cpu(), scale, device),
            labeled=Points(rows, state.labeled_indices.cpu(), scale, device),
            labels=labels,
            num_classes=state.view.num_classes,
            shape=tuple(rows.row_shape),
            seed=seed,
            device=device,
            state=state,
        )

    def _steps(self, points: int) -> int:
        """Steps for `epochs` passes over so many points, within bounds."""
        return min(self.max_steps, max(LEAST_STEPS, self.epochs * math.ceil(points / self.batch_size)))

    def _network(self, problem: Problem) -> EmbeddingNet:
        return make_network(self.network, problem.shape, problem.num_classes).to(problem.device)


def make_network(name: str, shape: tuple[int, ...], num_classes: int) -> EmbeddingNet:
    """A fresh network for rows of that shape. Raises InvalidInput for `resnet18` on other rows than images."""
    if name == "resnet18":
        if len(shape) != 3:
            raise InvalidInput(f"network='resnet18' needs images, got rows of shape {shape}; use network='auto'")
        return ResNet18(shape[0], num_classes)
    return default_net(shape, num_classes)


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def stream(n: int, size: int, draws: torch.Generator) -> Iterator[Tensor]:
    """Batches of positions in 0..n-1 for ever, each of min(size, n) points; every pass in an order of its own."""
    size = min(size, n)
    while True:
        order = torch.randperm(n, generator=draws)
        yield from (order[start : start + size] for start in range(0, n - size + 1, size))


def descend(parameters: Any, loss_of: Callable[[int], Tensor], steps: int, lr: float, name: str) -> list[float]:
    """Minimises loss_of(step) by AdamW with a cosine schedule; the loss of each step. Raises where it is not finite."""
    optimizer = torch.optim.AdamW(parameters, lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses: list[float] = []
    for step in range(steps):
        loss = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(check_loss(loss, step, name))
    return losses


def check_loss(loss: Tensor, step: int, name: str) -> float:
    """The loss as a number. Raises AutoALError where it is not finite."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise AutoALError(f"the training loss of {name} is {value} in step {step + 1}; lower its lr")
    return value


def supervised_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """(n,) cross-entropy, or squared errors where labels are floating-point numbers."""
    if labels.dtype.is_floating_point:
        return (outputs.reshape(labels.shape) - labels).square()
    return F.cross_entropy(outputs, labels, reduction="none")


def in_chunks(module: nn.Module, function: Callable[[Tensor], Tensor], points: Points) -> Tensor:
    """function(inputs) of all points, in evaluation mode, without gradients."""
    width = points[:1].numel()
    with evaluating(module):
        return torch.cat([function(points[part]) for part in chunks(len(points), 512.0 * width)])


def seen_by(net: EmbeddingNet, points: Points, num_classes: int) -> ModelOutputs:
    """Embeddings and log probabilities (means in a regression) of our own network."""
    embeddings = in_chunks(net, net.embed, points)
    with torch.no_grad():
        outputs = net.head(embeddings)
    if num_classes == 0:
        return ModelOutputs(embeddings=embeddings, means=outputs.reshape(-1))
    return ModelOutputs(embeddings=embeddings, log_probs=outputs.log_softmax(dim=1), logits=outputs)


def view_of(net: EmbeddingNet, problem: Problem) -> PoolView:
    """What our own network says, for a strategy to choose from."""
    return PoolView(
        pool=seen_by(net, problem.pool, problem.num_classes),
        labeled=seen_by(net, problem.labeled, problem.num_classes),
        labels=problem.labels,
        num_classes=problem.num_classes,
    )


def random_view(x: Tensor, draws: torch.Generator) -> Tensor:
    """Another view of standardised inputs: noise of deviation 0.1, and images moved by up to an eighth of their size,
    other rows with a tenth of their columns at the mean. (Ours; no flips, which would turn digits into others.)"""
    noisy = x + 0.1 * torch.randn(x.shape, generator=draws).to(x)
    if x.ndim != 4:
        return noisy * (torch.rand(x.shape, generator=draws) >= 0.1).to(x)
    n, _, height, width = x.shape
    margin = max(1, height // 8)
    padded = F.pad(noisy, (margin,) * 4)
    top, left = torch.randint(0, 2 * margin + 1, (2, n), generator=draws).to(x.device)
    down = top[:, None] + torch.arange(height, device=x.device)
    across = left[:, None] + torch.arange(width, device=x.device)
    each = torch.arange(n, device=x.device)[:, None, None]
    return padded[each, :, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)
