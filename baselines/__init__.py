"""What AutoAL is compared with. Imports autoal; nothing in autoal imports it.

`autoal compare` finds `SELECTORS` through the entry-point group `autoal.selectors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from autoal.experiment.config import SelectorSpec
from autoal.experiment.plugins import Factory, build_selector
from autoal.search.config import search_config
from autoal.selectors import AutoAL
from autoal.selectors.base import Selector
from autoal.strategies import CANDIDATES, resolve_candidates
from baselines.reproduction import FirstUncertain, VotingCommittee
from baselines.single import Single

__all__ = ["SELECTORS", "Single", "make_selector"]


def _autoal(
    candidates: str | Sequence[Any] = "default",
    search: Mapping[str, Any] | None = None,
    mode: str = "bilevel",
    time_limit: float | None = None,
) -> Selector:
    # AutoAL looks at its settings when it is used; a config should be refused before the run begins.
    resolve_candidates(candidates)
    return AutoAL(candidates, mode=mode, search=search_config(search), time_limit=time_limit)


def _paper(candidates: str | Sequence[Any] = "default", search: Mapping[str, Any] | None = None) -> Selector:
    return _autoal(candidates, search, mode="paper")


def _uniform(candidates: str | Sequence[Any] = "default") -> Selector:
    return _autoal(candidates, mode="uniform")


def _single(name: str, **options: Any) -> Selector:
    return Single(CANDIDATES[name](**options), name)


SELECTORS: dict[str, Factory] = {
    "autoal": _autoal,
    "autoal-paper": _paper,
    "uniform": _uniform,
    "first-uncertain": FirstUncertain,
    "voting-committee": VotingCommittee,
    **{name: partial(_single, name) for name in CANDIDATES},
}
"""name -> factory that takes the options of a config."""


def make_selector(spec: SelectorSpec | str) -> Selector:
    """A selector of this table, by name or with options. Raises UnknownName, ConfigError."""
    return build_selector(SELECTORS, SelectorSpec(name=spec) if isinstance(spec, str) else spec)
