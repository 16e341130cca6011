"""When the rules of `autoal.stopping` would have stopped, judged afterwards by test values that no rule has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from autoal.experiment.metrics import better
from autoal.stopping import DEFAULT, RULES, Round, Rule

__all__ = ["BEARABLE", "chosen_rules", "recorded_rounds", "rule_table", "scenario_stops", "stops"]

Record = dict[str, Any]
BEARABLE = 0.5
"""Points of the metric that a rule may cost without harm."""
POINTS = 100
CELL = ["dataset", "selector", "seed"]


def chosen_rules(further: Iterable[Rule] = ()) -> list[Rule]:
    """The rule that sessions go by, every named rule with the values of its paper, and `further` ones. A budget is
    left out: what it saves is what it says."""
    named = [rule() for name, rule in RULES.items() if name != "budget"]
    return list(dict.fromkeys([DEFAULT, *named, *further]))


def recorded_rounds(records: Sequence[Record]) -> list[Round]:
    """The rounds of one cell that asked for a batch, from the lines of its journal. What a line does not hold, as those
    of earlier versions do not, is unknown."""
    found = []
    for record in records:
        if not record["last"]:
            stored = record.get("stopping", {})
            found.append(Round.of(stored.get("trained", record["labeled"]), {**stored, "paid": record["labels"]}))
    return found


def stops(records: Iterable[Record], rules: Sequence[Rule], selector: str | None = None) -> pd.DataFrame:
    """One row for each cell (of `selector`, or of all) and rule: dataset, selector, seed, rule, told (whether the rule
    could tell in any round), stopped, at (labels), saved (labels), share (of the labels bought after the first), lost
    (points of the metric at the end less those at the stop; below 0 where the end is worse).

    A rule that never stops saves nothing and loses nothing.
    """
    cells: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if selector is None or record["selector"] == selector:
            cells.setdefault(tuple(record[name] for name in CELL), []).append(record)
    rows = []
    for key, lines in cells.items():
        rounds = recorded_rounds(lines)
        end, first = lines[-1], lines[0]
        sign = better(str(end.get("metric", "accuracy")))
        for rule in rules:
            at, told = _stop(rule, rounds)
            stop = end if at is None else lines[at]
            saved = end["labels"] - stop["labels"]
            rows.append(
                {
                    **dict(zip(CELL, key, strict=True)),
                    "rule": str(rule),
                    "told": told,
                    "stopped": at is not None,
                    "at": stop["labels"],
                    "saved": saved,
                    "share": saved / max(end["labels"] - first["labels"], 1),
                    "lost": POINTS * sign * (end["value"] - stop["value"]),
                }
            )
    return pd.DataFrame(rows, columns=[*CELL, "rule", "told", "stopped", "at", "saved", "share", "lost"])


def _stop(rule: Rule, rounds: Sequence[Round]) -> tuple[int | None, bool]:
    """The first round in which `rule` stops, and whether it could tell in any."""
    told = False
    for number, each in enumerate(rounds):
        # In that round its own batch has no labels yet.
        unanswered = replace(each, asked=0, right=0, audited=0, audited_right=0)
        verdict = rule.judge([*rounds[:number], unanswered])
        told = told or verdict.stop is not None
        if verdict.stop:
            return number, True
    return None, told


def rule_table(found: pd.DataFrame) -> pd.DataFrame:
    """One row a rule, over the cells of `stops` in which it could tell: rule, cells, stopped (share of them), spared
    (labels, median), spared_share (of those bought, median), spared_mean (mean of that), lost (points, median), lost_90
    (nine in ten cells lose less), bearable (share of scenarios whose mean loss is below half a point). Scenarios are
    data sets, of each `run` where there is such a column."""
    rows = []
    scenario = [name for name in ("run", "dataset") if name in found.columns]
    for rule, every in found.groupby("rule", sort=False):
        block = every[every["told"]]
        row: dict[str, Any] = {"rule": rule, "cells": len(block)}
        if not block.empty:
            row["stopped"] = float(block["stopped"].mean())
            row["spared"] = float(block["saved"].median())
            row["spared_share"], row["spared_mean"] = float(block["share"].median()), float(block["share"].mean())
            row["lost"] = float(block["lost"].median()) + 0.0
            row["lost_90"] = float(np.quantile(block["lost"], 0.9)) + 0.0
            row["bearable"] = float((block.groupby(scenario)["lost"].mean() < BEARABLE).mean())
        rows.append(row)
    columns = ["rule", "cells", "stopped", "spared", "spared_share", "spared_mean", "lost", "lost_90", "bearable"]
    return pd.DataFrame(rows, columns=columns)


def scenario_stops(found: pd.DataFrame) -> pd.DataFrame:
    """One row a scenario, a column a rule: labels saved and points lost, as means over seeds, as text: "120 / 0.3"; a
    dash where the rule could not tell."""

    def shown(block: pd.DataFrame) -> str:
        known = block[block["told"]]
        return "-" if known.empty else f"{known['saved'].mean():.0f} / {known['lost'].mean() + 0.0:.1f}"

    table = {
        str(rule): {str(name): shown(cell) for name, cell in block.groupby("dataset", sort=False)}
        for rule, block in found.groupby("rule", sort=False)
    }
    return pd.DataFrame(table).rename_axis("dataset").reset_index()
