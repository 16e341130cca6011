"""One HTML page per run, whole in itself: no network, all inlined; made from the run's folder alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.colors import to_hex

from autoal.disk import read_jsonl, write_atomic
from autoal.errors import AutoALError, RunError, UnknownName
from autoal.experiment.config import SelectorSpec, parse_config, to_toml
from autoal.experiment.lines import read_run
from autoal.experiment.store import RunStore, cell_key
from autoal.report.curves import styles
from autoal.report.figures import (
    SIGNS,
    cost_bars,
    difference_curves,
    gain_limit,
    gain_map,
    rank_diagram,
    rejected_curves,
    scenario_curves,
    weight_map,
)
from autoal.report.hindsight import oracle_single_note, shortfall_table
from autoal.report.live import curves_of, differences_of, embedded, library, style
from autoal.report.measures import measures_table
from autoal.report.records import (
    cost_table,
    failure_table,
    gate_table,
    overhead_table,
    rejected_share,
    stage_seconds,
    weights_by_round,
    with_bought,
)
from autoal.report.statistics import ALPHA, ROPE, Comparison, comparison, power_table
from autoal.report.stopping import BEARABLE, chosen_rules, rule_table, scenario_stops, stops
from autoal.report.tables import cells_shown, dataset_table, metric_of, overall_table, read_journal, verdict
from autoal.report.templates import inlined, template
from autoal.report.words import Answer, answer, spoken
from autoal.stopping import parse_rule
from autoal.strategies import CANDIDATES as STRATEGIES

__all__ = ["Report", "findings", "read_report", "write_page"]

CURVES = 6
"""Learning curves drawn in one panel: the focus, the reference and the best others. All are in the tables."""
RANKED = 24
"""Selectors in the rank diagram; its bars are a thicket beyond."""
TALL = 24
"""Rows from which on a table scrolls inside a box of its own."""
PICTURES = 12
"""Scenarios up to which the curves are in the page as pictures too, for paper and where scripts are off: a page stays
below 2 MB. Beyond, the pictures lie in plots/ alone."""
WORDS = {
    "AUBC": "Mean height of the learning curve, in points: its area over the labels paid, divided by their number",
    "rank": "1 is best: by mean AUBC in each scenario, averaged over scenarios",
    "gain": "Difference in AUBC, paired by seed; above 0 is better",
    "95 % interval": "Where the mean gain may lie, by a bootstrap over seeds",
    "sd": "Standard deviation of the AUBC over seeds",
    "final": "Mean value at the end of the run, in points",
    "outcome": "win or loss where the interval leaves 0 out, else a tie",
    "labels saved": "Share of the labels that were not needed for the final value of {reference}",
    "wins": "Scenarios whose interval lies above 0",
    "ties": "Scenarios whose interval holds 0",
    "losses": "Scenarios whose interval lies below 0",
    "cells": "Scenarios times seeds that every selector finished",
    "seeds": "Repetitions with other first labels and splits",
    "P better": "Probability that in a further scenario like these it is better by more than half a point",
    "P equal": "Probability of a difference within half a point",
    "P worse": "Probability that it is worse by more than half a point",
    "Wilcoxon p (Holm)": "Signed-rank test over scenarios, corrected for the number of rivals",
    "Nemenyi p": "Test from ranks, for all pairs at once",
    "beats": "Share of (scenario, label count) at which a paired t-test says so",
    "beaten by": "Share of (scenario, label count) at which a paired t-test says so",
    "seeds needed": "To find a difference of half a point four times in five",
    "peak MiB": "Largest memory the process had held by then",
    "overhead": "Seconds beside one training of the model, in trainings",
}
"""What a column means, shown where somebody points at its head."""
CANDIDATES = 40
"""Candidates in the picture of weights, the heaviest."""


@dataclass(frozen=True)
class Report:
    """What a page is made of."""

    folder: Path
    manifest: dict[str, Any]
    journal: pd.DataFrame
    focus: str
    reference: str
    answer: Answer
    """In plain words; `verdict` is the same in figures."""
    verdict: str
    comparison: Comparison | None
    """None where nothing can be compared; `notes` say why."""
    by_scenario: pd.DataFrame
    overall: pd.DataFrame | None
    shortfall: pd.DataFrame
    """How far each lies below the best single candidate of a scenario; empty where fewer than two ran alone."""
    notes: tuple[str, ...]

    @property
    def shown(self) -> list[str]:
        """Selectors whose curves are drawn: the focus, the best others by rank, the reference."""
        present = list(dict.fromkeys(self.journal["selector"]))
        ranked = list(self.comparison.ranks.index) if self.comparison is not None else present
        first = [name for name in (self.focus, *ranked) if name in present and name != self.reference]
        first = list(dict.fromkeys(first))[: CURVES - (self.reference in present)]
        return first + ([self.reference] if self.reference in present and self.reference not in first else [])


def read_report(folder: str | Path) -> Report:
    """Everything the report of a run says, from its folder. Raises RunError where it has no manifest or journal."""
    folder = Path(folder)
    manifest = RunStore(folder).manifest()
    journal = read_journal(folder)
    focus, reference = str(manifest["focus"]), str(manifest["reference"])
    compared, overall = None, None
    notes: tuple[str, ...]
    try:
        compared = comparison(journal, focus, keep=(reference,))
        overall = overall_table(compared.common.journal, reference)
        notes = compared.notes
    except (RunError, UnknownName) as error:
        notes = (f"Nothing could be compared over scenarios: {error}.",)
    specs = [SelectorSpec.model_validate(spec) for spec in manifest["config"]["selectors"]]
    alone = {spec.label for spec in specs if spec.name in STRATEGIES}
    ceiling = oracle_single_note(journal, alone, focus)
    return Report(
        folder=folder,
        manifest=manifest,
        journal=journal,
        focus=focus,
        reference=reference,
        answer=answer(journal, focus, reference),
        verdict=verdict(journal, focus, reference),
        comparison=compared,
        by_scenario=dataset_table(journal, reference),
        overall=overall,
        shortfall=shortfall_table(journal, alone),
        notes=notes if ceiling is None else (*notes, ceiling),
    )


def findings(report: Report) -> list[str]:
    """What the statistics say of the focus, a sentence each."""
    found = report.comparison
    if found is None or len(found.ranks) < 2:
        return []
    focus, rivals, scenarios = report.focus, found.rivals, len(found.common.means)
    place = int((found.ranks < found.ranks[focus]).sum()) + 1
    by = f"average rank over {scenarios} scenarios ({found.ranks[focus]:.2f})" if scenarios > 1 else "mean AUBC"
    lines = [f"{focus} is number {place} of {len(found.ranks)} by {by}."]
    if math.isfinite(found.friedman):
        differ = "differ beyond chance" if found.friedman < ALPHA else "cannot be told apart as a group"
        lines[0] += f" The selectors {differ} (Friedman, p {_p(found.friedman)})."
    if scenarios > 1 and len(rivals) * 2 / 2**scenarios >= ALPHA:
        lines.append(
            f"With so few scenarios Wilcoxon's test cannot tell any of {len(rivals)} rivals from it at {ALPHA:g}, "
            "whatever they show."
        )
    elif rivals["holm"].notna().any():
        beaten = ((rivals["holm"] < ALPHA) & (rivals["difference"] > 0)).sum()
        lost = ((rivals["holm"] < ALPHA) & (rivals["difference"] < 0)).sum()
        lines.append(
            f"Of {len(rivals)} rivals it is better than {beaten} and worse than {lost} by Wilcoxon's test over "
            f"scenarios (p < {ALPHA:g}, Holm)."
        )
    if rivals["better"].notna().any():
        near = rivals.sort_values("better", kind="stable").iloc[0]
        lines.append(
            f"Hardest rival, {near['selector']}: in a scenario like these {focus} is better by more than {ROPE:g} "
            f"points with probability {near['better']:.0%}, equal within that with {near['equal']:.0%}, worse with "
            f"{near['worse']:.0%} (Bayesian signed-rank test)."
        )
    short = found.common.means.max(axis=1) - found.common.means[focus]
    if len(found.ranks) > 2:
        worst = str(short.idxmax())
        best = str(found.common.means.loc[worst].idxmax())
        lines.append(
            f"It is nowhere further below the best selector of a scenario than {short.max():.2f} points ({worst}, "
            f"behind {best})."
            if short.max() > 0
            else "No selector has a larger mean area in any scenario."
        )
    return lines


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"= {value:.3f}"


def write_page(report: Report) -> Path:
    """Writes report.html into the run's folder, and its pictures as PNG files into plots/ beside it."""
    html = template(Path(__file__).with_name("page.html.j2")).render(_content(report))
    path = report.folder / "report.html"
    write_atomic(path, html)
    return path


def _content(report: Report) -> dict[str, Any]:
    records = read_run(report.folder)
    timings = read_jsonl(report.folder / "timings.jsonl")[0]
    failures = failure_table(report.folder)
    gates, reasons = gate_table(records, report.focus)
    costs, overhead = cost_table(timings), overhead_table(timings, report.focus)
    charts = _charts(report)
    scenarios = report.journal["dataset"].nunique()  # of one, its own table says all
    return {
        "title": report.manifest["config"]["name"],
        "focus": report.focus,
        "reference": report.reference,
        "answer": report.answer,
        "verdict": report.verdict,
        "uniform": report.focus != "uniform" and "uniform" in set(report.journal["selector"]),
        "findings": findings(report),
        "notes": report.notes,
        "tiles": _tiles(report, sum(group["cells"] for group in failures)),
        "overall": None if report.overall is None or scenarios < 2 else _table(report.overall, report),
        "legend": _legend(report),
        "charts": charts,
        "embedded": Markup(embedded([chart["numbers"] for chart in charts])),
        "library": Markup(library()),
        "uplot_style": Markup(style()),
        "ranks": _ranks(report),
        "heat": _heat(report),
        "rivals": _rivals(report),
        "shortfall": None if report.shortfall.empty else _table(report.shortfall, report),
        "scenarios": _scenarios(report),
        "measures": _measures(report),
        "stopping": _stopping(report, records),
        "weights": _weights(report, records, bool(gates.empty or gates["opened"].any())),
        "rejected": _rejected(report),
        "gates": None if gates.empty else _table(gates, report),
        "reasons": reasons[:5],
        "costs": None if costs.empty else _table(costs, report),
        "cost_plot": _cost_plot(report, timings),
        "overhead": None if overhead.empty else _table(overhead, report),
        "power": _power(report),
        "run": _run(report),
        "config": _config(report.manifest["config"]),
        "failures": failures,
        "rope": ROPE,
        "alpha": ALPHA,
    }


def _table(frame: pd.DataFrame, report: Report) -> dict[str, Any]:
    """As the template takes it: heads and rows of text, and which row is of the focus, which of the reference."""
    heads, rows = cells_shown(frame)
    told = [(head, text, WORDS.get(head, "").format(reference=report.reference)) for head, text in heads]
    marks = [""] * len(rows)
    if "selector" in frame.columns:
        kinds = {report.reference: "reference", report.focus: "focus"}
        marks = [kinds.get(name, "") for name in frame["selector"]]
    return {"heads": told, "rows": list(zip(marks, rows, strict=True)), "tall": len(rows) > TALL}


def _plot(report: Report, *parts: str) -> Path:
    return report.folder / "plots" / f"{cell_key(*parts)}.png"


def _tiles(report: Report, failed: int) -> list[tuple[str, str, str]]:
    """(large text, what it is, small text) of the few numbers a reader wants first."""
    tiles = []
    found, overall = report.comparison, report.overall
    one = report.journal["dataset"].nunique() == 1
    if one and report.answer.needed is not None:
        own, its = report.answer.needed
        what = f"labels for the {metric_of(report.journal).replace('_', ' ')} at which {spoken(report.reference)} end"
        tiles.append((f"{own} instead of {its}", what, report.focus))
    if found is not None and len(found.ranks) > 1 and not one:
        where = f"best {found.ranks.iloc[0]:.2f}: {found.ranks.index[0]}"
        tiles.append((f"{found.ranks[report.focus]:.2f}", f"average rank of {len(found.ranks)}", where))
    if overall is not None and "difference" in overall.columns and report.focus != report.reference:
        row = overall[overall["selector"] == report.focus].to_dict("records")[0]
        spread = f"{row['low']:+.2f} to {row['high']:+.2f}" if math.isfinite(row["low"]) else "one seed: no interval"
        tiles.append((f"{row['difference']:+.2f}", f"points over {report.reference}", spread))
        counts = f"{row['wins']:.0f} · {row['ties']:.0f} · {row['losses']:.0f}"
        if not one:
            tiles.append((counts, f"scenarios won · tied · lost to {report.reference}", "by 95 % interval over seeds"))
    cells = len(report.journal.groupby(["dataset", "selector", "seed"]))
    what = "runs of one selector on one seed" if one else "runs of one selector on one scenario and seed"
    tiles.append((str(cells), what, f"{failed} failed" if failed else "none failed"))
    return tiles


def _legend(report: Report) -> list[dict[str, Any]]:
    drawn = styles(report.shown, report.reference)
    return [
        {"name": name, "color": s["color"], "width": s["linewidth"], "marker": s["marker"]}
        for name, s in drawn.items()
    ]  # fmt: skip


def _charts(report: Report) -> list[dict[str, Any]]:
    """What is drawn of each scenario, as PNG and as numbers; of a single one what it gains over the reference first."""
    drawn = styles(report.shown, report.reference)
    blocks = list(report.journal.groupby("dataset", sort=False))
    found = []
    for scenario, block in blocks:
        name, seeds = str(scenario), block["seed"].nunique()
        size = f"{seeds} seed{'' if seeds == 1 else 's'}"
        gains = differences_of(block, drawn, report.reference) if len(blocks) == 1 else None
        if gains is not None:
            path = difference_curves(gains, _plot(report, "gains", name))
            title = f"{name}: gain over {spoken(report.reference)} ({size}; bands: 95 % intervals)"
            found.append({"title": title, "numbers": gains, "wide": True,
                          "picture": inlined(path, f"Gain over {report.reference} on {name}")})  # fmt: skip
        path = scenario_curves(block, drawn, _plot(report, "curves", name))
        found.append(
            {
                "title": f"{name} ({size}; bands: one standard error)",
                "numbers": curves_of(block, drawn),
                "wide": len(blocks) == 1,
                "file": f"plots/{path.name}",
                "picture": None
                if len(blocks) > PICTURES
                else inlined(path, f"Learning curves on {name}: {', '.join(drawn)}"),
            }
        )
    return found


def _ranks(report: Report) -> dict[str, Any] | None:
    found = report.comparison
    if found is None or found.nemenyi is None:
        return None
    names = list(found.ranks.index[:RANKED])
    for name in (report.focus, report.reference):
        if name in found.ranks.index and name not in names:
            names.append(name)
    path = rank_diagram(
        found.ranks[names],
        found.nemenyi,
        _plot(report, "ranks"),
        focus=report.focus,
        reference=report.reference,
        alpha=ALPHA,
    )
    listed = ", ".join(f"{name} {found.ranks[name]:.2f}" for name in names)
    return {
        "picture": inlined(path, f"Critical-difference diagram. Average ranks: {listed}"),
        "difference": f"{found.critical_difference:.2f}",
        "shown": len(names),
        "all": len(found.ranks),
        "scenarios": len(found.common.means),
    }


def _heat(report: Report) -> dict[str, Any] | None:
    """Gain over the reference, selector by scenario, with colours of cells."""
    table = report.by_scenario
    others = table[table["selector"] != report.reference]
    if others["difference"].notna().sum() == 0 or table["dataset"].nunique() < 2:
        return None  # of one scenario the table says the same
    gains = others.pivot(index="selector", columns="dataset", values="difference")
    outcomes = others.pivot(index="selector", columns="dataset", values="outcome")
    order = list(report.comparison.ranks.index) if report.comparison is not None else []
    rows = [name for name in dict.fromkeys([*order, *others["selector"]]) if name in gains.index]
    columns = list(dict.fromkeys(table["dataset"]))
    gains, outcomes = gains.loc[rows, columns], outcomes.loc[rows, columns]
    signs = (outcomes == "win").astype(int) - (outcomes == "loss").astype(int)
    path = gain_map(gains, signs, _plot(report, "gains"))
    limit = gain_limit(gains)
    body = [
        {
            "name": name,
            "focus": name == report.focus,
            "cells": [_cell(gains.loc[name, c], signs.loc[name, c], limit) for c in columns],
        }
        for name in rows
    ]
    return {"columns": columns, "rows": body, "file": path.name}


def _cell(value: Any, sign: Any, limit: float) -> dict[str, str]:
    gain = float(value)
    if not math.isfinite(gain):
        return {"text": "-", "mark": "", "back": "#F2F2F2", "ink": "#555555"}
    place = 0.5 + 0.5 * float(np.clip(gain / limit, -1, 1))
    color = SIGNS(place)
    light = 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2] > 0.5
    mark = {1: "▲", -1: "▼"}.get(int(sign), "")
    return {
        "text": f"{round(gain, 1) + 0.0:+.1f}",
        "mark": mark,
        "back": to_hex(color),
        "ink": "#111111" if light else "#FFFFFF",
    }


def _rivals(report: Report) -> dict[str, Any] | None:
    if report.comparison is None or report.comparison.rivals.empty:
        return None
    return _table(report.comparison.rivals.dropna(axis=1, how="all"), report)


def _scenarios(report: Report) -> list[dict[str, Any]]:
    """The table of each scenario, best area first, with what it is measured by."""
    found = []
    for scenario, block in report.by_scenario.groupby("dataset", sort=False):
        lines = report.journal[report.journal["dataset"] == scenario]
        metric = str(lines["metric"].iloc[0])
        gains = block["difference"] if block["difference"].notna().any() else block["aubc"]
        ordered = block.loc[gains.sort_values(ascending=False, kind="stable").index].drop(columns="dataset")
        budget = f"{lines['labels'].min()} to {lines['labels'].max()} labels"
        found.append({"name": scenario, "metric": metric, "budget": budget, "table": _table(ordered, report)})
    return found


def _measures(report: Report) -> dict[str, Any] | None:
    if report.comparison is None or report.reference not in report.comparison.ranks.index:
        return None
    table = measures_table(report.comparison.common.journal, report.reference).set_index("selector")
    ordered = table.loc[[name for name in report.comparison.ranks.index if name in table.index]].reset_index()
    return _table(ordered, report)


def _stopping(report: Report, records: list[dict[str, Any]]) -> dict[str, Any] | None:
    """When the rules would have stopped the focus; None where the journal, of an earlier version, holds nothing."""
    rules = chosen_rules(map(parse_rule, report.manifest.get("stopping", [])))
    found = stops(records, rules, report.focus)
    if not found["told"].any():
        return None
    silent = [str(rule) for rule, block in found.groupby("rule", sort=False) if not block["told"].any()]
    told = found[~found["rule"].isin(silent)]
    return {
        "table": _table(rule_table(told), report),
        "scenarios": _table(scenario_stops(told), report),
        "silent": ", ".join(silent),
        "bearable": BEARABLE,
    }


def _weights(report: Report, records: Iterable[Mapping[str, Any]], moved: bool) -> dict[str, Any] | None:
    """The picture of the weights, where any was `moved` by what was learned; else a sentence says as much."""
    weights = weights_by_round(map(dict, records), report.focus)
    if len(weights) < 2:
        return None
    mean = weights.mean(axis=1)
    even = 1 / len(weights)
    listed = ", ".join(f"{name} {value:.2f}" for name, value in mean.head(5).items())
    flat = not moved or float((weights - even).abs().to_numpy().max()) < 0.1 * even
    picture = None
    if not flat:  # a map of one colour says less than a sentence
        path = weight_map(weights.head(CANDIDATES), _plot(report, "weights"))
        picture = inlined(path, f"Weights of candidates by round. Heaviest on average: {listed}")
    return {
        "picture": picture,
        "listed": listed,
        "even": f"{even:.2f}",
        "flat": flat,
        "count": len(weights),
        "drawn": min(len(weights), CANDIDATES),
    }


def _rejected(report: Report) -> dict[str, Any] | None:
    share = rejected_share(report.journal)
    if share.empty:
        return None
    drawn = styles(report.shown, report.reference)
    lines = with_bought(report.journal)
    pictures = []
    for scenario in share.columns:
        block = lines[lines["dataset"] == scenario]
        path = rejected_curves(block, drawn, _plot(report, "rejected", str(scenario)))
        pictures.append(inlined(path, f"Share of rejected points bought on {scenario}"))
    heads = [("selector", True, ""), *((str(name), False, "") for name in share.columns)]
    kinds = {report.reference: "reference", report.focus: "focus"}
    rows = [
        (kinds.get(str(name), ""), [str(name), *(f"{v:.0%}" if math.isfinite(v) else "-" for v in values)])
        for name, values in zip(share.index, share.to_numpy(float), strict=True)
    ]
    return {"pictures": pictures, "table": {"heads": heads, "rows": rows, "tall": len(rows) > TALL}}


def _cost_plot(report: Report, timings: list[dict[str, Any]]) -> dict[str, str] | None:
    stages = stage_seconds(timings)
    if stages.empty:
        return None
    rows = [name for name in report.shown if name in stages.index]
    path = cost_bars(stages.loc[rows], _plot(report, "seconds"))
    return inlined(path, "Mean seconds of a round by stage")


def _power(report: Report) -> dict[str, Any] | None:
    present = set(report.journal["selector"])
    if report.focus == report.reference or not {report.focus, report.reference} <= present:
        return None
    table = power_table(report.journal, report.focus, report.reference)
    known = table["needed"].dropna()
    if known.empty:
        return None
    typical, most = float(known.median()), int(table["seeds"].max())
    return {"table": _table(table, report), "median": f"{math.ceil(typical)}", "seeds": most, "enough": most >= typical}


def _run(report: Report) -> list[tuple[str, str]]:
    manifest = report.manifest
    config = manifest["config"]
    seeds = config.get("seeds", [])
    metrics = list(dict.fromkeys(report.journal["metric"]))
    return [
        ("verdict is on", f"{report.focus} against {report.reference}"),
        ("selectors", str(len(config["selectors"]))),
        ("scenarios", str(len(config["datasets"]))),
        ("seeds", f"{len(seeds)}: {', '.join(map(str, seeds))}"),
        ("measured by", ", ".join(metrics) + f", on the {config.get('holdout', 'test')} rows"),
        ("device", str(manifest.get("device", "not recorded"))),
        ("platform", str(manifest.get("platform", "not recorded"))),
        ("versions", ", ".join(f"{k} {v}" for k, v in manifest.get("versions", {}).items())),
        ("revision", str(manifest.get("revision") or "not a checkout")),
        *((f"data: {name}", str(value)) for name, value in manifest.get("data", {}).items()),
    ]


def _config(config: dict[str, Any]) -> str:
    """As a TOML file that `autoal compare` takes; as JSON where an earlier version wrote keys that are gone."""
    try:
        return to_toml(parse_config(config))
    except AutoALError:
        return json.dumps(config, indent=1)
