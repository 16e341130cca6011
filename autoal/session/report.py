"""The page of a session: what was labeled, what was asked for and why, and how good the model seems by now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from autoal.disk import write_atomic
from autoal.formulas import defused
from autoal.report.curves import COLORS, GREY, new_figure, plain, save
from autoal.report.figures import weight_map
from autoal.report.records import weights_by_round
from autoal.report.templates import inlined, template
from autoal.session.agreement import Agreement
from autoal.session.estimate import FEWEST
from autoal.session.labels import Label
from autoal.session.outlook import Outlook
from autoal.session.state import DISAGREEMENT, Record, State

__all__ = ["Shown", "annotator_table", "round_table", "write_report"]

CANDIDATES = 40
"""Candidates in the picture of weights, the heaviest."""
NAMED = 3
"""Candidates named in the table of rounds."""
BIASED = (
    "The labeled points were chosen for what they teach, and are no fair sample of the pool: they are mostly harder "
    "than it. A fair figure needs an audit: a session created with search={'audit': 0.1} draws a tenth at random."
)


class Shown(Protocol):
    """What the page needs of a session."""

    @property
    def folder(self) -> Path: ...

    @property
    def task(self) -> str: ...

    def status(self) -> dict[str, int]: ...

    def history(self) -> tuple[Record, State, list[dict[int, Label]]]: ...

    def cross_validate(self, moments: Sequence[dict[int, Label]]) -> pd.DataFrame | str: ...

    def outlook(self, *, estimate: bool = True) -> Outlook: ...

    def to_frame(self) -> pd.DataFrame: ...

    def agreement(self) -> Agreement | None: ...


def write_report(session: Shown, *, estimate: bool = True) -> Path:
    """Writes report.html, its pictures, and labels.csv into the folder of `session`; gives the page's path."""
    manifest, state, moments = session.history()
    folder, status = session.folder, session.status()
    values, why_not = (None, "It was left out.") if not estimate else _values(session, moments)
    outlook = session.outlook(estimate=estimate) if state.asks else None
    rounds = round_table(state)
    page = template(Path(__file__).with_name("page.html.j2")).render(
        title=folder.name,
        verdict=_verdict(status, values, session.task),
        tiles=[
            (str(status["labeled"]), "labels", _of(status["labeled"], status["points"])),
            (str(status["pending"]), "pending", "asked for, no answer yet"),
            (str(status["skipped"]), "skipped", ", ".join(f"{n} {why}" for why, n in _reasons(state)) or "none"),
            (str(status["rounds"]), "rounds", f"{status['left']} points left"),
        ],
        values=None if values is None or values.empty else _curve(values, session.task, folder),
        outlook=None if outlook is None else outlook.says,
        outlook_why="" if outlook is None else f"{outlook.rule}: {outlook.why}",
        biased=BIASED,
        fair=_fair(state),
        why_not=why_not,
        classes=_table(_classes(state)) if session.task == "classification" and state.labels else None,
        annotators=_table(annotator_table(state)) if state.votes else None,
        agreement=_agreement(session.agreement(), state),
        rounds=_table(rounds) if len(rounds) else None,
        weights=_weights(state, folder),
        facts=[
            ("created", manifest["created"]),
            ("task", session.task + (", classes fixed" if manifest["classes"] else "")),
            (
                "pool",
                f"{status['points']} rows of shape {tuple(manifest['data']['row_shape'])} ({manifest['data']['kind']})",
            ),
            ("read as", "; ".join(state.asks[-1]["diagnostics"].get("read_as", [])) if state.asks else ""),
            ("model", "the one that suits the rows" if manifest["model"] is None else manifest["model"]["what"]),
            ("candidates", ", ".join(manifest["candidates"])),
            ("mode", manifest["mode"]),
            ("seed", str(manifest["seed"])),
            ("versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())),
        ],
    )
    write_atomic(folder / "labels.csv", defused(session.to_frame()).to_csv(index=False))
    write_atomic(folder / "report.html", page)
    return folder / "report.html"


def round_table(state: State) -> pd.DataFrame:
    """One row for each batch: when, labels by then, points asked for and what became of them, and who wanted them."""
    rows = []
    for number, record in enumerate(state.asks):
        asked = [row for row, latest in state.asked.items() if latest == number]
        diagnostics = record["diagnostics"]
        heaviest = sorted(record["weights"].items(), key=lambda pair: -pair[1])[:NAMED]
        gate = diagnostics.get("gate") or {}
        rows.append(
            {
                "round": str(number + 1),
                "asked on": record["time"][:10],
                "labels then": str(record["labels"]),
                "asked": str(len(record["ids"])),
                "labeled": str(sum(row in state.labels for row in asked)),
                "skipped": str(sum(row in state.skipped for row in asked)),
                "pending": str(sum(row in state.pending for row in asked)),
                "seconds": f"{record['seconds']:.1f}",
                "heaviest candidates": ", ".join(f"{name} {weight:.2f}" for name, weight in heaviest),
                "why": diagnostics.get("cold_start") or gate.get("reason") or diagnostics.get("mode", ""),
            }
        )
    return pd.DataFrame(rows)


def annotator_table(state: State) -> pd.DataFrame:
    """One row for each annotator: answers, how many of them on points that others answered too, and how often these
    are what counts as the label."""
    rows = []
    for who in sorted({who for made in state.votes.values() for who in made}):
        given = {row: made[who] for row, made in state.votes.items() if who in made}
        shared = [row for row in given if len(state.votes[row]) > 1]
        decided = [row for row in shared if row in state.labels]
        kept = sum(state.labels[row] == given[row] for row in decided)
        rows.append(
            {
                "annotator": who,
                "answers": str(len(given)),
                "shared": str(len(shared)),
                "kept": f"{kept / len(decided):.1%}" if decided else "",
            }
        )
    return pd.DataFrame(rows)


def _agreement(agreement: Agreement | None, state: State) -> str:
    left = sum(reason == DISAGREEMENT for reason in state.skipped.values())
    waiting = f" {left} points were left out, since their answers differ." if left else ""
    return f"{agreement.says}.{waiting}" if agreement else "No point was answered by several annotators yet."


def _values(session: Shown, moments: list[dict[int, Label]]) -> tuple[pd.DataFrame | None, str]:
    """Cross-validated values by number of labels, or why there are none."""
    found = session.cross_validate(moments)
    if isinstance(found, str):
        return None, found
    few = f"It needs {FEWEST} labels or more, of two classes at least."
    return (found, "") if len(found) else (None, few)


def _verdict(status: dict[str, int], values: pd.DataFrame | None, task: str) -> str:
    text = f"{status['labeled']} of {status['points']} points are labeled, after {status['rounds']} rounds."
    if values is None or values.empty:
        return text
    last = values.iloc[-1]
    if task == "regression":
        return f"{text} Cross-validated error {last['value']:.3g} (RMSE; always the mean: {last['floor']:.3g})."
    return f"{text} Cross-validated accuracy {last['value']:.1%} (always the commonest class: {last['floor']:.1%})."


def _fair(state: State) -> str:
    """What the points drawn at random said when the last batch was chosen; empty without an audit."""
    audits = [record["diagnostics"]["audit"] for record in state.asks if "audit" in record["diagnostics"]]
    return f"The audit, with the labels of the last round: {audits[-1]['says']}." if audits else ""


def _of(part: int, whole: int) -> str:
    return f"{part / whole:.1%} of {whole} points"


def _reasons(state: State) -> list[tuple[str, int]]:
    return Counter(state.skipped.values()).most_common()


def _classes(state: State) -> pd.DataFrame:
    counts = Counter(str(label) for label in state.labels.values())
    total = sum(counts.values())
    rows = [(name, str(count), f"{count / total:.1%}") for name, count in counts.most_common()]
    return pd.DataFrame(rows, columns=["class", "labels", "share"])


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    """As the template takes it."""
    words = {"class", "annotator", "asked on", "heaviest candidates", "why"}
    heads = [(str(name), name in words) for name in frame.columns]
    return {"heads": heads, "rows": [("", list(row)) for row in frame.to_numpy()], "tall": len(frame) > 24}


def _curve(values: pd.DataFrame, task: str, folder: Path) -> dict[str, str]:
    figure = new_figure(5.2, 3.2)
    axis = figure.subplots()
    scale, what = (1, "cross-validated RMSE") if task == "regression" else (100, "cross-validated accuracy (%)")
    floor = "always the mean" if task == "regression" else "always the commonest class"
    axis.plot(values["labels"], scale * values["value"], color=COLORS[0], marker="o", markersize=4, label="the model")
    axis.plot(values["labels"], scale * values["floor"], color=GREY, linestyle="--", label=floor)
    axis.set_xlabel("labels")
    axis.set_ylabel(what)
    axis.legend(frameon=False, fontsize=8)
    plain(axis)
    listed = ", ".join(f"{n} labels {scale * v:.3g}" for n, v in zip(values["labels"], values["value"], strict=True))
    return inlined(save(figure, folder / "plots" / "estimate.png"), f"{what} by number of labels: {listed}")


def _weights(state: State, folder: Path) -> dict[str, Any] | None:
    records = [
        {"selector": "session", "round": number + 1, "weights": record["weights"]}
        for number, record in enumerate(state.asks)
        if "cold_start" not in record["diagnostics"]
    ]
    weights = weights_by_round(records, "session")
    if len(weights) < 2:
        return None
    path = weight_map(weights.head(CANDIDATES), folder / "plots" / "weights.png")
    listed = ", ".join(f"{name} {value:.2f}" for name, value in weights.mean(axis=1).head(5).items())
    return inlined(path, f"Weights of candidates by round. Heaviest on average: {listed}")
