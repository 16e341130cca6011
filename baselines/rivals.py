"""The rival selectors by name. A new one is one file beside this one and one line here."""

from __future__ import annotations

from autoal.experiment.plugins import Factory

from .albl import ALBL
from .comb import Comb
from .lal import LAL
from .lsa import LSA
from .oracle_step import OracleStep
from .random_choice import RandomChoice
from .random_vote import RandomVote
from .rank_aggregation import RankAggregation
from .refine import Refine
from .released_autoal import ReleasedAutoAL
from .round_robin import RoundRobin
from .selectal import SelectAL
from .tailor import Tailor
from .tcm import TCM

__all__ = ["RIVALS"]

RIVALS: dict[str, Factory] = {
    "round_robin": RoundRobin,
    "random_choice": RandomChoice,
    "rank_aggregation": RankAggregation,
    "random_vote": RandomVote,
    "released_autoal": ReleasedAutoAL,
    "albl": ALBL,
    "comb": Comb,
    "lsa": LSA,
    "tailor": Tailor,
    "lal": LAL,
    "selectal": SelectAL,
    "tcm": TCM,
    "refine": Refine,
    "oracle_step": OracleStep,
}
