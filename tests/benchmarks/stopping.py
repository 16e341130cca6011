"""What each stopping rule saves, and what it costs.

    python -m tests.benchmarks.stopping run configs/validation-hundreds.toml --model random_forest --seeds 1 --out RUN
    python -m tests.benchmarks.stopping table RUN [RUN ...] [--rule TEXT ...] [--only] [--out FILE]

`run` runs AutoAL with a tenth of its points drawn at random, and margin, on the scenarios of a config, and records what
the rules read. `table` judges the rules on such runs, by test values that no rule has seen: against the end of each
curve, over cells and scenarios of all of them. `--only` leaves out what is not named by --rule.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from autoal.experiment.config import read_config
from autoal.experiment.lines import read_run
from autoal.experiment.plugins import make_selector
from autoal.experiment.runner import run
from autoal.experiment.store import RunStore
from autoal.report.stopping import chosen_rules, recorded_rounds, rule_table, stops
from autoal.report.tables import to_markdown
from autoal.stopping import DEFAULT, Rule, expected_gain, parse_rule

AUDIT = 0.1
"""Share of points that AutoAL draws at random here."""
LOSS = 0.5
"""Points that the rule a session goes by may cost,"""
SURE = 0.9
"""in this share of scenarios."""
NOISE = 0.005
"""By how much an accuracy on one or two thousand test rows moves without a reason, as a fraction."""


def measure(
    config: Path, model: str, seeds: int, out: Path, *, validate: bool, alone: bool, batch_size: int | None
) -> None:
    """Runs the scenarios of `config` on one core, margin `alone` or beside AutoAL, perhaps with other batches over as
    many labels; without `validate` nothing is cross-validated, which is most of the
    time of a forest, and no curve is fitted but on audit points."""
    read = read_config(config)
    ours: dict[str, Any] = next((s.options for s in read.selectors if s.name == "autoal"), {})
    selectors: list[Any] = ["margin"] if alone else [{"name": "autoal", **ours, "search": {"audit": AUDIT}}, "margin"]
    size = batch_size or read.batch_size
    changed = read.changed(
        selectors=selectors, model=model, seeds=list(range(seeds)), cross_validate=validate, reference="", workers=1,
        batch_size=size, rounds=read.rounds * read.batch_size // size,
    )  # fmt: skip
    began = time.process_time()
    found = run(changed, make_selector, out, workers=1)
    print(f"{out}: {found.cells} cells, {len(found.failures)} failed, {time.process_time() - began:.0f} s of one core")


def described(folder: Path) -> str:
    """A run in words."""
    config = RunStore(folder).manifest()["config"]
    names = " and ".join(spec["label"] for spec in config["selectors"])
    initial = config["initial"]
    start = initial["total"] or f"{initial['per_class']} a class"
    return (
        f"{folder.name}: {len(config['datasets'])} scenarios, {config['model']['name']}, {names}, "
        f"{len(config['seeds'])} seed(s), from {start} labels by {config['batch_size']} in {config['rounds']} batches"
        + ("" if config.get("cross_validate") else ", nothing cross-validated")
    )


def judged(folders: list[Path], rules: list[Rule]) -> pd.DataFrame:
    """`stops` of all cells of all runs, with a column run."""
    parts = [stops(read_run(folder), rules).assign(run=folder.name) for folder in folders]
    return pd.concat(parts, ignore_index=True)


def gains(folders: list[Path]) -> str:
    """Whether what `expected_gain` says of the next batch comes true, over all rounds of all cells with a curve."""
    found = []
    for folder in folders:
        lines = pd.DataFrame(read_run(folder))
        for _, block in lines.groupby(["dataset", "selector", "seed"], sort=False):
            records = block.to_dict("records")
            rounds = recorded_rounds([{str(key): value for key, value in record.items()} for record in records])
            for number in range(len(rounds)):
                own = replace(rounds[number], audited=0, audited_right=0)  # its batch has no labels yet
                ahead = records[number + 1]["labels"] - records[number]["labels"]
                said = expected_gain([*rounds[:number], own], ahead)
                if said is not None:
                    true = records[number + 1]["value"] - records[number]["value"]
                    held = said.low - NOISE <= true <= said.high + NOISE
                    found.append((100 * said.expected, 100 * true, held, said.low <= true <= said.high))
    if not found:
        return "No run has cross-validated accuracy."
    expected, true, near, exact = pd.DataFrame(found).mean()
    return (
        f"What the next batch would add, said {len(found)} times: {expected:.2f} points on average, and {true:.2f} "
        f"came. The 80 % interval held what came in {exact:.0%} of cases as it is, and in {near:.0%} with "
        f"{100 * NOISE:g} points on either side, about what the test rows leave open."
    )


def choice(found: pd.DataFrame) -> str:
    """Which rule a session should go by: of those that cost less than half a point in nine of ten scenarios of every
    run the one that saves most; where there is none, the one that comes closest."""
    told = found[found["told"]]
    means = told.groupby(["rule", "run", "dataset"])["lost"].mean() < LOSS
    least = means.groupby(["rule", "run"]).mean().groupby("rule").min()
    saved = found.groupby("rule")["share"].mean()
    everywhere = found.groupby("rule")["told"].any() & (told.groupby("rule")["run"].nunique() == found["run"].nunique())
    saved = saved[everywhere.reindex(saved.index, fill_value=False) & (saved > 0)]
    fine = saved[least[saved.index] >= SURE]
    if len(fine):
        best = fine.idxmax()
        return (
            f"Of the rules that can tell in every run, and that cost less than {LOSS:g} points in {SURE:.0%} of "
            f"scenarios of each run, `{best}` saves most: {fine[best]:.0%} of the labels on average."
        )
    best = least[saved.index].idxmax()
    return (
        f"No rule that saves anything costs less than {LOSS:g} points in {SURE:.0%} of scenarios of each run. `{best}` "
        f"comes closest, with {least[best]:.0%} of those of its worst run; it saves {saved[best]:.0%} of the labels on "
        "average."
    )


def beside(found: pd.DataFrame) -> str:
    """What would be chosen over all scenarios together, and how it does where it does worst."""
    table = rule_table(found).set_index("rule")
    fine = table[(table["bearable"] >= SURE) & (table["cells"] == table["cells"].max())]
    best = str(fine["spared_mean"].idxmax())
    block = found[found["rule"] == best]
    by_run = (block.groupby(["run", "dataset"])["lost"].mean() < LOSS).groupby("run").mean()
    return (
        f"Over all scenarios together `{best}` would save most at {SURE:.0%} ({table.loc[best, 'spared_mean']:.0%}), "
        f"but in {by_run.idxmin()} it holds in {by_run.min():.0%} of scenarios alone: a rule has to hold whatever the "
        "size of a batch. Most of these curves still rise at their end, so that a rule that costs little saves little: "
        "the median is nothing. The rules were tried on the development sets, and the one that sessions go by was "
        "chosen among them by these figures, which flatter it a little."
    )


def written(folders: list[Path], rules: list[Rule]) -> str:
    found = judged(folders, rules)
    table = rule_table(found)
    lines = [
        "# When to stop: labels saved, accuracy lost",
        "",
        "Each rule is asked after every batch, from what is known without a test label; where it stops is judged",
        "by test values against the end of the run. Labels saved: of those bought after the first, median, as a",
        "share, and the mean share. Points lost: of accuracy (balanced where classes are imbalanced), median, and",
        "what nine in ten cells stay below; below 0 where the end of the run was worse. Scenarios below 0.5: share",
        "of scenarios (of each run) whose mean loss over seeds and selectors is below half a point. A rule that",
        f"never stops saves and loses nothing. Selectors: autoal with {AUDIT:.0%} of its points drawn at random,",
        "and margin, which has no audit: `audit_clean` counts the cells of autoal alone. Rules with other values",
        "than those of their papers were chosen on the development sets alone.",
        "",
        *(f"- {described(folder)}" for folder in folders),
        "",
        f"**{choice(found)}**",
        f"A session goes by `{DEFAULT}`.",
        "",
        beside(found),
        "",
        gains(folders),
        "",
        "## All runs together",
        "",
        to_markdown(table),
    ]
    for folder in folders:
        block = found[found["run"] == folder.name]
        lines += [f"## {folder.name}", "", to_markdown(rule_table(block))]
    session = found[found["rule"] == str(DEFAULT)]
    by_scenario = session.groupby(["run", "dataset"], sort=False)[["at", "saved", "lost"]].mean().reset_index()
    worst = by_scenario.sort_values("lost", ascending=False, kind="stable").head(10)
    shown = [
        f"| {row['run']} | {row['dataset']} | {row['at']:.0f} | {row['saved']:.0f} | {row['lost']:.1f} |"
        for row in worst.to_dict("records")
    ]
    lines += [
        f"## Where `{DEFAULT}` costs most",
        "",
        "| run | scenario | stops at | labels saved | points lost |",
        "|---|---|---:|---:|---:|",
        *shown,
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stopping", description=__doc__)
    parts = parser.add_subparsers(required=True, dest="part")
    runs = parts.add_parser("run")
    runs.add_argument("config", type=Path)
    runs.add_argument("--model", default="logistic_regression")
    runs.add_argument("--seeds", type=int, default=1)
    runs.add_argument("--no-cross-validation", dest="validate", action="store_false")
    runs.add_argument("--margin-alone", dest="alone", action="store_true")
    runs.add_argument("--batch-size", type=int)
    runs.add_argument("--out", type=Path, required=True)
    table = parts.add_parser("table")
    table.add_argument("runs", type=Path, nargs="+")
    table.add_argument("--rule", action="append", default=[])
    table.add_argument("--only", action="store_true")
    table.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.part == "run":
        measure(
            chosen.config, chosen.model, chosen.seeds, chosen.out,
            validate=chosen.validate, alone=chosen.alone, batch_size=chosen.batch_size,
        )  # fmt: skip
        return 0
    named = [parse_rule(text) for text in chosen.rule]
    text = written(chosen.runs, named if chosen.only and named else chosen_rules(named))
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
