"""What a candidate strategy is: a function of the outputs of a trained model. One file each, 30 to 80 lines."""

from __future__ import annotations

import functools
import inspect
from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from autoal.compute import full_precision_matmul
from autoal.errors import InvalidInput, PoolExhausted
from autoal.outputs import TASKS, ModelOutputs, PoolView, check_outputs

__all__ = ["BOTH_TASKS", "Proposal", "Strategy", "check_batch_size", "ordered", "random_ties", "top_scores"]

BOTH_TASKS = frozenset(TASKS)


class Proposal(NamedTuple):
    """What one strategy would ask for."""

    indices: Tensor
    """(b,) distinct pool positions, int64, best first."""
    scores: Tensor
    """(N,) float64, higher is more wanted; a set method marks its picks by their order."""


class Strategy(BaseEstimator):
    """Base class of every candidate: the constructor only stores, `propose` is a function of its arguments.

    Subclasses set the class attributes below and write `_propose`. They keep no state between calls, draw only
    from the generator they are given, and never change their input.
    """

    name: ClassVar[str]
    """What a user types."""
    family: ClassVar[str]
    """`uncertainty`, `gradient`, `diversity`, or `open set`."""
    source: ClassVar[str]
    """Paper, as in `Sener and Savarese 2018, arXiv 1708.00489`."""
    cost: ClassVar[str]
    """Time in N, L, b, C, D, K, as in `N b D`."""
    needs: frozenset[str]
    """Fields of ModelOutputs it reads in a classification; see `needs_for`."""
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    """What it is defined for: `classification`, `regression`, or both."""
    draws: ClassVar[bool] = False
    """Whether the answer depends on the generator beyond breaking ties."""

    def needs_for(self, task: str) -> frozenset[str]:
        """Fields of ModelOutputs it reads in `task`: in a regression, means in the place of log probabilities."""
        return self.needs if task == "classification" else frozenset(_IN_REGRESSION.get(f, f) for f in self.needs)

    def propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        """`batch_size` distinct positions of `view`, best first, and a score for all N.

        Raises PoolExhausted where batch_size > N, MissingOutput where the view lacks something in `needs`,
        InvalidInput where that holds NaN, or where the strategy is not defined for the view's task.
        """
        check_batch_size(batch_size, len(view))
        if view.task not in self.tasks:
            raise InvalidInput(
                f"the strategy {self.name!r} is defined for {' and '.join(sorted(self.tasks))}, not for {view.task}; "
                "`autoal strategies` shows which candidates are"
            )
        with torch.no_grad(), full_precision_matmul():
            for field in sorted(self.needs_for(view.task)):
                _refuse_nan(field, view.pool.require(field), "pool")
                if view.labeled.present() >= {field}:
                    _refuse_nan(field, view.labeled.require(field), "labeled points")
                if view.rejected is not None and view.rejected.present() >= {field}:
                    _refuse_nan(field, view.rejected.require(field), "rejected points")
            return self._propose(view, batch_size, rng)

    @abstractmethod
    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal: ...

    def __repr__(self) -> str:
        # What scikit-learn prints, in one line: its own takes longer than some strategies' answers, and seeds are made
        # of this text in every round.
        plain = _defaults(type(self))  # type: ignore[arg-type]  # a class is hashable, whatever its instances are
        told = ((name, repr(value)) for name, value in sorted(self.get_params(deep=False).items()))
        return f"{type(self).__name__}({', '.join(f'{name}={text}' for name, text in told if plain.get(name) != text)})"


@functools.cache
def _defaults(strategy: type) -> dict[str, str]:
    """Text of the default of each parameter of the constructor that has one."""
    parameters = inspect.signature(strategy).parameters.values()
    return {p.name: repr(p.default) for p in parameters if p.default is not p.empty}


_IN_REGRESSION = {"log_probs": "means", "mc_log_probs": "mc_means"}


def _refuse_nan(field: str, rows: Tensor, what: str) -> None:
    # Two passes without a temporary of their size; check_outputs looks again only to name the rows.
    if rows.numel():
        extremes = torch.stack([rows.amin(), rows.amax()])
        if bool(extremes.isnan().any()) or (not field.endswith("log_probs") and bool(extremes.isinf().any())):
            check_outputs(ModelOutputs(**{field: rows}), len(rows), None, what)


def check_batch_size(batch_size: int, n: int) -> None:
    """Raises InvalidInput below 1 and PoolExhausted above n."""
    if batch_size < 1:
        raise InvalidInput(f"got batch_size={batch_size}; wanted at least 1")
    if batch_size > n:
        raise PoolExhausted(f"got batch_size={batch_size}, but the pool holds {n} points; ask for {n} or fewer")


def random_ties(scores: Tensor, rng: torch.Generator, most: int | None = None) -> Tensor:
    """(N,) positions by falling score, or the first `most` of them; equal scores in an order drawn from `rng` (a stable
    sort would turn the order of the file into a hidden prior)."""
    shuffle = torch.randperm(len(scores), generator=rng).to(scores.device)
    if most is not None and 0 < most < len(scores) // 4:
        least = scores.topk(most, sorted=False).values.amin()
        if not least.isnan():  # only those that may be among the first are put in order
            shuffle = shuffle[(scores >= least)[shuffle]]
    return shuffle[torch.sort(scores[shuffle], descending=True, stable=True).indices[:most]]


def top_scores(scores: Tensor, batch_size: int, rng: torch.Generator) -> Proposal:
    """The `batch_size` highest scores (N,), ties broken by `rng`. Raises InvalidInput on NaN."""
    scores = scores.double()
    if bool(scores.isnan().any()):
        rows = scores.isnan().nonzero().flatten()
        raise InvalidInput(f"{len(rows)} scores are NaN (first positions {rows[:5].tolist()}); check the model")
    return Proposal(random_ties(scores, rng, batch_size), scores)


def ordered(indices: Tensor, rest: Tensor) -> Proposal:
    """The proposal of a set method: picks in order, above all others; `rest` (N,) orders those.

    Scores are ranks in [0, 1): the picks get the top places, the others the order of `rest`.
    """
    n = len(rest)
    ranks = torch.empty(n, dtype=torch.float64, device=rest.device)
    others = torch.ones(n, dtype=torch.bool, device=rest.device)
    others[indices] = False
    # Equal values of `rest` share one rank, so that the score says nothing the method did not say.
    values, inverse = torch.unique(rest[others].double(), sorted=True, return_inverse=True)
    counts = torch.bincount(inverse, minlength=len(values)).double()
    below = counts.cumsum(0) - counts
    ranks[others] = (below + 0.5 * (counts - 1))[inverse] / n
    order = torch.arange(len(indices), dtype=torch.float64, device=rest.device)
    ranks[indices] = (n - 1 - order) / n
    return Proposal(indices, ranks)
