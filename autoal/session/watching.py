"""What each batch leaves in the journal for the rules that say when to stop: a few numbers on the pool, and what was
predicted of a fixed set of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from autoal.rng import generator
from autoal.selectors import AutoAL, Query
from autoal.session.ids import Ids
from autoal.session.labels import Label
from autoal.session.state import Record, State
from autoal.stopping.record import STOP_SET, Round, compared, uncertainty

__all__ = ["rounds_of", "watched"]

DIGITS = 6
"""Significant digits of predicted numbers that are kept."""


def watched(selector: AutoAL, query: Query, asks: Sequence[Record], seed: int) -> Record:
    """Of the model that chose `query`: what it predicts of the stop set and of the batch, how sure it is of the pool,
    and how far it agrees with the model of the batch before (the last of `asks`).

    Points that are pending or skipped have no prediction (None), and are left out where models are compared.
    """
    pool, view = selector.pool_, selector.fitted_.state.view
    task, names = ("regression", []) if pool.classes is None else ("classification", pool.classes.tolist())
    drawn = torch.randperm(len(pool.rows), generator=generator(seed, "stop set"))[:STOP_SET].sort().values
    rows, outputs = torch.cat([pool.unlabeled, pool.labeled]), (view.pool, view.labeled)
    at = torch.full((len(pool.rows),), -1)
    at[rows] = torch.arange(len(rows))
    field = "log_probs" if task == "classification" else "means"
    said = torch.cat([side.require(field).detach().cpu() for side in outputs])

    def read(places: list[int]) -> list[Any]:
        """What is predicted at these places of `rows`; None for -1."""
        there = said[torch.tensor([place for place in places if place >= 0], dtype=torch.int64)]
        if task == "classification":
            values = iter([names[c] for c in there.argmax(1).tolist()])
        else:
            values = iter([float(f"{value:.{DIGITS}g}") for value in there.double().tolist()])
        return [None if place < 0 else next(values) for place in places]

    predicted = read(at[drawn].tolist())
    found: Record = {"labels": len(pool.labeled)}
    before = asks[-1].get("stopping") if asks else None
    if before is not None and len(before["stop_set"]) == len(drawn):
        known = [(a, b) for a, b in zip(_read(before), predicted, strict=True) if a is not None and b is not None]
        found.update(_compared(known, task))
    if task == "classification":
        found.update(uncertainty(view.pool.require("log_probs").double().cpu().numpy()))
    return {**found, **_written(predicted, task), "predicted": read(at[query.indices.tolist()].tolist())}


def _written(predicted: list[Any], task: str) -> Record:
    """A stop set in few characters: classes by their place in a list."""
    if task == "regression":
        return {"stop_set": predicted}
    classes = sorted({said for said in predicted if said is not None}, key=lambda said: (type(said).__name__, said))
    place = {said: i for i, said in enumerate(classes)}
    return {"classes": classes, "stop_set": [None if said is None else place[said] for said in predicted]}


def _read(record: Record) -> list[Any]:
    classes = record.get("classes")
    return [said if classes is None or said is None else classes[said] for said in record["stop_set"]]


def _compared(pairs: list[tuple[Any, Any]], task: str) -> dict[str, float]:
    if task == "regression":
        return compared([a for a, _ in pairs], [b for _, b in pairs], task)
    place = {said: i for i, said in enumerate(dict.fromkeys(side for pair in pairs for side in pair))}
    return compared([place[a] for a, _ in pairs], [place[b] for _, b in pairs], task)


def rounds_of(state: State, ids: Ids, values: dict[int, float]) -> list[Round]:
    """What rules read: a round for each batch that a model chose. `values` are cross-validated, by number of labels.

    Of each batch, what was predicted of it counts as far as its labels are in, whatever they have been corrected to.
    """
    found = []
    for record in state.asks:
        seen = record.get("stopping")
        if seen is None:
            continue
        right = [
            None if row is None or row not in state.labels else _same(state.labels[row], said)
            for row, said in zip(map(ids.row, record["ids"]), seen["predicted"], strict=True)
        ]
        if "classes" not in seen:  # a number is never exactly as predicted
            right = [None] * len(right)
        audit = record["diagnostics"].get("audit", {}).get("random", 0)
        drawn = right[len(right) - audit :]  # those drawn at random come last in a batch
        found.append(
            Round.of(
                seen["labels"],
                {
                    **seen,
                    "asked": sum(each is not None for each in right),
                    "right": sum(map(bool, right)),
                    "audited": sum(each is not None for each in drawn),
                    "audited_right": sum(map(bool, drawn)),
                    "value": values.get(record["labels"]),
                },
            )
        )
    return [*found[:-1], *(replace(last, paid=len(state.labels)) for last in found[-1:])]


def _same(label: Label, said: Any) -> bool:
    return type(label) is type(said) and label == said
