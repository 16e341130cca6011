"""What a study leaves: its trials, the front of its objectives, importances, a plot, and the best as a config."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from autoal.disk import write_atomic
from autoal.errors import RunError
from autoal.experiment.config import ExperimentConfig, SelectorSpec, StudyConfig, to_toml
from autoal.report.study_plot import study_plot
from autoal.report.tables import to_markdown

__all__ = ["StudyResult", "knee", "write_results"]


@dataclass(frozen=True)
class StudyResult:
    """What a study found."""

    folder: Path
    trials: pd.DataFrame
    """One row per trial: number, state, gain (points of AUBC), seconds (per round), seeds, then the parameters."""
    best: dict[str, Any]
    """Options of the target in the best trial."""
    gain: float
    """Of the best trial over `base`, in points of AUBC."""
    base: str
    config: Path
    """`best.toml`, which `autoal compare` takes."""
    front: pd.DataFrame | None
    """With two objectives, the rows of `trials` that no other beats in both, cheapest first."""
    importances: dict[str, float]
    """Share of the variance of the gain that each parameter explains (functional ANOVA); empty with few trials."""


def write_results(
    study: optuna.Study, config: ExperimentConfig, study_config: StudyConfig, target: SelectorSpec, folder: Path
) -> StudyResult:
    """Writes trials.csv, study.png, study.md, best.toml and, with two objectives, pareto.csv.

    Raises RunError where no trial was completed.
    """
    trials = study.get_trials(deepcopy=False)
    table = pd.DataFrame([_row(trial) for trial in trials])
    write_atomic(folder / "trials.csv", table.to_csv(index=False))
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not complete:
        errors = sorted({t.user_attrs["error"] for t in trials if "error" in t.user_attrs})
        raise RunError(
            f"no trial of the study in {folder} was completed; first error:\n{errors[0] if errors else 'none recorded'}"
        )
    front = None
    if len(study_config.objectives) > 1:
        numbers = {trial.number for trial in study.best_trials}
        front = table[table["trial"].isin(numbers)].sort_values(["seconds", "trial"]).reset_index(drop=True)
        write_atomic(folder / "pareto.csv", front.to_csv(index=False))
        number = int(front["trial"][knee(front)]) if study_config.choose == "knee" else _best_gain(complete)
    else:
        number = _best_gain(complete)
    best = next(trial for trial in complete if trial.number == number)
    importances = _importances(study, complete)
    study_plot(
        table[table["state"].isin(["complete", "pruned"])],
        importances,
        folder / "study.png",
        objective=f"AUBC gain over {study_config.base} (points)",
        chosen=number,
        front=front,
    )
    options: dict[str, Any] = best.user_attrs["options"]
    path = folder / "best.toml"
    write_atomic(path, _best_toml(config, study_config, target, options, best))
    write_atomic(folder / "study.md", _markdown(config.name, study_config, table, number, importances, front))
    return StudyResult(
        folder, table, options, float(best.user_attrs["gain"]), study_config.base, path, front, importances
    )


def knee(front: pd.DataFrame) -> int:
    """Row of the front where more gain begins to cost more than it did: farthest above the line between its ends.

    `front` has columns gain and seconds, sorted by seconds; both are scaled to [0, 1] over the front. Settings without
    a gain are left aside where there are others; of fewer than three the one with the highest gain is taken.
    """
    kept = front[front["gain"] > 0] if (front["gain"] > 0).any() else front
    if len(kept) < 3:
        return int(kept.index[int(np.argmax(kept["gain"].to_numpy(float)))])
    gain, seconds = kept["gain"].to_numpy(float), kept["seconds"].to_numpy(float)
    height = (gain - gain.min()) / max(float(np.ptp(gain)), 1e-12)
    width = (seconds - seconds.min()) / max(float(np.ptp(seconds)), 1e-12)
    return int(kept.index[int(np.argmax(height - width))])


def _best_gain(complete: list[FrozenTrial]) -> int:
    return max(complete, key=lambda trial: (trial.user_attrs["gain"], -trial.number)).number


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "gain": trial.user_attrs.get("gain", math.nan),
        "seconds": trial.user_attrs.get("seconds", math.nan),
        "seeds": trial.user_attrs.get("seeds", 0),
        **trial.params,
    }


def _importances(study: optuna.Study, complete: list[FrozenTrial]) -> dict[str, float]:
    """Of each parameter for the gain; nothing where the trials are too few or too alike to tell."""
    gains = {round(trial.user_attrs["gain"], 9) for trial in complete}
    if len(gains) < 4:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = optuna.importance.get_param_importances(
                study, evaluator=evaluator, target=lambda trial: trial.user_attrs["gain"]
            )
        except (ValueError, RuntimeError):  # parameters that only some trials have
            return {}
    return {str(name): float(share) for name, share in found.items()}


def _markdown(
    name: str,
    study: StudyConfig,
    table: pd.DataFrame,
    chosen: int,
    importances: dict[str, float],
    front: pd.DataFrame | None,
) -> str:
    ended = table[
        table["state"].isin(["complete", "pruned"])
    ]  # one that was cut off has a gain over a part of its seeds
    shown = ended.dropna(subset="gain").sort_values("gain", ascending=False, kind="stable")
    counts = table["state"].value_counts()
    states = ", ".join(f"{counts[state]} {state}" for state in ("complete", "pruned", "fail") if state in counts)
    parts = [
        f"# {name}",
        f"{states}. Gain of {study.target} over {study.base} in points of AUBC, on rows of the training part; "
        f"seconds that a round of {study.target} adds; chosen: trial {chosen}.",
        to_markdown(_rounded(shown)),
    ]
    if front is not None:
        parts += [
            "No other trial has both more gain and fewer seconds than one of these:",
            to_markdown(_rounded(front)),
        ]
    if importances:
        ranked = pd.DataFrame([{"parameter": key, "importance": value} for key, value in importances.items()])
        parts += ["Share of the variance of the gain that each parameter explains:", to_markdown(ranked)]
    return "\n\n".join(parts) + "\n"


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Floats of the parameters with three digits, as text; the tables round to two decimals."""
    parameters = [name for name in table.columns if name not in ("trial", "state", "gain", "seconds", "seeds")]
    shown = table.copy()
    for name in parameters:
        shown[name] = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in shown[name]]
    return shown


def _best_toml(
    config: ExperimentConfig, study: StudyConfig, target: SelectorSpec, options: dict[str, Any], best: FrozenTrial
) -> str:
    """A config for `autoal compare`: the tuned selector, the untuned one where they differ, then all the others."""
    others = [spec for spec in config.selectors if spec.label != target.label]
    for name in (study.base, "random"):
        if name not in [spec.label for spec in others]:
            others.append(SelectorSpec(name=name))
    tuned = SelectorSpec(name=target.name, label=f"{target.label}-tuned", options=options)
    untuned = SelectorSpec(name=target.name, label=target.label, options=target.options)
    selectors = [tuned, untuned, *(spec for spec in others if spec.label != tuned.label)]
    compare = config.changed(name=f"{config.name}-best", selectors=selectors, study=None, holdout="test", reference="")
    head = (
        f"# Best of {study.trials} trials (number {best.number}): {best.user_attrs['gain']:+.2f} points of AUBC over "
        f"{study.base},\n"
        "# on rows of the training part. The best of many is flattered by chance: compare on data sets and seeds\n"
        "# that the study has not seen.\n"
    )
    return head + to_toml(compare)
