"""Published means beside those of a run: `python -m baselines.published RUN [RUN ...]`.

Cells are found by the labels of data set and selector, as in `configs/reproduce/`. AUBC is in the form of those tables
(`rebench`: initial accuracy left out, divided by the number of queries), each over every query of the pool.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from autoal.experiment.metrics import aubc
from autoal.report.tables import read_journal, to_markdown

__all__ = ["GRADIENT_KERNELS", "PUBLISHED", "Published", "compare_means", "compare_order", "summary"]

WITHIN = 2.0
"""Standard errors of the difference up to which a mean counts as reproduced."""


class Published(NamedTuple):
    """One mean of a published table."""

    mean: float
    sd: float
    """Over seeds; where the table has none, that of US-C on the same data set."""
    seeds: int


_MAIN_COLUMNS = ("RS", "US-C", "US-NC", "QBC", "Core-Set")
_MAIN = {  # means by column, then the deviations of RS and of US-C
    "sonar": (0.7463, 0.7762, 0.7622, 0.7655, 0.7420, 0.038, 0.031),
    "ex8b": (0.8853, 0.8981, 0.8938, 0.8939, 0.8916, 0.028, 0.025),
    "heart": (0.8051, 0.8157, 0.8120, 0.8130, 0.8105, 0.028, 0.026),
    "ionosphere": (0.9180, 0.9300, 0.9197, 0.9278, 0.9134, 0.018, 0.015),
    "diabetes": (0.7424, 0.7479, 0.7432, 0.7472, 0.7491, 0.015, 0.015),
    "ex8a": (0.8539, 0.8788, 0.8273, 0.8601, 0.8540, 0.022, 0.018),
    "german": (0.7340, 0.7417, 0.7388, 0.7395, 0.7365, 0.017, 0.015),
    "splice": (0.8075, 0.8229, 0.8158, 0.8154, 0.7518, 0.016, 0.013),
    "gcloudb": (0.8952, 0.8981, 0.8853, 0.8967, 0.8920, 0.012, 0.011),
    "gcloudub": (0.9437, 0.9560, 0.9490, 0.9529, 0.8929, 0.010, 0.008),
    "checkerboard": (0.9781, 0.9847, 0.9134, 0.9702, 0.9874, 0.006, 0.006),
    "spambase": (0.9103, 0.9205, 0.9010, 0.9190, 0.9052, 0.006, 0.004),
    "banana": (0.8926, 0.8787, 0.8050, 0.8908, 0.8930, 0.004, 0.022),
    "phoneme": (0.8254, 0.8355, 0.8211, 0.8318, 0.8240, 0.010, 0.006),
    "twonorm": (0.9753, 0.9764, 0.9755, 0.9760, 0.9755, 0.002, 0.002),
}
_GRID_COLUMNS = ("LR->SVM", "RF->SVM", "LR->LR", "SVM->LR", "RF->LR", "RF->RF", "SVM->RF", "LR->RF")
_GRID = {
    "sonar": (0.7582, 0.7691, 0.7454, 0.7374, 0.7371, 0.7699, 0.7679, 0.7623),
    "ionosphere": (0.9160, 0.9268, 0.8594, 0.8610, 0.8630, 0.9204, 0.9134, 0.8997),
    "gcloudb": (0.8855, 0.8943, 0.8791, 0.8784, 0.8758, 0.8874, 0.8852, 0.8872),
    "checkerboard": (0.9061, 0.9715, 0.7609, 0.6780, 0.6094, 0.9947, 0.9950, 0.9561),
    "banana": (0.7898, 0.8934, 0.5685, 0.5597, 0.5309, 0.8874, 0.8710, 0.7969),
    "twonorm": (0.9755, 0.9766, 0.9770, 0.9770, 0.9770, 0.9692, 0.9644, 0.9613),
}
_LARGE = {"spambase", "banana", "phoneme", "twonorm"}


def _published() -> dict[tuple[str, str], Published]:
    table = {}
    for dataset, (*means, sd_random, sd_margin) in _MAIN.items():
        for column, mean in zip(_MAIN_COLUMNS, means, strict=True):
            sd = sd_random if column == "RS" else sd_margin
            table[dataset, column] = Published(mean, sd, 10 if dataset in _LARGE else 100)
    for dataset, row in _GRID.items():
        for column, mean in zip(_GRID_COLUMNS, row, strict=True):
            table[dataset, column] = Published(mean, _MAIN[dataset][-1], 15 if dataset in _LARGE else 150)
    return table


PUBLISHED = _published()
"""(data set, column) -> AUBC of Lu, Li and Lin 2023, arXiv 2306.08954: the main table, and the grid of models "A
chooses, B is tested", of which SVM->SVM is the strategy US-C."""


def compare_means(journals: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row per (data set, column) that was run and published, in the order of the runs.

    Columns: dataset, selector; published, theirs (their seeds); ours, sd, seeds; off, ours less the published mean;
    errors, the same in standard errors sqrt(sd^2 / seeds + sd_published^2 / theirs). With one seed that is NaN.
    """
    rows = []
    for journal in journals:
        for key in dict.fromkeys(zip(journal["dataset"], journal["selector"], strict=True)):
            if (known := PUBLISHED.get(key)) is None:
                continue
            cells = journal[(journal["dataset"] == key[0]) & (journal["selector"] == key[1])]
            areas = [aubc(curve["value"], curve["labels"], form="rebench") for _, curve in cells.groupby("seed")]
            mean, n = float(np.mean(areas)), len(areas)
            sd = float(np.std(areas, ddof=1)) if n > 1 else math.nan
            error = math.sqrt(sd**2 / n + known.sd**2 / known.seeds)
            off = mean - known.mean
            rows.append((*key, known.mean, known.seeds, mean, sd, n, off, off / error))
    columns = ["dataset", "selector", "published", "theirs", "ours", "sd", "seeds", "off", "errors"]
    return pd.DataFrame(rows, columns=columns)


def summary(table: pd.DataFrame) -> str:
    """How many of the means of `compare_means` are reproduced, in one sentence."""
    errors = table["errors"].abs()
    return (
        f"{int((errors <= WITHIN).sum())} of {len(table)} published means lie within {WITHIN:g} standard errors of the "
        f"difference, {int((errors <= 1).sum())} within one; the largest difference is {errors.max():.1f}."
    )


GRADIENT_KERNELS = {
    "lcmd": ("lcmd-tp_grad_rp-512", -1.589),
    "kmeanspp": ("kmeanspp-p_grad_rp-512_acs-rf-512", -1.569),
    "frank_wolfe": ("fw-p_grad_rp-512_acs-rf-hyper-512", -1.542),
    "bait": ("bait-fb-p_ll_train", -1.541),
    "maxdet": ("maxdet-p_grad_rp-512_train", -1.512),
    "maxdist": ("maxdist-tp_grad_rp-512", -1.506),
    "random": ("random", -1.401),
    "maxdiag": ("maxdiag_grad_rp-512_train", -1.369),
}
"""selector -> (configuration, mean log RMSE of ReLU networks on 15 sets) of Holzmueller et al. 2023, arXiv 2203.09410;
standard error about 0.002. Best first."""


def compare_order(journal: pd.DataFrame, reference: str = "random") -> pd.DataFrame:
    """One row per selector of GRADIENT_KERNELS in the journal of a regression, in the published order.

    Columns: selector; published and gap, its mean log RMSE and that less the reference's; ours, sd, the same gap here
    (mean over data sets of the mean over rounds without the first, as in the paper; sd over seeds); sign, whether both
    have one sign, with `?` where ours is within two standard errors of 0; place and here, the places in both orders.
    Only data sets and seeds all selectors finished count.
    """
    after = journal[journal["round"] > 0]
    cells = after.groupby(["dataset", "seed", "selector"])["value"].mean().unstack("selector")
    names = [name for name in GRADIENT_KERNELS if name in cells.columns]
    by_seed = cells[names].dropna().groupby(level="seed").mean()
    gaps = by_seed.sub(by_seed[reference], axis=0)
    here = by_seed.mean().rank()
    rows = []
    for place, name in enumerate(names, start=1):
        published = GRADIENT_KERNELS[name][1] - GRADIENT_KERNELS[reference][1]
        mean, sd = float(gaps[name].mean()), float(gaps[name].std(ddof=1))
        sure = abs(mean) > 2 * sd / math.sqrt(len(gaps))
        sign = "" if name == reference else ("same" if mean * published > 0 else "other") + ("" if sure else "?")
        rows.append((name, GRADIENT_KERNELS[name][0], published, mean, sd, sign, place, int(here[name])))
    columns = ["selector", "configuration", "published gap", "our gap", "sd", "sign", "place", "here"]
    return pd.DataFrame(rows, columns=columns)


def _shown(table: pd.DataFrame, digits: int) -> str:
    """As Markdown, with `digits` decimals; numbers of standard errors with one."""
    shown = table.copy()
    for column in shown.select_dtypes("float").columns:
        places = 1 if column == "errors" else digits
        sign = "+" if column in ("off", "errors", "published gap", "our gap") else ""
        shown[column] = [f"{value:{sign}.{places}f}" if np.isfinite(value) else "-" for value in shown[column]]
    return to_markdown(shown)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the comparison of one or more run folders."""
    parser = argparse.ArgumentParser(description="Means of runs beside the published ones.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run of configs/reproduce/")
    journals = [read_journal(run) for run in parser.parse_args(arguments).runs]
    means = compare_means(journals)
    if len(means):
        print(_shown(means, 4) + "\n" + summary(means))
    for journal in journals:
        if set(journal["metric"]) == {"log_rmse"}:
            for dataset, block in [("all data sets", journal), *journal.groupby("dataset", sort=False)]:
                print(f"\n{dataset}\n\n" + _shown(compare_order(block), 3))


if __name__ == "__main__":
    main()
