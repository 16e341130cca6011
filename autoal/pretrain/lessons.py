"""Lessons: rounds of tasks whose every label is known, so that what a batch is truly worth is known too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autoal.anchor.candidates import ask_candidates
from autoal.anchor.describe import Described, describe_pool
from autoal.anchor.heads import fit_heads, with_bias
from autoal.anchor.space import Space, squared_distances
from autoal.experiment.cell import Bought, round_state
from autoal.experiment.task import Task
from autoal.models import SklearnModel
from autoal.outputs import PoolView
from autoal.rng import derive_seed, generator
from autoal.search.context import round_context
from autoal.search.fit_net import HeadProblem
from autoal.search.prior import anchor_net
from autoal.search.round import compose_batch, untaught
from autoal.selectors.portfolio import NamedCandidate, needs_of
from autoal.settings import SearchConfig
from autoal.strategies import Proposal

__all__ = ["Lesson", "lessons_of"]


@dataclass(frozen=True)
class Lesson:
    """One round: what SearchNet sees of the pool, and FitNet's problem with the pool's true labels."""

    ranks: Tensor
    """(P, K)"""
    uncertainty: Tensor
    """(P,)"""
    features: Tensor
    """(P, F)"""
    squared_distances: Tensor
    """(P + L, P + L) of pool and labeled points, in units of the squared bandwidth"""
    composition: str
    """How a batch is made of values: `SearchConfig.composition`"""
    context: Tensor
    """(G,)"""
    problem: HeadProblem
    """One episode: labeled points, pool, and the held-out points of the task."""
    start: Tensor
    """(1, D, C) FitNet's weights on the labeled points alone"""


class _Reader:
    """Stands for a selector where `round_state` asks what is read."""

    cheats = False

    def __init__(self, needs: frozenset[str]) -> None:
        self.needs = needs | {"log_probs", "embeddings"}


def lessons_of(
    task: Task,
    candidates: Sequence[NamedCandidate],
    config: SearchConfig,
    *,
    seed: int,
    rounds: int,
    every: int,
    batch_size: int,
    pool_size: int,
) -> Iterator[Lesson]:
    """A lesson from every `every`-th of `rounds` rounds of logistic regression on `task`.

    Even seeds buy as SearchNet does before it has learned anything, odd ones at random: the prior must know rounds of
    either kind. A lesson keeps `pool_size` points of the pool, drawn at random. Points the oracle rejects take no part.
    """
    from sklearn.linear_model import LogisticRegression

    model, device = SklearnModel(LogisticRegression(C=1.0, max_iter=1000)), torch.device("cpu")
    reader, names = _Reader(needs_of(candidates, "classification")), [name for name, _ in candidates]
    bought, held = Bought(task, []), torch.arange(len(task.holdout_labels))
    for number in range(rounds):
        labeled = bought.labeled()
        model.fit(task.rows, labeled, task.labels[labeled], task.num_classes, seed=derive_seed(seed, "model", number))
        state = round_state(task, model, reader, bought, seed, number, device)  # type: ignore[arg-type]
        assert state.pool_indices is not None
        if len(state.pool_ids) <= batch_size:
            return
        round_seed = derive_seed(seed, "lesson", number)
        rng = generator(round_seed, "draws")
        if number % every == 0:
            kept = torch.randperm(len(state.pool_ids), generator=rng)[:pool_size].sort().values
            view = replace(state.view, pool=state.view.pool[kept])
            space = Space.of(view, config.head_dim, generator(round_seed, "space"))
            asked = _asked(view, candidates, config, batch_size, round_seed)
            seen = describe_pool(view, space, asked, config, batch_size=batch_size, seed=round_seed)
            holdout = model.outputs(task.holdout_rows, held, frozenset({"embeddings"}), seed=0, device=device)
            truth = task.labels[state.pool_indices[kept]]
            yield _lesson(view, space, seen, truth, space.project(holdout), task.holdout_labels, config, batch_size)
        if seed % 2:
            positions = torch.randperm(len(state.pool_ids), generator=rng)[:batch_size]
        else:
            view, space = state.view, Space.of(state.view, config.head_dim, generator(round_seed, "space"))
            plain = untaught(
                anchor_net(names, config.model_copy(update={"prior": "none"})), round_context(view, space, batch_size),
                0.0, "a lesson",
            )  # fmt: skip
            asked = _asked(view, candidates, config, batch_size, round_seed)
            positions = compose_batch(
                view, space, asked, plain, config, batch_size=batch_size, seed=round_seed
            ).positions
        bought.buy(state.pool_indices[positions])


def _asked(
    view: PoolView, candidates: Sequence[NamedCandidate], config: SearchConfig, batch_size: int, seed: int
) -> list[Proposal]:
    """Proposals in the order of `candidates`; nobody is dropped, so that all lessons have the same columns."""
    wanted = min(len(view), round(config.proposal_factor * batch_size))
    asked = ask_candidates(view, candidates, batch_size, wanted, 1.0, seed)
    by_name = dict(zip((name for name, _ in asked.candidates), asked.proposals, strict=True))
    return [by_name[name] for name, _ in candidates]


def _lesson(
    view: PoolView,
    space: Space,
    seen: Described,
    truth: Tensor,
    holdout: Tensor,
    holdout_labels: Tensor,
    config: SearchConfig,
    batch_size: int,
) -> Lesson:
    support, pool = with_bias(space.labeled)[None], with_bias(space.pool)[None]
    even = torch.full((1, len(holdout)), 1.0 / len(holdout))
    problem = HeadProblem.build(
        support, view.labels[None], pool, truth[None], with_bias(holdout)[None], holdout_labels[None], even,
        num_classes=view.num_classes, batch=batch_size, l2=config.head_l2,
    )  # fmt: skip
    heads = fit_heads(
        support, view.labels[None], torch.ones_like(support[..., 0]),
        num_classes=view.num_classes, l2=config.head_l2, whitener=problem.whitener,
    )  # fmt: skip
    both = torch.cat([seen.shape_pool, seen.shape_labeled])
    return Lesson(
        ranks=seen.ranks,
        uncertainty=seen.uncertainty,
        features=seen.features,
        squared_distances=squared_distances(both, both) / seen.bandwidth**2,
        composition=config.composition,
        context=round_context(view, space, batch_size),
        problem=problem,
        start=heads.weight.detach(),
    )
