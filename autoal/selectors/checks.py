"""What the constructor and `fit` are given, checked at the door."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np

from autoal.data.labels import TASKS
from autoal.encoders import check_encoder
from autoal.errors import InvalidInput, UnknownName, shown
from autoal.rng import fresh_seed
from autoal.settings import integer, search_config
from autoal.strategies import resolve_candidates

__all__ = [
    "MODES",
    "check_parameters",
    "columns_of",
    "refuse_paper",
    "row_count",
    "seed_of",
]

MODES = ("bilevel", "paper", "uniform")


def check_parameters(selector: Any) -> None:
    """Raises InvalidInput, UnknownName or ConfigError for a constructor argument that cannot be used."""
    # By type first: what compares element by element, or to NA, has no truth value.
    if not isinstance(selector.mode, str) or selector.mode not in MODES:
        raise UnknownName("mode", selector.mode if isinstance(selector.mode, str) else shown(selector.mode), MODES)
    if not isinstance(selector.task, str) or selector.task not in ("auto", *TASKS):
        raise InvalidInput(f"got task={shown(selector.task)}; wanted 'auto', 'classification' or 'regression'")
    limit = selector.time_limit
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit or _beyond_floats(limit)
    ):
        raise InvalidInput(f"got time_limit={shown(limit)}; wanted seconds above 0, or None")
    progress = selector.progress
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise InvalidInput(f"got progress={shown(progress)}; wanted None, True or a callable(stage, done, total)")
    # An iterator would be used up by looking.
    if not isinstance(selector.callbacks, list | tuple | Set) or not all(callable(each) for each in selector.callbacks):
        raise InvalidInput(f"got callbacks={shown(selector.callbacks)}; wanted a list of callables(selector, query)")
    if not isinstance(selector.strict, bool):
        raise InvalidInput(f"got strict={shown(selector.strict)}; wanted True or False")
    search_config(selector.search)
    resolve_candidates(selector.candidates)
    check_encoder(selector.encoder)


def _beyond_floats(value: float) -> bool:
    try:
        float(value)
    except OverflowError:
        return True
    return False


def refuse_paper(mode: str) -> None:
    """Raises InvalidInput for the paper's mode, in a regression."""
    if mode == "paper":
        raise InvalidInput(
            "got mode='paper' in a regression; the paper is about classes (its loss prediction and hardness are "
            "those of a softmax), wanted 'bilevel' or 'uniform'"
        )


def seed_of(random_state: Any) -> int:
    """The seed in an integer, drawn from a numpy generator, or a fresh one for None."""
    if random_state is None:
        return fresh_seed()
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return integer(random_state, "random_state")


def row_count(embeddings: Any, probs: Any) -> int:
    """Rows, where there are only precomputed outputs. Raises InvalidInput where there are none of those either."""
    for name, values in (("embeddings", embeddings), ("probs", probs)):
        if values is not None:
            try:
                return len(values)
            except TypeError as error:
                raise InvalidInput(f"got {name} of type {type(values).__name__}; wanted an array (n, D)") from error
    raise InvalidInput("got X=None; wanted the rows, or embeddings= or probs= of a model of your own")


def columns_of(probs: Any) -> int | None:
    """How many classes precomputed probabilities have; None where their shape is wrong, as their check will say."""
    try:
        shape = np.shape(probs)
    except ValueError:
        return None
    return shape[1] if len(shape) == 2 else None
