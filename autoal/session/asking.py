"""One batch: by AutoAL, which goes on from its latest checkpoint, or by a cold start."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from autoal.data import Rows
from autoal.errors import InvalidInput
from autoal.installed import versions
from autoal.rng import derive_seed
from autoal.selectors import AutoAL, Query
from autoal.selectors.round import KEPT
from autoal.session.cold_start import cold_start
from autoal.session.describe import describe_model
from autoal.session.folder import Folder
from autoal.session.ids import Ids
from autoal.session.labels import LabelSpace
from autoal.session.lines import now
from autoal.session.state import OUT_OF_CLASS, Record, State
from autoal.session.watching import watched

__all__ = ["Asked", "Asking", "pending_query"]


class Asked(NamedTuple):
    """A batch that nobody knows of yet."""

    query: Query
    selector: AutoAL | None
    """What chose it; None in a cold start."""
    record: Record
    """The line of the journal."""
    device: Any = None
    """The device of the session, which a checkpoint keeps; this process may have used another."""
    entries: int = 0
    """Rounds that the journal says too little of, those of an earlier version: a checkpoint keeps them."""

    def remember(self, folder: Folder) -> None:
        """Puts what the search remembers on the disk, which has to be there before the line that names it."""
        if self.selector is not None:
            used, self.selector.device = self.selector.device, self.device
            self.record["saved"] = folder.save(self.selector, self.record["checkpoint"], self.entries)
            self.selector.device = used


@dataclass(frozen=True)
class Asking:
    """What a batch is a function of, beside the model."""

    folder: Folder
    manifest: Record
    ids: Ids
    space: LabelSpace
    rows: Rows
    state: State

    def ask(self, batch_size: int, *, model: Any, device: Any, progress: Any, embeddings: Any, probs: Any) -> Asked:
        """The batch. Nothing is written."""
        began, number = perf_counter(), len(self.state.asks)
        seed = derive_seed(self.manifest["seed"], "ask", number)
        selector, checkpoint, kept_device, entries = None, self.state.checkpoint, None, 0
        cold = self._cold()
        if cold is not None:
            closed = [*self.state.labels, *self.state.skipped, *self.state.pending]
            still_open = np.setdiff1d(np.arange(len(self.rows)), np.asarray(closed, dtype=np.int64))
            query = cold_start(
                self.rows, self.ids, still_open, sorted(self.state.labels), batch_size, seed=seed, reason=cold,
                embeddings=embeddings,
            )  # fmt: skip
        else:
            selector = self._selector(model)
            entries = selector.follow([_entry(asked) for asked in self.state.asks if "asked" in asked])
            kept_device, selector.random_state, selector.progress = selector.device, seed, progress
            selector.device = device or kept_device
            query = self._search(selector, batch_size, embeddings, probs)
            checkpoint = f"round-{number:04d}"
        record: Record = {
            "event": "ask",
            "round": number,
            "ids": self.ids.of(query.indices.tolist()),
            "utilities": query.utilities[query.indices].tolist(),
            "weights": dict(query.weights),
            "votes": {name: np.flatnonzero(vote).tolist() for name, vote in query.votes.items()},
            "labels": len(self.state.labels),
            "given": [name for name, value in (("embeddings", embeddings), ("probs", probs)) if value is not None],
            "diagnostics": dict(query.diagnostics),
            "checkpoint": checkpoint,
            "seconds": perf_counter() - began,
            "model": describe_model(model),
            "versions": versions(),
            "time": now(),
        }
        if selector is not None:
            record["asked"] = selector.history_[-1].get("asked")
            record["stopping"] = watched(selector, query, self.state.asks, self.manifest["seed"])
        return Asked(query, selector, record, kept_device, entries)

    def _cold(self) -> str | None:
        """Why there is nothing to learn from; None where there is."""
        labels = self.state.labels
        if len(labels) < 2:
            return "one label so far" if labels else "no labels so far"
        if self.space.task == "classification" and len(set(labels.values())) < 2:
            return f"all {len(labels)} labels so far are {self.state.example!r}"
        return None

    def _selector(self, model: Any) -> AutoAL:
        """Loaded each time, so that a session that was opened again cannot differ from one that was not."""
        described = self.manifest["model"]
        if described is not None and model is None:
            raise InvalidInput(
                f"this session was created with the model {described['what']}; pass it again: "
                f"Session.open({str(self.folder.path)!r}, model=...)"
            )
        return self.folder.load(self.state.checkpoint, model, self.state.saved)

    def _search(self, selector: AutoAL, batch_size: int, embeddings: Any, probs: Any) -> Query:
        state = self.state
        labeled = sorted(state.labels)
        unwanted = {row for row, reason in state.skipped.items() if reason != OUT_OF_CLASS}
        return selector.fit_query(
            self.rows,
            [state.labels[row] for row in labeled],
            labeled=labeled,
            batch_size=batch_size,
            ids=self.ids.given,
            exclude=sorted(unwanted | state.pending.keys()),
            rejected=state.rejected or None,
            costs=self.folder.costs(self.manifest),
            classes=self.space.classes,
            embeddings=embeddings,
            probs=probs,
        )


def _entry(record: Record) -> Record:
    """What a selector remembers of a batch, from its line of the journal."""
    said = {key: record["diagnostics"][key] for key in KEPT if key in record["diagnostics"]}
    asked = {} if record["asked"] is None else {"asked": record["asked"]}
    return {"labels": record["labels"], "weights": record["weights"], **said, **asked}


def pending_query(state: State, ids: Ids) -> Query:
    """Every pending point, in the order of asking, as a Query made from the lines that asked for them."""
    rows = list(state.pending)
    place = {row: position for position, row in enumerate(rows)}
    utilities = np.full(len(ids), np.nan)
    votes: dict[str, np.ndarray] = {}
    for number in sorted(set(state.pending.values())):
        record = state.asks[number]
        asked = [ids.row(value) for value in record["ids"]]
        waiting = {i: row for i, row in enumerate(asked) if row is not None and state.pending.get(row) == number}
        for i, row in waiting.items():
            utilities[row] = record["utilities"][i]
        for name, picks in record["votes"].items():
            vote = votes.setdefault(name, np.zeros(len(rows), dtype=bool))
            vote[[place[waiting[i]] for i in picks if i in waiting]] = True
    latest = state.asks[-1] if state.asks else {}
    return Query(
        indices=np.asarray(rows, dtype=np.int64),
        ids=ids.array(rows),
        utilities=utilities,
        weights=latest.get("weights", {}),
        votes=votes,
        diagnostics=latest.get("diagnostics", {}),
    )
