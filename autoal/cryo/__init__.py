"""Particles of cryo-electron micrographs: picked from few marks, or by windows asked for one at a time."""

from autoal.cryo.matching import Measures, measures
from autoal.cryo.peaks import Peaks, Picks, ScoreMap, find_peaks, threshold_of
from autoal.cryo.picker import CryoMAE
from autoal.cryo.pool import WindowPool, answers
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
    "synthetic_micrograph",
    "threshold_of",
]
