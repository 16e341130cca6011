"""Tests over the scenarios of a run, made from a journal alone.

The unit is the scenario: the mean AUBC of each selector over the seeds that all of them finished, in points, turned so
that more is better. The tests are those of scipy, scikit-posthocs, statsmodels and baycomp; the last three come with
`pip install 'autoal[stats]'`, and what needs one that is missing is left out and said. Nothing here is random from call
to call.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import pandas as pd
from scipy import stats

from autoal.errors import InvalidInput, RunError, UnknownName
from autoal.experiment.metrics import better
from autoal.report.tables import interval, metric_of, paired_areas

__all__ = [
    "ALPHA",
    "INSTALL",
    "ROPE",
    "Common",
    "Comparison",
    "average_ranks",
    "bayesian",
    "common",
    "comparison",
    "critical_difference",
    "friedman",
    "nemenyi",
    "outcomes",
    "penalty_matrix",
    "power_table",
    "seeds_needed",
    "wilcoxon",
]

ALPHA = 0.05
ROPE = 0.5
"""Points of AUBC by which two selectors may differ and still be called equal in practice."""
SAMPLES = 10_000
"""Draws from the posterior of the Bayesian test; its probabilities are then right to half a hundredth."""
INSTALL = "pip install 'autoal[stats]'"


class MissingPackage(ImportError):
    """A package of the extra `stats` is not installed."""


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0].replace("_", "-")
        raise MissingPackage(f"{package} is not installed; {INSTALL}") from error


@dataclass(frozen=True)
class Common:
    """The cells that can be compared, since every selector that is compared finished them."""

    journal: pd.DataFrame
    means: pd.DataFrame
    """Rows scenarios, columns selectors: mean AUBC in points over seeds, more is better."""
    selectors_left_out: tuple[str, ...] = ()
    scenarios_left_out: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What was left out, in a sentence; empty where nothing was."""
        parts = []
        if self.selectors_left_out:
            parts.append(f"selectors {', '.join(self.selectors_left_out)}")
        if self.scenarios_left_out:
            parts.append(f"scenarios {', '.join(self.scenarios_left_out)}")
        if not parts:
            return ""
        return f"Left out of what is compared over scenarios, since cells are missing: {'; '.join(parts)}."


def common(journal: pd.DataFrame, keep: Collection[str] = ()) -> Common:
    """The part of `journal`, as `read_journal` gives it, that averages may be taken over.

    A selector that finished less than half of a scenario's seeds leaves a hole. The selector or the scenario with the
    larger share of holes is left out, again and again, until there is none; a selector in `keep` is not. Of the rest,
    seeds that every selector finished count. Raises RunError where nothing is left.
    """
    areas = paired_areas(journal)
    seeds = areas.notna().groupby(level="dataset", sort=False).sum()
    holes = seeds.lt(seeds.max(axis=1) / 2, axis=0)
    while holes.to_numpy().any():
        selectors = holes.drop(columns=[name for name in keep if name in holes]).mean()
        scenarios = holes.mean(axis=1)
        if len(selectors) and selectors.max() >= scenarios.max():
            holes = holes.drop(columns=selectors.idxmax())
        else:
            holes = holes.drop(index=scenarios.idxmax())
    kept = areas.loc[areas.index.get_level_values("dataset").isin(holes.index), holes.columns].dropna()
    if kept.empty:
        raise RunError("no scenario and seed was finished by every selector; see failures.jsonl")
    names = [name for name in dict.fromkeys(journal["selector"]) if name in kept.columns]
    found = set(kept.index.get_level_values("dataset"))
    order = [name for name in dict.fromkeys(journal["dataset"]) if name in found]
    means = kept.groupby(level="dataset").mean().loc[order, names]
    cells = pd.MultiIndex.from_frame(journal[["dataset", "seed"]])
    return Common(
        journal=journal[cells.isin(kept.index) & journal["selector"].isin(names)],
        means=means,
        selectors_left_out=tuple(str(n) for n in dict.fromkeys(journal["selector"]) if n not in kept.columns),
        scenarios_left_out=tuple(str(n) for n in dict.fromkeys(journal["dataset"]) if n not in found),
    )


def average_ranks(means: pd.DataFrame) -> pd.Series:
    """Rank of each selector in each scenario, 1 the best and ties averaged; mean over scenarios, best first."""
    return means.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def friedman(means: pd.DataFrame) -> float:
    """p-value of the hypothesis that all selectors have one average rank.

    NaN with fewer than 3 selectors or 2 scenarios, 1 where all are tied everywhere.
    """
    scenarios, selectors = means.shape
    if selectors < 3 or scenarios < 2:
        return math.nan
    if bool((means.max(axis=1) == means.min(axis=1)).all()):
        return 1.0
    return float(stats.friedmanchisquare(*(means[name] for name in means.columns)).pvalue)


def critical_difference(selectors: int, scenarios: int, alpha: float = ALPHA) -> float:
    """Difference in average rank that Nemenyi's test calls significant (Demsar 2006, JMLR 7:1)."""
    if selectors < 2 or scenarios < 1:
        raise InvalidInput(f"got {selectors} selectors in {scenarios} scenarios; wanted at least 2 in 1")
    q = float(stats.studentized_range.isf(alpha, selectors, np.inf)) / math.sqrt(2)
    return q * math.sqrt(selectors * (selectors + 1) / (6 * scenarios))


def nemenyi(means: pd.DataFrame) -> pd.DataFrame:
    """p-value of Nemenyi's test for each pair of selectors. Needs scikit-posthocs; raises ImportError without it."""
    found = _library("scikit_posthocs").posthoc_nemenyi_friedman(means.to_numpy())
    return pd.DataFrame(found.to_numpy(), index=means.columns, columns=means.columns)


def bayesian(means: pd.DataFrame, focus: str, rope: float = ROPE, seed: int = 0) -> pd.DataFrame:
    """Bayesian signed-rank test of `focus` against each other selector.

    Columns better, equal, worse: probability that on a scenario drawn from where these came `focus` is better by more
    than `rope` points, within it, and worse by more (Benavoli et al. 2014, ICML; Benavoli et al. 2017, JMLR 18:77). One
    row per other selector. The hierarchical form of the test is not used: it asks for the folds of a cross-validation.
    Needs baycomp; raises ImportError without it.
    """
    two_on_multiple = _library("baycomp").two_on_multiple
    mine = means[_known(means, focus)].to_numpy()
    rows = {}
    for rival in means.columns.drop(focus):
        worse, equal, wins = two_on_multiple(
            means[rival].to_numpy(), mine, rope, nsamples=SAMPLES, random_state=seed
        )  # fmt: skip
        rows[rival] = {"better": float(wins), "equal": float(equal), "worse": float(worse)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["better", "equal", "worse"])


def wilcoxon(means: pd.DataFrame, focus: str) -> pd.DataFrame:
    """Wilcoxon's signed-rank test over scenarios of `focus` against each other selector, two-sided.

    Columns p, and holm: the same after Holm's correction for that many rivals (NaN without statsmodels). A pair that is
    tied in every scenario has p = 1. With n scenarios p cannot fall below 2 / 2^n.
    """
    mine = means[_known(means, focus)]
    values = {}
    for rival in means.columns.drop(focus):
        d = (mine - means[rival]).to_numpy()
        values[rival] = 1.0 if not np.any(d) else float(stats.wilcoxon(d).pvalue)
    found = pd.DataFrame({"p": pd.Series(values, dtype=float)})
    try:
        multipletests = _library("statsmodels.stats.multitest").multipletests
    except MissingPackage:
        return found.assign(holm=math.nan)
    return found.assign(holm=multipletests(found["p"].to_numpy(), method="holm")[1] if len(found) else [])


def outcomes(journal: pd.DataFrame, focus: str) -> pd.DataFrame:
    """In how many scenarios `focus` wins, ties and loses against each other selector, by the interval of its gain.

    Columns wins, ties, losses; the intervals are those of `autoal.report.tables.interval`, over seeds.
    """
    areas = paired_areas(journal)
    _known(areas, focus)
    rows = {}
    for rival in [name for name in dict.fromkeys(journal["selector"]) if name != focus]:
        gains = (areas[focus] - areas[rival]).dropna()
        signs = [interval(block).sign for _, block in gains.groupby(level="dataset")]
        rows[rival] = {"wins": signs.count(1), "ties": signs.count(0), "losses": signs.count(-1)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["wins", "ties", "losses"])


def penalty_matrix(
    journal: pd.DataFrame, alpha: float = ALPHA, full: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Entry (i, j): fraction of settings (scenario, label count) in which selector i beats selector j.

    To beat is to be better with p < alpha in a two-sided t-test paired over seeds, as in BADGE (Ash et al. 2020, arXiv
    1906.03671); identical curves have p = 1. The first label count, at which nothing has been chosen yet, is no
    setting, and a scenario needs two seeds that all finished. `full` gives the value a model reaches on all labels, by
    scenario: settings where both are above 99 % of it are left out. NaN where no setting is left.
    """
    selectors = list(dict.fromkeys(journal["selector"]))
    k = len(selectors)
    beats, settings = np.zeros((k, k)), np.zeros((k, k))
    for scenario, block in journal.groupby("dataset", sort=False):
        sign = better(metric_of(block))
        wide = block.pivot(index=["labels", "seed"], columns="selector", values="value").reindex(columns=selectors)
        seeds = wide.notna().all(axis=1).groupby(level="seed").all()
        kept = wide[wide.index.get_level_values("seed").isin(seeds[seeds].index)]
        for labels, values in kept.groupby(level="labels"):
            if labels == block["labels"].min() or len(values) < 2:
                continue
            x = values.to_numpy().T  # (selectors, seeds)
            d = sign * (x[:, None] - x[None])
            with np.errstate(all="ignore"):
                p = np.nan_to_num(stats.ttest_1samp(d, 0.0, axis=-1).pvalue, nan=1.0)
            counted = np.ones((k, k), dtype=bool)
            if full is not None and scenario in full:
                near = x.mean(1) > 0.99 * full[str(scenario)]
                counted = ~(near[:, None] & near[None])
            settings += counted
            beats += counted & (p < alpha) & (d.mean(-1) > 0)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(beats / settings, index=selectors, columns=selectors)


def seeds_needed(gain: float, sd: float, power: float = 0.8, alpha: float = ALPHA) -> float:
    """Pairs of runs that a two-sided test needs to find a mean `gain` with probability `power`.

    `sd` is the standard deviation of the paired differences. By the normal distribution, (z_alpha/2 + z_power)^2 sd^2 /
    gain^2: Student's t asks for about two more. Infinite for no gain, NaN where sd is unknown.

    >>> seeds_needed(0.0081, 0.023)
    64.0
    """
    if not math.isfinite(sd):
        return math.nan
    if gain == 0:
        return math.inf
    z = float(stats.norm.isf(alpha / 2) + stats.norm.ppf(power))
    return float(max(2, math.ceil((z * sd / gain) ** 2)))


def power_table(journal: pd.DataFrame, focus: str, reference: str, gain: float = ROPE) -> pd.DataFrame:
    """What this run could have found: one row per scenario.

    Columns: dataset; seeds that both finished; sd of their paired differences in points; needed: seeds for 80 % power
    to find a difference of `gain` points.
    """
    areas = paired_areas(journal)
    d = (areas[_known(areas, focus)] - areas[_known(areas, reference)]).dropna()
    rows = []
    for scenario in dict.fromkeys(journal["dataset"]):
        own = d[d.index.get_level_values("dataset") == scenario]
        sd = float(own.std(ddof=1)) if len(own) > 1 else math.nan
        rows.append({"dataset": scenario, "seeds": len(own), "sd": sd, "needed": seeds_needed(gain, sd)})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Comparison:
    """Everything above, of one run."""

    common: Common
    focus: str
    ranks: pd.Series
    """Average rank over scenarios, best first."""
    friedman: float
    critical_difference: float
    """NaN with one selector or one scenario."""
    nemenyi: pd.DataFrame | None
    rivals: pd.DataFrame
    """One row per rival of the focus, best rank first. Columns: selector, rank, difference (mean over scenarios, in
    points, above 0 where the focus is better), better, equal, worse, holm, nemenyi, wins, ties, losses, beats, beaten
    (the penalty matrix). Tests over scenarios are NaN with one scenario."""
    notes: tuple[str, ...] = field(default=())
    """What could not be made, and why."""


def comparison(journal: pd.DataFrame, focus: str, keep: Collection[str] = ()) -> Comparison:
    """All tests of `focus` against each other selector of `journal`, over the cells that all of them finished.

    Raises RunError where there is nothing to compare, UnknownName where `focus` finished no cell. `keep`: selectors
    that stay, as `focus` does, though scenarios are lost by it.
    """
    shared = common(journal, (focus, *keep))
    means = shared.means
    _known(means, focus)
    notes = [shared.note] if shared.note else []
    scenarios, selectors = means.shape
    ranks = average_ranks(means)
    rivals = pd.DataFrame(index=[name for name in ranks.index if name != focus])
    rivals["rank"] = ranks
    rivals["difference"] = means.rsub(means[focus], axis=0).mean()
    for column in ("better", "equal", "worse", "holm", "nemenyi"):
        rivals[column] = math.nan
    pairs = None
    missing: dict[str, None] = {}  # each said once, in this order
    several = scenarios > 1 and selectors > 1
    if several:
        rivals["holm"] = wilcoxon(means, focus)["holm"]
        try:
            _library("statsmodels")
        except MissingPackage as error:
            missing[str(error)] = None
        try:
            rivals[["better", "equal", "worse"]] = bayesian(means, focus)
        except MissingPackage as error:
            missing[str(error)] = None
        try:
            pairs = nemenyi(means)
            rivals["nemenyi"] = pairs[focus]
        except MissingPackage as error:
            missing[str(error)] = None
    elif selectors > 1:
        notes.append("One scenario: there is nothing to test over scenarios.")
    if missing:
        packages = [text.split(" ")[0] for text in missing]
        notes.append(f"Not installed, and left out: {', '.join(packages)}. Have them with: {INSTALL}")
    penalties = penalty_matrix(shared.journal)
    rivals = rivals.join(outcomes(shared.journal, focus))
    rivals["beats"], rivals["beaten"] = penalties.loc[focus], penalties[focus]
    return Comparison(
        common=shared,
        focus=focus,
        ranks=ranks,
        friedman=friedman(means),
        critical_difference=critical_difference(selectors, scenarios) if several else math.nan,
        nemenyi=pairs,
        rivals=rivals.rename_axis("selector").reset_index(),
        notes=tuple(notes),
    )


def _known(frame: pd.DataFrame, name: str) -> str:
    if name not in frame.columns:
        raise UnknownName("selector", name, map(str, frame.columns))
    return name
