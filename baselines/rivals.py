"""The rival selectors by name. A new one is one file beside this one and one line here."""

from __future__ import annotations

from autoal.experiment.plugins import Factory
from baselines.random_choice import RandomChoice
from baselines.random_vote import RandomVote
from baselines.rank_aggregation import RankAggregation
from baselines.released_autoal import ReleasedAutoAL
from baselines.round_robin import RoundRobin

__all__ = ["RIVALS"]

RIVALS: dict[str, Factory] = {
    "round_robin": RoundRobin,
    "random_choice": RandomChoice,
    "rank_aggregation": RankAggregation,
    "random_vote": RandomVote,
    "released_autoal": ReleasedAutoAL,
}
