"""Tables of what is beside the curves in a run: weights of candidates, the gate, foreign points, costs, failures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from autoal.disk import read_jsonl

__all__ = [
    "cost_table",
    "failure_table",
    "gate_table",
    "overhead_table",
    "rejected_share",
    "stage_seconds",
    "weights_by_round",
    "with_bought",
]

Record = dict[str, Any]
_ASKING = ("fit", "outputs", "select")


def weights_by_round(records: Iterable[Record], selector: str) -> pd.DataFrame:
    """Mean weight of each candidate over scenarios and seeds: a row per candidate, heaviest first; a column per round.

    `records` are the lines of a journal. A candidate that was dropped in a round counts as 0 there. Empty where the
    selector has recorded no weights.
    """
    rows = [
        {"round": record["round"], **record["weights"]}
        for record in records
        if record["selector"] == selector and record.get("weights")
    ]
    if not rows:
        return pd.DataFrame()
    mean = pd.DataFrame(rows).fillna(0.0).groupby("round").mean().T
    return mean.loc[mean.mean(axis=1).sort_values(ascending=False, kind="stable").index]


def gate_table(records: Iterable[Record], selector: str) -> tuple[pd.DataFrame, list[tuple[str, int]]]:
    """How often the gate of `selector` opened: a row per scenario (dataset, rounds, opened), and why it was shut.

    Reasons come with how often they were given, most frequent first; those that differ in their numbers alone are one,
    told as it was the first time.
    """
    rounds: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    told: dict[str, str] = {}
    for record in records:
        gate = (record.get("diagnostics") or {}).get("gate") if record["selector"] == selector else None
        if gate:
            scenario = str(record["dataset"])
            rounds[scenario] += 1
            opened[scenario] += bool(gate.get("open"))
            if not gate.get("open"):
                reason = str(gate.get("reason", "not said"))
                kind = re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "n", reason)
                reasons[kind] += 1
                told.setdefault(kind, reason)
    table = pd.DataFrame(
        [(scenario, rounds[scenario], opened[scenario]) for scenario in rounds],
        columns=["dataset", "rounds", "opened"],
    )
    return table, [(told[kind], count) for kind, count in reasons.most_common()]


def with_bought(journal: pd.DataFrame) -> pd.DataFrame:
    """`journal` with a column bought: labels paid since the first round of the cell."""
    first = journal.groupby(["dataset", "selector", "seed"])["labels"].transform("min")
    return journal.assign(bought=journal["labels"] - first)


def rejected_share(journal: pd.DataFrame) -> pd.DataFrame:
    """Share of the labels bought that went to points the oracle rejects: rows selectors, columns scenarios.

    Fewest first. Only scenarios in which any selector bought such a point; mean over seeds, at the end of the run.
    """
    last = with_bought(journal).sort_values("round", kind="stable").groupby(["dataset", "selector", "seed"]).tail(1)
    last = last[last["bought"] > 0]
    if not (last["rejected"] > 0).any():
        return pd.DataFrame()
    share = (last["rejected"] / last["bought"]).groupby([last["selector"], last["dataset"]]).mean().unstack()
    share = share.loc[:, [name for name in dict.fromkeys(journal["dataset"]) if share.get(name, pd.Series()).max() > 0]]
    return share.loc[share.mean(axis=1).sort_values(kind="stable").index]


def stage_seconds(timings: list[Record]) -> pd.DataFrame:
    """Mean seconds of a round by stage: a row per selector, a column per stage, in the order of the file."""
    rows = [{"selector": record["selector"], **record["seconds"]} for record in timings]
    if not rows:
        return pd.DataFrame()
    # A last round asks for nothing, and its missing stages would make the others look slower: they count as 0.
    return pd.DataFrame(rows).fillna(0.0).groupby("selector", sort=False).mean()


def cost_table(timings: list[Record]) -> pd.DataFrame:
    """A row per selector: selector, mean seconds per round of each stage, seconds per cell, peak_mib.

    Memory is the largest a process held in any round; processes that ran several cells carry it over from one to the
    next, so that it is an upper bound. Empty without timings.
    """
    stages = stage_seconds(timings)
    if stages.empty:
        return stages
    cells: dict[str, set[tuple[Any, Any]]] = {}
    total: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for record in timings:
        name = record["selector"]
        cells.setdefault(name, set()).add((record["dataset"], record["seed"]))
        total[name] += sum(record["seconds"].values())
        for size in (record.get("peak_bytes") or {}).values():
            peak[name] = max(peak[name], size)
    table = stages.assign(
        cell=[total[name] / len(cells[name]) for name in stages.index],
        peak_mib=[peak[name] / 2**20 for name in stages.index],
    )
    return table.reset_index()


def overhead_table(timings: list[Record], selector: str) -> pd.DataFrame:
    """What `selector` takes beside the model's training, by scenario: fit_s, outputs_s and select_s, mean seconds of a
    round that asked for a batch; and overhead, the last two over the first.

    Empty without timings of such rounds.
    """
    rows = [
        {"dataset": record["dataset"], **{f"{stage}_s": record["seconds"].get(stage, 0.0) for stage in _ASKING}}
        for record in timings
        if record["selector"] == selector and "select" in record["seconds"]
    ]
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).groupby("dataset", sort=False).mean()
    return table.assign(overhead=(table["outputs_s"] + table["select_s"]) / table["fit_s"]).reset_index()


def failure_table(folder: str | Path) -> list[Record]:
    """Failed cells of the run in `folder` that have selector, error and message in common.

    Keys: selector, type, message, cells (how many), where (scenario -> seeds), traceback of the first. Most first.
    """
    groups: dict[tuple[str, str, str], Record] = {}
    for failure in read_jsonl(Path(folder) / "failures.jsonl")[0]:
        key = (str(failure["selector"]), str(failure["type"]), str(failure["message"]))
        group = groups.setdefault(
            key,
            {
                **dict(zip(("selector", "type", "message"), key, strict=True)),
                "cells": 0,
                "where": {},
                "traceback": failure.get("traceback", ""),
            },
        )
        group["cells"] += 1
        group["where"].setdefault(str(failure["dataset"]), []).append(failure["seed"])
    return sorted(groups.values(), key=lambda group: -group["cells"])
