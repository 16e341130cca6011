"""The prior: SearchNet trained by the hypergradient through the rounds of many tasks."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from autoal.anchor.heads import LinearHeads, fit_heads
from autoal.compute import single_threaded
from autoal.disk import write_atomic
from autoal.errors import ConfigError
from autoal.experiment.config import DatasetSpec, ExperimentConfig, SelectorSpec
from autoal.experiment.task import make_task
from autoal.pretrain.lessons import Lesson, lessons_of
from autoal.pretrain.synthetic import synthetic_task
from autoal.rng import derive_seed, generator
from autoal.search.compose import compose_episode
from autoal.search.engines import ENGINES
from autoal.search.prior import anchor_net, numbers_of
from autoal.search.search_net import SearchNet
from autoal.settings import SearchConfig
from autoal.strategies import resolve_candidates

__all__ = [
    "Gain",
    "Lessons",
    "Progress",
    "Recipe",
    "collect",
    "mean_gain",
    "pretrain",
    "read_recipe",
    "train",
    "true_loss",
]

Progress = Callable[[str, int, int], None]


class Recipe(BaseModel):
    """What a prior is learned from, and how: a TOML file for `autoal pretrain`, and a part of the prior's own file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: tuple[DatasetSpec, ...] = ()
    """Scenarios as in `autoal compare`. Name none that anything will be claimed on."""
    task_seeds: int = Field(4, ge=0)
    """Tasks of each scenario: even seeds buy by the anchor, odd ones at random."""
    synthetic: int = Field(60, ge=0)
    """Tasks made up besides."""
    candidates: tuple[str, ...] | str = "default"
    rounds: int = Field(9, ge=1)
    every: int = Field(2, ge=1)
    """A lesson from each `every`-th round."""
    batch_size: int = Field(10, ge=2)
    pool_size: int = Field(400, ge=20)
    """Points of the pool in a lesson."""
    max_pool: int = Field(600, ge=20)
    max_test: int = Field(1000, ge=20)
    epochs: int = Field(15, ge=0)
    learning_rate: float = Field(0.02, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    """Pull to the untaught net, which has zeros."""
    minibatch: int = Field(16, ge=1)
    """Lessons in a step."""
    engine: Literal["higher", "func", "implicit"] = "func"
    inner_steps: int = Field(5, ge=1)
    temperature: float = Field(1.0, gt=0)
    """Of the relaxed selection in the first epoch, in standard deviations of the log gains."""
    final_temperature: float = Field(0.2, gt=0)
    network: bool = True
    """Whether the network of single points is taught, or the few global numbers and the context alone."""
    context: bool = True
    """Whether anything may depend on what the round looks like."""
    seed: int = 0


def read_recipe(path: str | Path) -> Recipe:
    """Raises ConfigError where the file cannot be read or holds what a recipe does not."""
    try:
        return Recipe.model_validate(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"recipe {path}, {where}: got {first['input']!r}; {first['msg']}") from error


@dataclass(frozen=True)
class Lessons:
    """Lessons by the data set they come from; each made-up task is a data set of its own."""

    of: dict[str, list[Lesson]]
    candidates: tuple[str, ...]

    def all(self) -> list[Lesson]:
        return [lesson for lessons in self.of.values() for lesson in lessons]


def collect(recipe: Recipe, progress: Progress = lambda stage, done, total: None) -> Lessons:
    """All lessons of a recipe, the same for the same recipe."""
    portfolio = resolve_candidates(recipe.candidates if isinstance(recipe.candidates, str) else list(recipe.candidates))
    config = SearchConfig(prior="none")
    shape: dict[str, Any] = {
        "rounds": recipe.rounds, "every": recipe.every, "batch_size": recipe.batch_size, "pool_size": recipe.pool_size,
    }  # fmt: skip
    protocol = ExperimentConfig(
        name="pretrain", datasets=recipe.datasets or (DatasetSpec(name="digits"),),
        selectors=(SelectorSpec(name="random"),), seeds=(0,), max_pool=recipe.max_pool, max_test=recipe.max_test,
        device="cpu",
    )  # fmt: skip
    found: dict[str, list[Lesson]] = {}
    total = len(recipe.datasets) * recipe.task_seeds + recipe.synthetic
    done = 0
    with single_threaded():
        for spec in recipe.datasets:
            for number in range(recipe.task_seeds):
                # Seeds that no comparison uses, so that nobody is measured on the very split he was taught on.
                seed = 10_000 + 2 * recipe.seed * recipe.task_seeds + number
                task = make_task(protocol, spec, seed)
                lessons = lessons_of(task, portfolio, config, seed=seed, **shape)
                found.setdefault(spec.name, []).extend(lessons)
                done += 1
                progress("lessons", done, total)
        for number in range(recipe.synthetic):
            seed = derive_seed(recipe.seed, "synthetic", number)
            task = synthetic_task(seed, recipe.max_pool)
            found[f"synthetic {number}"] = list(lessons_of(task, portfolio, config, seed=number, **shape))
            done += 1
            progress("lessons", done, total)
    return Lessons(found, tuple(name for name, _ in portfolio))


def _mask(net: SearchNet, lesson: Lesson, capacity: float, temperature: float | None, parts: int) -> Tensor:
    """(1, P) the batch that `net` composes."""
    log_value, _ = net.log_value(lesson.uncertainty, lesson.ranks, lesson.features, lesson.context, capacity)
    return compose_episode(
        log_value[None], lesson.squared_distances[None], net.bandwidth(lesson.context), lesson.problem.batch,
        how=lesson.composition, parts=parts, temperature=temperature,
    )  # fmt: skip


def _heads(lesson: Lesson) -> LinearHeads:
    return LinearHeads(lesson.problem.whitener, lesson.problem.num_classes, lesson.start)


def true_loss(net: SearchNet, lesson: Lesson, capacity: float = 1.0) -> float:
    """Held-out loss, in nats, once FitNet has been trained to the end on the very batch that `net` composes."""
    problem = lesson.problem
    with torch.no_grad():
        mask = _mask(net, lesson, capacity, None, problem.batch)
        heads = fit_heads(
            torch.cat([problem.support, problem.pool], dim=1),
            torch.cat([problem.support_labels, problem.pool_labels], dim=1),
            torch.cat([torch.ones_like(problem.support_labels, dtype=mask.dtype), mask], dim=1),
            num_classes=problem.num_classes, l2=problem.l2, start=None,
        )  # fmt: skip
        return float(problem.upper_loss(heads(problem.validation)))


def train(
    lessons: Lessons, recipe: Recipe, progress: Progress = lambda stage, done, total: None
) -> tuple[SearchNet, list[float]]:
    """SearchNet after `recipe.epochs` passes, and the mean relative loss of each pass, softly selected.

    Each lesson's loss counts relative to what FitNet loses without any batch: a task with much to lose must not own
    the prior.
    """
    net = anchor_net(lessons.candidates, SearchConfig(prior="none"))
    parameters = [net.logits, net.exponent, net.feature_weights, net.log_bandwidth]
    if recipe.network:
        parameters += [*net.first.parameters(), *net.second.parameters()]
    if recipe.context:
        parameters.append(net.context_weights)
    start = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.Adam(parameters, lr=recipe.learning_rate, betas=(0.9, 0.99))
    engine, every, history = ENGINES[recipe.engine], lessons.all(), []
    with torch.no_grad():
        before = [float(lesson.problem.upper_loss(_heads(lesson)(lesson.problem.validation))) for lesson in every]
    with single_threaded():
        for epoch in range(recipe.epochs):
            along = epoch / max(1, recipe.epochs - 1)
            temperature = recipe.temperature * (recipe.final_temperature / recipe.temperature) ** along
            order = torch.randperm(len(every), generator=generator(recipe.seed, "order", epoch)).tolist()
            total = 0.0
            for first in range(0, len(order), recipe.minibatch):
                some = order[first : first + recipe.minibatch]
                optimizer.zero_grad()
                for i in some:
                    lesson = every[i]
                    mask = _mask(net, lesson, 1.0, temperature, min(5, lesson.problem.batch))
                    losses, _ = engine(lesson.problem, _heads(lesson), mask, recipe.inner_steps, 1.0)
                    loss = losses.sum() / (before[i] * len(some))
                    loss.backward()
                    total += float(loss.detach()) * len(some)
                pull = torch.stack([((p - s) ** 2).sum() for p, s in zip(parameters, start, strict=True)]).sum()
                (recipe.weight_decay * pull).backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
            history.append(total / len(every))
            progress("epochs", epoch + 1, recipe.epochs)
    return net, history


@dataclass(frozen=True)
class Gain:
    """What a net gains over the untaught one in one true step: `log(loss of the untaught net's batch / its own)`."""

    lessons: str
    mean: float
    error: float
    """Standard error over lessons."""
    count: int


def mean_gain(net: SearchNet, untaught: SearchNet, lessons: Sequence[Lesson], what: str) -> Gain:
    """Both nets' batches of every lesson, bought and trained on to the end."""
    gains = torch.tensor([true_loss(untaught, each) / true_loss(net, each) for each in lessons]).double().log()
    return Gain(what, float(gains.mean()), float(gains.std() / len(gains) ** 0.5), len(gains))


def pretrain(
    recipe: Recipe,
    out: str | Path,
    leave_out: Sequence[str] = (),
    progress: Progress = lambda stage, done, total: None,
) -> list[Gain]:
    """Learns a prior, writes it to `out`, whole or not at all, and returns its gain on the lessons it was taught on,
    which flatters it, and on those of each data set that was left out, which does not.

    Raises ConfigError where a data set to be left out is none of the recipe's.
    """
    known = {spec.name for spec in recipe.datasets}
    for name in leave_out:
        if name not in known:
            raise ConfigError(f"cannot leave out {name!r}; the recipe's data sets are {', '.join(sorted(known))}")
    lessons = collect(recipe, progress)
    taught = Lessons({k: v for k, v in lessons.of.items() if k not in leave_out}, lessons.candidates)
    net, history = train(taught, recipe, progress)
    untaught = anchor_net(lessons.candidates, SearchConfig(prior="none"))
    gains = [mean_gain(net, untaught, taught.all(), "taught on")]
    gains += [mean_gain(net, untaught, lessons.of[name], name) for name in leave_out]
    logits, shared = numbers_of(net, lessons.candidates)
    found = {
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "left_out": list(leave_out),
        "lessons": len(taught.all()),
        "relative_loss": history,
        "gains": [asdict(gain) for gain in gains],
        "logits": logits,
        "shared": shared,
    }
    write_atomic(Path(out), json.dumps(found, indent=1) + "\n")
    return gains
