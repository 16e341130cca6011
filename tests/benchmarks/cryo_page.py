"""The results page of `tests.benchmarks.cryo`, from the finished cells alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

METHODS = ("NCC", "LoG", "MAE only", "cryoMAE")
NAMES = {"autoal": "AutoAL", "margin": "margin", "uncertainty_herding": "uncertainty herding", "random": "random"}
HEAD = """# Particle picking

`AUTOAL_DATA=... python -m tests.benchmarks.cryo --run runs/cryo --out baselines/results/cryo.md`

15 exemplars of one micrograph, two unseen micrographs. F1 at the automatic threshold, in brackets average precision; a
pick is right within half a diameter of a mark, one to one. NCC is the normalised correlation with the rotational
average of the same exemplars, LoG a Laplacian of a Gaussian of the particle's size whose sign is given; both use the
same peaks and the same threshold. *MAE only* is the masked autoencoder without the similarity loss. Each row is a mean
over as many draws of exemplars (and synthetic micrographs) as it says, and so is the deviation between them.

**What of the paper is not public.** cryoMAE (Xu, Zhan, Xu, arXiv 2404.10178) has no public code, and neither its loss,
its weights of positive-unlabeled learning, its network, its threshold, its tables of precision and recall, nor the
EMPIAR sets it was tested on could be read: everything but the shape of the method is ours, nothing here reproduces a
figure of the paper, and its headline, the resolution of a reconstruction, is not measured.
"""


def write(cells: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """The page, and beside it one line for each cell and method."""
    records = [record for part in cells.values() for record in part]
    frame = pd.DataFrame([record for record in records if "method" in record])
    pooled = pd.DataFrame([record for record in records if "strategy" in record])
    ice = pd.DataFrame([record for record in records if "asked" in record])
    parts = [HEAD, picking(frame)]
    if len(pooled):
        parts.append(pool(pooled))
    if len(ice):
        parts.append(foreign(ice))
    out.write_text("\n".join(parts), encoding="utf-8")
    pd.concat([frame, pooled, ice]).round(4).to_csv(out.with_suffix(".csv"), index=False)


def picking(frame: pd.DataFrame) -> str:
    """The table, and the sentence about where cryoMAE loses."""
    lines, gaps = table(frame)
    wins, losses, level = [], [], []
    for name, gap in gaps.items():
        told = f"{name} ({gap:+.3f})"
        (wins if gap > 0.03 else losses if gap < -0.03 else level).append(told)
    more = frame[~frame["method"].isin(METHODS)].groupby(["set", "method"])

    seeds = frame[frame["method"] == "cryoMAE"]
    said = [
        f"F1 against the better of the two baselines: above it on {_list(wins)}; within .03 of it on {_list(level)}; "
        f"**below it on {_list(losses)}**. Where particles are clean and alike, a template is better, and costs "
        "nothing; cryoMAE is worth its training where there are things that look like particles.",
        "",
        f"Training takes {seeds['fit_s'].mean():.0f} s of one thread, a micrograph {seeds['micrograph_s'].mean():.1f} "
        "s (processor time on a busy machine).",
    ]
    if len(more):
        said += [
            "",
            "*Marks put right*: `CryoMAE(recentre=True)` moves each exemplar to where it is most like the rotational "
            "average of the others. The marks of apoferritin's micrograph 0, the reference of the first row, lie "
            "beside the middles of their particles, those of micrograph 1 hardly. The synthetic ones are exact: "
            "nothing can be gained there by moving them, and what is lost is in the table.",
        ]
        said += ["", "| set | variant | seeds | F1 (AP) | cryoMAE, same seeds |", "|---|---|---:|---:|---:|"]
        for (name, variant), part in more:
            plain = frame[(frame["set"] == name) & (frame["method"] == "cryoMAE") & frame["seed"].isin(part["seed"])]
            both = [_cell(rows[["f1", "ap"]].mean()) for rows in (part, plain)]
            said.append(f"| {name} | {variant} | {len(part)} | {' | '.join(both)} |")
    return "\n".join([*lines, "", *said, ""])


def table(frame: pd.DataFrame) -> tuple[list[str], dict[str, float]]:
    """Lines of Markdown, one for each set; and for each by how much cryoMAE's F1 is above the better baseline's."""
    means = frame.groupby(["set", "method"])[["f1", "ap", "best_f1"]].mean()
    lines = [
        "| set | seeds | NCC | LoG | MAE only | cryoMAE | deviation of F1 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    gaps = {}
    for name in frame["set"].unique():
        mine = frame[frame["set"] == name]
        values = {m: means.loc[(name, m)] for m in METHODS if (name, m) in means.index}
        if "cryoMAE" not in values:
            continue
        best = max(one["f1"] for one in values.values())
        shown = ["" if m not in values else _cell(values[m], bold=bool(values[m]["f1"] == best)) for m in METHODS]
        ours = mine[mine["method"] == "cryoMAE"]
        spread = f"{ours['f1'].std(ddof=1):.3f}" if len(ours) > 1 else ""
        lines.append(f"| {name} | {len(ours)} | {' | '.join(shown)} | {spread} |")
        gaps[str(name)] = values["cryoMAE"]["f1"] - max(values["NCC"]["f1"], values["LoG"]["f1"])
    return lines, gaps


def folder(frame: pd.DataFrame) -> str:
    """The row of one set, and precision and recall of each method."""
    means = frame.groupby("method")[["precision", "recall"]].mean()
    said = [f"{m}: precision {means.loc[m, 'precision']:.3f}, recall {means.loc[m, 'recall']:.3f}" for m in METHODS]
    return "\n".join([*table(frame)[0], "", "F1 at the automatic threshold (average precision).", *said])


def pool(frame: pd.DataFrame) -> str:
    """AP and F1 over labels paid, and paired differences at the end."""
    parts = [
        "## Windows of micrographs as a pool",
        "",
        "Four micrographs; windows are the maxima of a Laplacian of a Gaussian at two scales, the picker's own",
        "peaks and 60 random ones for each micrograph; the exemplars and three random windows of background are",
        "labeled at the start. Batches of 10, no two windows of which overlap; half particles are left out. The picker",
        "is a logistic regression on cryoMAE's features, which stay as they are, on two unseen micrographs.",
        "",
    ]
    for name, part in frame.groupby("set", sort=False):
        seeds = part["seed"].nunique()
        per_seed = part.groupby("seed")[["windows", "particles"]].first().mean()
        parts += [
            f"### {name}",
            "",
            f"{seeds} seeds, about {per_seed['windows']:.0f} windows, {per_seed['particles']:.0f} of them particles.",
            "",
        ]
        counts = sorted(part["labels"].unique())
        parts.append(
            "| F1 (AP) | " + " | ".join(f"{n} labels" for n in counts) + " | particles bought | AP against random |"
        )
        parts.append("|---|" + "---:|" * (len(counts) + 2))
        for strategy, label in NAMES.items():
            mine = part[part["strategy"] == strategy]
            shown = [_cell(mine[mine["labels"] == n][["f1", "ap"]].mean()) for n in counts]
            hits = mine[mine["labels"] == counts[-1]]["hits"].mean()
            gain = "" if strategy == "random" else _paired(part, strategy, counts[1:])
            parts.append(f"| {label} | {' | '.join(shown)} | {hits:.1f} | {gain} |")
        parts.append("")
    parts += [
        "AP against random: mean over the labels paid, in points, paired by seed, with its 95 % interval. An interval",
        f"that holds 0 is no difference. {_verdict(frame)}",
        "",
    ]
    return "\n".join(parts)


def foreign(frame: pd.DataFrame) -> str:
    """What ice and dirt are best answered with."""
    lines = [
        "## Ice and dirt: background, or rejected",
        "",
        "Four synthetic micrographs with ice, dirt and broken halves; windows are the maxima of a Laplacian of a",
        "Gaussian and random ones, here and on three unseen micrographs. 80 labels in batches of 10. What is foreign",
        "is taught as background, or put aside and never trained on. Average precision of particle against all else",
        "over the unseen windows; *trained again* is the picker refitted after the 80 labels (`autoal.cryo.refit`).",
        "",
        "| set | seeds | foreign is | asked by | start | 80 labels | trained again | particles | foreign bought |",
        "|---|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    for (name, mode, by), part in frame.groupby(["set", "foreign", "asked"], sort=False):
        mean = part[["start_ap", "end_ap", "refit_ap", "bought_1", "bought_2"]].mean()
        again = "" if np.isnan(mean["refit_ap"]) else f"{mean['refit_ap']:.3f}"
        lines.append(
            f"| {name} | {len(part)} | {'background' if mode == 'background' else 'rejected'} | {NAMES[by]} | "
            f"{mean['start_ap']:.3f} | {mean['end_ap']:.3f} | {again} | {mean['bought_1']:.1f} | "
            f"{mean['bought_2']:.1f} |"
        )
    share = 100 * frame.groupby("set")["share_2"].mean()
    told = ", ".join(f"{share[name]:.0f} % on {name}" for name in frame["set"].unique())
    return "\n".join([*lines, "", f"Windows that are foreign: {told}.", ""])


def _gain(part: pd.DataFrame, strategy: str, counts: list[int]) -> tuple[float, float, float]:
    """Mean and 95 % interval of AP against random, in points; the interval is not there with one seed."""
    of = part[part["labels"].isin(counts)].groupby(["strategy", "seed"])["ap"].mean().unstack(0)
    gains = 100 * (of[strategy] - of["random"]).to_numpy()
    if len(gains) < 2:
        return float(gains.mean()), float("nan"), float("nan")
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    low, high = stats.t.interval(0.95, len(gains) - 1, gains.mean(), error)
    return float(gains.mean()), float(low), float(high)


def _paired(part: pd.DataFrame, strategy: str, counts: list[int]) -> str:
    mean, low, high = _gain(part, strategy, counts)
    return f"{mean:+.1f}" if np.isnan(low) else f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _verdict(frame: pd.DataFrame) -> str:
    """What that says, in a sentence."""
    better, worse = [], []
    for name, part in frame.groupby("set", sort=False):
        for strategy in [one for one in NAMES if one != "random"]:
            _, low, high = _gain(part, strategy, sorted(part["labels"].unique())[1:])
            told = f"{NAMES[strategy]} on {name}"
            better += [told] if low > 0 else []
            worse += [told] if high < 0 else []
    if not better and not worse:
        return "Here no way of asking is told apart from random labels, AutoAL included."
    return f"Better than random labels: {_list(better)}; worse: {_list(worse)}."


def _cell(row: Any, bold: bool = False) -> str:
    f1 = f"{row['f1']:.3f}"
    return f"{f'**{f1}**' if bold else f1} ({row['ap']:.3f})"


def _list(names: list[str]) -> str:
    return ", ".join(names) if names else "none"
