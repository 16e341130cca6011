"""One round of the bi-level search: what is learned from the labels at hand, whether it is used, and the batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from autoal.anchor.candidates import NamedCandidate
from autoal.anchor.compose import EVALUATION, compose_pool
from autoal.anchor.describe import describe_pool
from autoal.anchor.judges import Judges
from autoal.anchor.open_set import log_known
from autoal.anchor.space import Space
from autoal.compute import single_threaded
from autoal.errors import InvalidInput
from autoal.outputs import PoolView, Validation
from autoal.rng import generator
from autoal.search.bilevel import SearchTrace, averaged, discounted, point_losses, train_search_net
from autoal.search.context import NUM_CONTEXT, round_context
from autoal.search.episodes import Episodes, episode_sizes, simulate
from autoal.search.evidence import CARRY, Evidence, Finding
from autoal.search.fit_net import clipped_squares
from autoal.search.numbers import fresh_net, known_numbers, numbers_of, restored
from autoal.search.search_net import SearchNet
from autoal.settings import SearchConfig
from autoal.strategies import Proposal
from autoal.strategies.base import random_ties

__all__ = ["Composed", "Learned", "Memory", "compose_batch", "considered", "learn", "untaught"]

FEWEST = 24
"""Labels with which a round can be simulated at all: a support of ten, eight to choose from, six that judge."""
PROMISING = 0.1
"""One-sided level, a gain of 1.3 standard errors, at which the next search is made with `SOON` times the labels."""
SOON = 1.5
CONSIDERED = 2_000
"""Points of a larger pool that may be bought where it is taken whole, those of highest value per price; twenty a pick
where there are more, but no more than `MOST`, or two a pick. Coverage is summed over them and half as many of the
others."""
MOST = 20_000
"""Their number times that of the points over which coverage is summed is what a large batch costs."""
NETWORK_FROM = 500
"""Labels from which on weights become a function of the point; fully so at four times as many."""
CLASSES_OF_TARGETS = 4
"""As how many classes the targets of a regression count where labels per class are asked for."""


@dataclass(frozen=True)
class Memory:
    """What one round leaves to the next: SearchNet's numbers, by candidate name, and the evidence. Plain data."""

    logits: dict[str, float] = field(default_factory=dict)
    shared: dict[str, list[float]] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    searched_at: int = 0
    """How many labels the last search had."""

    def to_json(self) -> dict[str, Any]:
        return {
            "logits": dict(self.logits),
            "shared": dict(self.shared),
            "evidence": self.evidence.to_json(),
            "searched_at": self.searched_at,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Memory:
        """Raises InvalidInput for what another version learned and this one cannot use as it was meant."""
        carried = value.get("carry", CARRY)
        if carried != CARRY:
            raise InvalidInput(
                f"got evidence that was carried over by carry={carried}, a setting that was removed; wanted {CARRY}: "
                "begin with a new selector, or use the version that saved this one"
            )
        evidence = Evidence.from_json(value["evidence"])
        return Memory(dict(value["logits"]), known_numbers(value["shared"]), evidence, value["searched_at"])

    def restore(self, fresh: SearchNet, names: Sequence[str]) -> SearchNet:
        """A net with these numbers; a candidate not seen before starts at the mean of the others."""
        return restored(fresh, (self.logits, self.shared), names)

    def after(self, net: SearchNet, names: Sequence[str], evidence: Evidence, searched_at: int) -> Memory:
        """This memory once `net` has been learned; candidates not asked this time keep their numbers."""
        logits, shared = numbers_of(net, names)
        return Memory({**self.logits, **logits}, shared, evidence, searched_at)


@dataclass(frozen=True)
class Learned:
    """The search of one round."""

    net: SearchNet
    """The net in use: what was learned where the gate is open, else the anchor."""
    candidate_net: SearchNet
    """What was learned, used or not."""
    memory: Memory
    capacity: float
    context: Tensor
    gate_open: bool
    reason: str
    trace: SearchTrace | None
    seconds: dict[str, float]


def network_share(n_labeled: int) -> float:
    """How much the per-point network counts, in [0, 1]."""
    return min(1.0, max(0.0, (n_labeled - NETWORK_FROM) / (3.0 * NETWORK_FROM)))


def untaught(net: SearchNet, context: Tensor, capacity: float, reason: str) -> Learned:
    """A search that learned nothing in its round: `net` is used as it is."""
    return Learned(net, net, Memory(), capacity, context, False, reason, None, {})


def _enough(view: PoolView, config: SearchConfig) -> int:
    return config.gate_labels_per_class * (view.num_classes or CLASSES_OF_TARGETS)


def waiting(
    view: PoolView, n_candidates: int, memory: Memory, config: SearchConfig, *, kin: bool = True, n_judges: int = 0
) -> str:
    """Why nothing is learned in this round, with `n_judges` further points that only validate; empty where there is
    something to learn. `kin`: whether heads can speak for the model, as FitNet does."""
    n_labeled, enough = len(view.labels), _enough(view, config)
    if n_candidates < 2:
        return "one candidate: nothing to weigh"
    if config.outer_steps == 0:
        return "no steps of SearchNet were asked for"
    if not kin and config.gate_level < 1:
        return "FitNet's heads answer otherwise than the model: what they gain says nothing about it"
    if n_labeled < max(enough, FEWEST) or min(episode_sizes(n_labeled, config, n_judges)) < 3:
        return f"{n_labeled} labels: fewer than {max(enough, FEWEST)}, too few to simulate a round"
    promising = memory.evidence.rejects_no_gain(max(PROMISING, config.gate_level))
    factor = min(SOON, config.relearn) if promising else config.relearn
    if n_labeled < factor * memory.searched_at and not memory.evidence.rejects_no_gain(config.gate_level):
        # The gate is closed, and a few more labels would not open it.
        promise = "little promise" if promising else "no promise"
        return f"{promise} of a gain with {memory.searched_at} labels; the search waits for {factor:g} times as many"
    return ""


@single_threaded()
def learn(
    view: PoolView,
    space: Space,
    candidates: Sequence[NamedCandidate],
    memory: Memory,
    config: SearchConfig,
    *,
    batch_size: int,
    round: int,
    seed: int,
    validation: Validation | None = None,
    fair: Tensor | None = None,
    kin: bool = True,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Learned:
    """Learns SearchNet on episodes inside the labeled set; uses it only where held-out evidence says so.

    `fair` (L,) bool: labels that nobody chose. Where there are enough of them, they alone validate, unweighted.
    `kin`: whether the model could be one of FitNet's heads; where it is of another kind, nothing is learned.
    """
    names = [name for name, _ in candidates]
    n_labeled = len(view.labels)
    anchor = fresh_net(len(names), config).to(view.device)
    capacity = network_share(n_labeled)
    prior = discounted(memory.restore(anchor, names), anchor, CARRY)
    context = round_context(view, space, batch_size) if capacity > 0 else torch.zeros(NUM_CONTEXT, device=view.device)
    seconds: dict[str, float] = {}

    def stay(reason: str, memory: Memory = memory) -> Learned:
        return Learned(anchor, prior, memory, capacity, context, False, reason, None, seconds)

    n_judges = 0 if validation is None else len(validation.labels)
    waits = waiting(view, len(candidates), memory, config, kin=kin, n_judges=n_judges)
    if waits:
        return stay(waits)
    enough = _enough(view, config)
    share = batch_size / n_labeled
    first_side = torch.randperm(n_judges or n_labeled, generator=generator(seed, "search", "sides")) % 2 == 0
    two_sides, fairly_drawn = (first_side, ~first_side), False
    if fair is not None and not n_judges and int(fair.sum()) >= enough:
        half = _every_other(fair, seed)
        two_sides, fairly_drawn = (half, fair & ~half), True
    began = perf_counter()

    def episodes_of(purpose: str, validation_from: Tensor) -> Episodes:
        return simulate(
            view,
            space,
            candidates,
            config,
            batch_share=share,
            validation_from=validation_from,
            count=max(1, config.episodes // 2),
            seed=seed,
            purpose=purpose,
            validation=validation,
            fair=fairly_drawn,
        )

    sides = [episodes_of(f"{name} side", side) for name, side in zip(("first", "second"), two_sides, strict=True)]
    seconds["episodes"] = perf_counter() - began
    if out_of_time():
        return stay("the time limit was reached before the search")
    began = perf_counter()
    nets, traces = [], []
    for side in sides:
        nets.append(copy.deepcopy(prior))
        trace = train_search_net(
            nets[-1], prior, side, context, config,
            capacity=capacity, effective_labels=float(n_labeled), out_of_time=out_of_time,
        )  # fmt: skip
        traces.append(trace)
    seconds["search"] = perf_counter() - began
    if out_of_time():
        return stay("the time limit was reached before the evidence was in")
    began = perf_counter()
    # What was learned on one side is judged on the validation points of the other.
    judged = [
        _point_gains(anchor, net, other, context, config, capacity)
        for net, other in zip(nets, reversed(sides), strict=True)
    ]
    gains = torch.cat([gain for gain, _ in judged])
    loss = float(torch.cat([loss for _, loss in judged]).mean())
    error = float(gains.double().std()) / math.sqrt(len(gains))
    evidence = memory.evidence.add(Finding(round, float(gains.mean()), error))
    seconds["gate"] = perf_counter() - began
    net = averaged(nets)
    after = memory.after(net, names, evidence, n_labeled)
    ignorance = _ignorance(view, sides)
    significant = evidence.rejects_no_gain(config.gate_level)
    # A judge that predicts held-out labels no better than their frequencies do cannot tell a good batch from a bad.
    blind = loss >= ignorance and config.gate_level < 1
    gate_open = significant and not blind
    reason = f"gain over the anchor {evidence.gain():+.4f} nats, standard error {evidence.error():.4f}"
    if blind:
        frequencies = "the class frequencies" if view.num_classes else "the targets' mean"
        reason += f"; held-out loss {loss:.3f} is not below that of {frequencies}, {ignorance:.3f}"
    merged = SearchTrace(
        *([sum(step) / len(traces) for step in zip(*lists, strict=False)] for lists in zip(*traces, strict=True))
    )
    return Learned(net if gate_open else anchor, net, after, capacity, context, gate_open, reason, merged, seconds)


def _every_other(points: Tensor, seed: int) -> Tensor:
    """(L,) bool: half of `points` (L,), drawn."""
    among = points.nonzero().flatten()
    drawn = among[torch.randperm(len(among), generator=generator(seed, "search", "fair"))[::2]]
    return torch.zeros_like(points).index_fill_(0, drawn, True)


def _ignorance(view: PoolView, sides: Sequence[Episodes]) -> float:
    """Loss, in nats, of a judge that knows the class frequencies, or the mean of the targets, and nothing else."""
    if view.num_classes:
        shares = torch.bincount(view.labels, minlength=view.num_classes).double() / len(view.labels)
        return float(-torch.special.xlogy(shares, shares).sum())
    losses = []
    for side in sides:
        known = side.problem.support_labels.mean(1)[:, None, None]  # of standardised targets: 0 but for rounding
        targets = side.problem.validation_labels
        losses.append(clipped_squares(known.expand(*targets.shape, 1), targets, side.problem.noise).mean())
    return float(torch.stack(losses).mean())


def _point_gains(
    anchor: SearchNet, net: SearchNet, episodes: Episodes, context: Tensor, config: SearchConfig, capacity: float
) -> tuple[Tensor, Tensor]:
    """For each point that validates in some episode: mean gain of `net` over the anchor, and the anchor's loss."""
    before = point_losses(anchor, episodes, context, config, capacity)
    after = point_losses(net, episodes, context, config, capacity)
    where = torch.stack([members[2] for members in episodes.members]).to(before.device).flatten()
    count = torch.bincount(where).to(before.dtype)
    seen = count > 0

    def mean_by_point(values: Tensor) -> Tensor:
        return torch.zeros_like(count).index_add(0, where, values.flatten())[seen] / count[seen]

    return mean_by_point(before - after), mean_by_point(before)


@dataclass(frozen=True)
class Composed:
    """The batch of one round."""

    positions: Tensor
    """(b,)"""
    value: Tensor
    """(N,) log value"""
    weights: Tensor
    """(N, K), or (1, K) where they are the same for every point."""


def considered(
    log_value: Tensor, costs: Tensor | None, batch_size: int, *, seed: int, some: Tensor | None = None
) -> tuple[Tensor | None, int]:
    """Positions, ascending, of the points of a large pool that may be bought: every one would cost more than it is
    worth. None for all, and over how many points coverage is summed. `some` (P,) are those to choose from."""
    most = max(CONSIDERED, min(20 * batch_size, MOST), 2 * batch_size)
    evaluated = most + most // 2
    if len(log_value) <= most:
        return None, evaluated
    wanted = log_value if costs is None else log_value - costs.to(log_value).log()  # value per price
    if some is not None:
        wanted = torch.full_like(wanted, -torch.inf).index_copy(0, some, wanted[some])
    most = most if some is None else min(most, len(some))
    return random_ties(wanted, generator(seed, "compose", "considered"), most).sort().values, evaluated


def compose_batch(
    view: PoolView,
    space: Space,
    judges: Judges,
    proposals: Sequence[Proposal],
    learned: Learned,
    config: SearchConfig,
    *,
    batch_size: int,
    seed: int,
    some: Tensor | None = None,
) -> Composed:
    """The batch that SearchNet's values ask for, among what the candidates proposed, or among all.

    `some` (P,) are the positions that candidates were asked about, where it was not the whole pool: then the batch is
    of those, and what they say of the others is their mean.
    """
    net = learned.net
    # The network moves weights over what candidates proposed, once it has learned to: the anchor's is 0.
    moves = learned.capacity > 0 and bool(proposals) and bool(net.second.weight.any())
    reads = moves or bool(net.feature_weights.any())
    seen = describe_pool(
        view, space, judges, proposals, batch_size=batch_size, unasked=len(net.logits), reads=reads, some=some
    )
    with torch.no_grad():
        log_value, weights = net.log_value(
            seen.uncertainty, seen.ranks, seen.features, learned.context, learned.capacity if moves else 0.0
        )
        if config.open_set and view.rejected is not None:
            foreign = space.project(view.rejected.to(view.device))
            log_value = log_value + log_known(space.pool, space.labeled, foreign, config.head_l2)
        width = seen.bandwidth * math.exp(float(net.log_bandwidth))
    union, evaluated = None, EVALUATION
    if config.proposals == "union" and proposals:
        union = torch.unique(torch.cat([proposal.indices for proposal in proposals]))
    else:
        union, evaluated = considered(log_value, view.costs, batch_size, seed=seed, some=some)
    positions = compose_pool(
        log_value, seen.shape, batch_size,
        bandwidth=width, candidates=union, evaluated=evaluated, prices=view.costs, seed=seed,
    )  # fmt: skip
    return Composed(positions, log_value, weights)
