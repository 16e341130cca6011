"""How a labelling stands, as a small box for notebooks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from autoal.selectors.card import card
from autoal.session.state import State

__all__ = ["session_card"]

CLASSES = 12
"""Classes that are listed, the most frequent."""


def session_card(folder: Path, task: str, status: dict[str, int], state: State) -> str:
    """Rows, labels, rounds, labels by class, and the audit's sentence where there is one."""
    facts = [(name, f"{status[name]:,}") for name in ("points", "labeled", "pending", "skipped", "left", "rounds")]
    if task == "classification" and state.labels:
        counts = Counter(map(str, state.labels.values())).most_common()
        listed = ", ".join(f"{name[:40]} {count:,}" for name, count in counts[:CLASSES])
        more = f" and {len(counts) - CLASSES} classes more" if len(counts) > CLASSES else ""
        facts.append(("labels by class", listed + more))
    said = []
    if state.asks:
        latest = state.asks[-1]["diagnostics"]
        said = [f"audit: {latest['audit']['says']}"] if "audit" in latest else []
        said += [latest["cold_start"]] if "cold_start" in latest else []
    return card(f"Session {folder.name}", facts, said)
