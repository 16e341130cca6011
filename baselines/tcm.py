"""TCM: TypiClust while labels are few, then margin."""

from __future__ import annotations

from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate

from .rival import CLASSES_ONLY, Memory, Rival, check_option, selection

__all__ = ["TCM"]


class TCM(Rival):
    """TypiClust in the first `switch` rounds (3), margin from then on. Takes no candidates."""

    name = "tcm"
    source = "Doucet et al. 2024"
    cost = "0; one candidate"
    tasks = CLASSES_ONLY
    strict = True

    def __init__(self, switch: int = 3) -> None:
        super().__init__(["typiclust", "margin"])
        check_option("switch", switch, 0, 1e12, whole=True)
        self.switch = switch

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        chosen = portfolio[0 if state.round < self.switch else 1]
        candidates, proposals = self._ask(state, [chosen], batch_size)
        return selection(proposals[0].indices, candidates, proposals, {chosen[0]: 1.0}), {}
