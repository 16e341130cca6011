"""What AutoAL is compared with. Imports autoal; nothing in autoal imports it.

`autoal compare` finds `SELECTORS` through the entry-point group `autoal.selectors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from autoal.experiment.config import SelectorSpec
from autoal.experiment.plugins import Factory, build_selector
from autoal.selectors import AutoAL
from autoal.selectors.base import Selector
from autoal.settings import Mode, search_config
from autoal.strategies import CANDIDATES, resolve_candidates

from .adversarial_bim import AdversarialBIM
from .adversarial_deepfool import AdversarialDeepFool
from .ceal import CEAL
from .dacs_loss_prediction import DACSLossPrediction
from .dalbt import DALBT
from .greedy_ensemble import GreedyEnsemble
from .loss_prediction import LossPrediction
from .nomu import NOMU
from .reproduction import FirstUncertain, VotingCommittee
from .rivals import RIVALS
from .scal import SCAL
from .single import Single
from .tod import TOD
from .vaal import VAAL
from .waal import WAAL

__all__ = ["SELECTORS", "TRAINED", "Single", "make_selector"]


def _described(factory: Factory, source: str, cost: str) -> Factory:
    """The factory with what `autoal strategies --all` says of it."""
    factory.source, factory.cost = source, cost  # type: ignore[attr-defined]
    return factory


def _autoal(
    candidates: str | Sequence[Any] = "default",
    search: Mapping[str, Any] | None = None,
    mode: Mode = "bilevel",
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


TRAINED: tuple[Any, ...] = (
    LossPrediction,
    CEAL,
    AdversarialBIM,
    AdversarialDeepFool,
    NOMU,
    GreedyEnsemble,
    DALBT,
    VAAL,
    WAAL,
    SCAL,
    DACSLossPrediction,
    TOD,
)
"""Selectors that train something of their own, or look into the task model."""

SELECTORS: dict[str, Factory] = {
    "autoal": _described(_autoal, "this package", "0; all candidates, heads on embeddings"),
    "autoal-paper": _described(
        _paper, "Wang, Zhan and Huang 2025, arXiv 2410.13853", "0; all candidates, two networks"
    ),
    "uniform": _described(_uniform, "folklore", "0; all candidates"),
    **RIVALS,
    "first-uncertain": FirstUncertain,
    "voting-committee": VotingCommittee,
    **{selector.name: selector for selector in TRAINED},
    **{name: partial(_single, name) for name in CANDIDATES},
}
"""name -> factory that takes the options of a config. Those that are no candidate alone say their `source`, and their
`cost` in trainings of the task model per round, beside the one that every selector has."""


def make_selector(spec: SelectorSpec | str) -> Selector:
    """A selector of this table, by name or with options. Raises UnknownName, ConfigError."""
    return build_selector(SELECTORS, SelectorSpec(name=spec) if isinstance(spec, str) else spec)
