"""oracle_single: the best candidate of each scenario, chosen after the fact. A ceiling that cheats; and how far each
selector stays below it."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from autoal.report.tables import paired_areas

__all__ = ["oracle_single", "oracle_single_note", "shortfall_table"]

NEAR = 1.0
"""Points of AUBC below the best single candidate within which a selector still counts as near it."""


def oracle_single(journal: pd.DataFrame, singles: Collection[str]) -> pd.DataFrame:
    """One row per scenario: its best single candidate by the mean area over seeds, in points (less is better counts
    negative), and that mean. Columns: dataset, selector, aubc.

    It cheats: the choice is made on the very test values that the areas are measured by, which favours it by chance
    even where all candidates are alike. Nothing is played for it; it is read off the runs of `singles`. A seed counts
    only where each of them has finished it.
    """
    areas = paired_areas(journal)
    areas = areas[[name for name in areas.columns if name in singles]].dropna()
    means = areas.groupby(level="dataset", sort=False).mean()
    return pd.DataFrame(
        {"dataset": means.index, "selector": means.idxmax(axis=1).to_numpy(), "aubc": means.max(axis=1).to_numpy()}
    )


def oracle_single_note(journal: pd.DataFrame, singles: Collection[str], focus: str) -> str | None:
    """A sentence on the ceiling beside `focus`; None where fewer than two candidates ran alone."""
    present = [name for name in dict.fromkeys(journal["selector"]) if name in singles and name != focus]
    if len(present) < 2:
        return None
    best = oracle_single(journal, present)
    own = paired_areas(journal)[focus].groupby(level="dataset", sort=False).mean()
    both = best.set_index("dataset").join(own.rename("own"), how="inner").dropna()
    if both.empty:
        return None
    names = ", ".join(f"{row.selector} on {row.Index}" for row in both.head(8).itertuples())
    more = f" and {len(both) - 8} more" if len(both) > 8 else ""
    gap = float((both["own"] - both["aubc"]).mean())
    return (
        f"oracle_single, a ceiling that cheats (the best candidate of each scenario, chosen by these very test values: "
        f"{names}{more}), has a mean area of {both['aubc'].mean():.2f} points; {focus} lies {abs(gap):.2f} "
        f"{'above' if gap >= 0 else 'below'} it."
    )


def shortfall_table(journal: pd.DataFrame, singles: Collection[str]) -> pd.DataFrame:
    """How far each selector lies below the best single candidate of a scenario, nearest first; empty where fewer than
    two candidates ran alone.

    Columns: selector; far: scenarios in which it is more than a point below; shortfall: mean over scenarios of the
    points below, 0 where it is above; worst: the largest of them; where: the scenario of that. Only seeds that every
    selector finished count. For a single candidate it is 0 where it is the best itself.
    """
    areas = paired_areas(journal).dropna()
    present = [name for name in areas.columns if name in singles]
    if len(present) < 2 or areas.empty:
        return pd.DataFrame()
    means = areas.groupby(level="dataset", sort=False).mean()
    below = (-means.sub(means[present].max(axis=1), axis=0)).clip(lower=0) + 0.0  # no -0.00
    table = pd.DataFrame(
        {
            "selector": below.columns,
            "far": (below > NEAR).sum().to_numpy(),
            "shortfall": below.mean().to_numpy(),
            "worst": below.max().to_numpy(),
            "where": below.idxmax().to_numpy(),
        }
    )
    return table.sort_values(["far", "shortfall"], kind="stable").reset_index(drop=True)
