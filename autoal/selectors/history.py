"""What a selector remembers: earlier rounds, and what SearchNet learned in them. Plain data, and JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from autoal.search.round import Memory
from autoal.selectors.base import RoundState

__all__ = ["History"]


@dataclass
class History:
    """Earlier rounds. Asking again with the same labels starts from where that round started, so that the same call
    gives the same answer."""

    memory: Memory = field(default_factory=Memory)
    """After the latest search."""
    before: Memory = field(default_factory=Memory)
    """Before the round that is being asked for."""
    fingerprint: str | None = None
    """Of the labels of that round; None before the first."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    """One for each round: labels, weights, gate, and, with an audit, what was asked for."""
    earlier: int = 0
    """How many entries are of earlier rounds."""

    def recall(self, state: RoundState) -> Memory:
        """What earlier rounds left to the round of `state`."""
        labels = state.labeled_ids.numpy().tobytes() + state.view.labels.cpu().numpy().tobytes()
        fingerprint = hashlib.sha256(labels).hexdigest()
        if self.fingerprint is not None and fingerprint != self.fingerprint:
            self.before, self.earlier = self.memory, len(self.entries)
        self.fingerprint = fingerprint
        return self.before

    def add(self, entry: dict[str, Any]) -> None:
        """Takes the entry of the round that was recalled; asked again, it replaces the one there is."""
        self.entries = [*self.entries[: self.earlier], entry]

    def follow(self, entries: Sequence[dict[str, Any]]) -> None:
        """Takes these for the entries of earlier rounds that come after those there are: of every batch that was asked
        for, also where two were asked for with the same labels."""
        self.entries = [*self.entries, *entries]
        self.earlier = len(self.entries)

    def asked_before(self) -> list[dict[str, Any]]:
        """What earlier batches chose and drew at random, as `audit_report` takes it; only while there is an audit."""
        return [entry["asked"] for entry in self.entries[: self.earlier] if "asked" in entry]

    def not_chosen(self, labeled_ids: Tensor) -> Tensor:
        """(L,) bool: labeled points that earlier batches drew at random, or that were labeled before the first."""
        chosen = [key for batch in self.asked_before() for key in batch["chosen"]]
        return ~torch.isin(labeled_ids, torch.tensor(chosen, dtype=labeled_ids.dtype))

    def to_json(self, entries: int | None = None) -> dict[str, Any]:
        """With `entries`, only the first so many: the others are kept elsewhere."""
        if self.fingerprint is None:
            return {}
        kept = self.entries[:entries]
        return {
            "memory": self.memory.to_json(),
            "memory_before": self.before.to_json(),
            "fingerprint": self.fingerprint,
            "earlier": min(self.earlier, len(kept)),
            "history": kept,
        }

    @staticmethod
    def from_json(state: dict[str, Any]) -> History:
        if not state:
            return History()
        entries = list(state["history"])
        return History(
            memory=Memory.from_json(state["memory"]),
            before=Memory.from_json(state["memory_before"]),
            fingerprint=str(state["fingerprint"]),
            entries=entries,
            earlier=int(state.get("earlier", max(0, len(entries) - 1))),
        )
