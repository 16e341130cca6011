"""The candidates of a selector: which there are in a task, and which of them the model can serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoal.errors import InvalidInput, MissingOutput
from autoal.outputs import PoolView
from autoal.strategies import Strategy, resolve_candidates

__all__ = ["NamedCandidate", "members", "needs_of", "servable"]

NamedCandidate = tuple[str, Strategy]


def members(candidates: str | Sequence[Any], task: str) -> list[NamedCandidate]:
    """The candidates; in a regression "default" and "fast" gain those of the portfolio "regression"."""
    chosen = resolve_candidates(candidates)
    if task == "regression" and isinstance(candidates, str) and candidates in ("default", "fast"):
        known = {name for name, _ in chosen}
        chosen += [pair for pair in resolve_candidates("regression") if pair[0] not in known]
    return chosen


def needs_of(portfolio: Sequence[NamedCandidate], task: str) -> frozenset[str]:
    """Fields of ModelOutputs that some candidate reads in `task`."""
    defined = (strategy for _, strategy in portfolio if task in strategy.tasks)
    return frozenset[str]().union(*(strategy.needs_for(task) for strategy in defined))


def servable(
    portfolio: Sequence[NamedCandidate],
    view: PoolView,
    *,
    strict: bool = False,
    available: frozenset[str] | None = None,
) -> tuple[list[NamedCandidate], dict[str, str]]:
    """Candidates whose needs the model can meet, and why the others are dropped. `available` are the fields that there
    are or could be; those of the view where nothing else is said.

    Raises MissingOutput where none is left; with `strict`, MissingOutput or InvalidInput for the first one dropped.
    """
    present = view.pool.present() & view.labeled.present() if available is None else available
    kept: list[NamedCandidate] = []
    dropped: dict[str, str] = {}
    for name, strategy in portfolio:
        if view.task not in strategy.tasks:
            why = f"it is not defined for {view.task}"
            if strict:
                raise InvalidInput(f"candidate {name!r}: {why}; leave it out, or pass strict=False to drop it")
            dropped[name] = why
            continue
        missing = sorted(strategy.needs_for(view.task) - present)
        if not missing:
            kept.append((name, strategy))
            continue
        why = f"it needs {', '.join(missing)}, which the model cannot give"
        if strict:
            raise MissingOutput(f"candidate {name!r}: {why}; leave it out, or pass strict=False to drop it")
        dropped[name] = why
    if not kept:
        reasons = "; ".join(f"{name}: {why}" for name, why in dropped.items())
        raise MissingOutput(f"no candidate is left ({reasons}); choose others, or a model that gives more")
    return kept, dropped
