"""The bi-level search: SearchNet's batch trains FitNet, FitNet's held-out loss trains SearchNet.

Lower level: FitNet on the support and, as far as they are selected, the pseudo-pool points. Upper level: held-out
log-loss after that training, weighted towards the pool. The two are trained in turn: each step of SearchNet follows
the hypergradient through a few steps of FitNet, and FitNet goes on from where those steps led.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from autoal.anchor.heads import LinearHeads, fit_heads
from autoal.models.eager import eager
from autoal.search.compose import compose_episode
from autoal.search.engines import ENGINES
from autoal.search.episodes import Episodes
from autoal.search.search_net import SearchNet
from autoal.settings import SearchConfig

__all__ = ["SearchTrace", "averaged", "compose", "discounted", "point_losses", "train_search_net"]


PARTS = 2
"""In how many parts the relaxed batch is chosen; coverage is brought up to date after each."""
COLDEST = 0.2
"""Temperature of the relaxed batch at the last step, in standard deviations of the scores."""
INNER_LR = 1.0
"""Of FitNet's steps, in units of the curvature bound of its loss: as long as a step can be that never overshoots."""


class SearchTrace(NamedTuple):
    """What happened in one search."""

    upper: list[float]
    """Mean upper loss before each step, in nats."""
    gradient: list[float]
    """Norm of the hypergradient at each step."""
    liveliness: list[float]
    """Median |d loss / d log value| over points at each step: falls to 0 where the relaxation has saturated."""


def compose(
    net: SearchNet,
    episodes: Episodes,
    context: Tensor,
    capacity: float,
    *,
    temperature: float | None,
    log_value: Tensor | None = None,
) -> Tensor:
    """Mask (E, P) of the batch that `net` composes in each episode, as in `compose_episode`."""
    rows = context.expand(episodes.count, -1)
    if log_value is None:
        log_value, _ = net.log_value(episodes.uncertainty, episodes.ranks, episodes.features, rows, capacity)
    return compose_episode(
        log_value, episodes.squared_distances, net.log_bandwidth.expand(episodes.count), episodes.problem.batch,
        parts=PARTS, temperature=temperature,
    )  # fmt: skip


def train_search_net(
    net: SearchNet,
    prior: SearchNet,
    episodes: Episodes,
    context: Tensor,
    config: SearchConfig,
    *,
    capacity: float,
    effective_labels: float,
    out_of_time: Callable[[], bool] = lambda: False,
) -> SearchTrace:
    """Moves `net` along the hypergradient, pulled to `prior` by shrinkage / effective_labels. Its shared network moves
    only with a `capacity`."""
    engine = ENGINES[config.engine]
    globals_ = [net.logits, net.exponent, net.feature_weights, net.log_bandwidth]
    groups = [{"params": globals_, "lr": config.outer_lr}]
    if capacity > 0:
        shared = [*net.first.parameters(), *net.second.parameters()]
        groups.append({"params": shared, "lr": 0.1 * config.outer_lr})
    optimizer = eager(torch.optim.Adam)(groups, betas=(0.9, 0.99))
    anchor = {name: value.detach().clone() for name, value in prior.named_parameters()}
    pull = config.shrinkage / max(1.0, effective_labels)
    heads = LinearHeads(episodes.heads.whitener, episodes.problem.num_classes, episodes.heads.weight.detach())
    trace = SearchTrace([], [], [])
    rows = context.expand(episodes.count, -1)
    for step in range(config.outer_steps):
        if out_of_time():
            break
        along = step / max(1, config.outer_steps - 1)
        temperature = config.temperature * (COLDEST / config.temperature) ** along
        optimizer.zero_grad()
        log_value, _ = net.log_value(episodes.uncertainty, episodes.ranks, episodes.features, rows, capacity)
        log_value.retain_grad()
        mask = compose(net, episodes, context, capacity, temperature=temperature, log_value=log_value)
        losses, weight = engine(episodes.problem, heads, mask, config.inner_steps, INNER_LR)
        shrink = sum(((value - anchor[name]) ** 2).sum() for name, value in net.named_parameters())
        (losses.mean() + pull * shrink).backward()
        trace.upper.append(float(losses.detach().mean()))
        used = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        trace.gradient.append(float(torch.stack([p.grad.square().sum() for p in used]).sum().sqrt()))
        lively = log_value.grad.abs().median() if log_value.grad is not None else torch.zeros(())
        trace.liveliness.append(float(lively))
        optimizer.step()
        # FitNet's turn: it goes on from what the selected points have taught it.
        with torch.no_grad():
            heads.weight.copy_(weight)
    return trace


def point_losses(net: SearchNet, episodes: Episodes, context: Tensor, config: SearchConfig, capacity: float) -> Tensor:
    """(E, V) clipped loss, in nats, of each validation point after training to convergence on the batch that
    `net` composes, relaxed at the first temperature: a soft batch is made of more points than a hard one, so what
    it is worth is known with less noise."""
    problem = episodes.problem
    with torch.no_grad():
        mask = compose(net, episodes, context, capacity, temperature=config.temperature)
        heads = fit_heads(
            torch.cat([problem.support, problem.pool], dim=1),
            torch.cat([problem.support_labels, problem.pool_labels], dim=1),
            torch.cat([torch.ones_like(problem.support_labels, dtype=mask.dtype), mask], dim=1),
            num_classes=problem.num_classes, l2=problem.l2, whitener=problem.whitener,
            start=episodes.heads.weight.detach(),
        )  # fmt: skip
        return problem.held_out_loss(heads(problem.validation))


def discounted(net: SearchNet, fresh: SearchNet, keep: float) -> SearchNet:
    """A copy of `net` whose parameters lie `keep` of the way from `fresh` to it: what an earlier round still says."""
    out = copy.deepcopy(fresh)
    with torch.no_grad():
        for target, old in zip(out.parameters(), net.parameters(), strict=True):
            target.lerp_(old, keep)
    return out


def averaged(nets: Sequence[SearchNet]) -> SearchNet:
    """A net whose parameters are the means of those of `nets`."""
    out = copy.deepcopy(nets[0])
    with torch.no_grad():
        for parameters in zip(out.parameters(), *(net.parameters() for net in nets), strict=True):
            parameters[0].copy_(torch.stack(parameters[1:]).mean(0))
    return out
