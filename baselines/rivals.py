"""The rival selectors by name. A new one is one file beside this one and one line here."""

from __future__ import annotations

from autoal.experiment.plugins import Factory
from baselines.albl import ALBL
from baselines.comb import Comb
from baselines.lal import LAL
from baselines.lsa import LSA
from baselines.oracle_step import OracleStep
from baselines.random_choice import RandomChoice
from baselines.random_vote import RandomVote
from baselines.rank_aggregation import RankAggregation
from baselines.refine import Refine
from baselines.released_autoal import ReleasedAutoAL
from baselines.round_robin import RoundRobin
from baselines.selectal import SelectAL
from baselines.tailor import Tailor
from baselines.tcm import TCM

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
