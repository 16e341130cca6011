"""Particles of cryo-electron micrographs: picked from few marks, or by windows asked for one at a time."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoal.cryo.matching import Measures, measures
    from autoal.cryo.peaks import Peaks, Picks, ScoreMap, find_peaks, threshold_of
    from autoal.cryo.picker import CryoMAE
    from autoal.cryo.pool import WindowPool, answers
    from autoal.cryo.retraining import refit
    from autoal.cryo.synthetic import Synthetic, synthetic_micrograph

__all__ = [
    "CryoMAE",
    "Measures",
    "Peaks",
    "Picks",
    "ScoreMap",
    "Synthetic",
    "WindowPool",
    "answers",
    "find_peaks",
    "measures",
    "refit",
    "synthetic_micrograph",
    "threshold_of",
]

_HOMES = {
    **dict.fromkeys(("Measures", "measures"), "matching"),
    **dict.fromkeys(("Peaks", "Picks", "ScoreMap", "find_peaks", "threshold_of"), "peaks"),
    "CryoMAE": "picker",
    **dict.fromkeys(("WindowPool", "answers"), "pool"),
    "refit": "retraining",
    **dict.fromkeys(("Synthetic", "synthetic_micrograph"), "synthetic"),
}


def __getattr__(name: str) -> Any:
    """The names above, when they are asked for: torch takes seconds to import, and `autoal --help` should not."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"autoal.cryo.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
