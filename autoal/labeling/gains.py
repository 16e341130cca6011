"""What the labels have brought so far, in sentences: from the journal and from guesses that were made beforehand."""

from __future__ import annotations

from typing import Any

from autoal.errors import AutoALError
from autoal.session import Session
from autoal.session.state import State

__all__ = ["gains", "outlook"]

Guesses = dict[int, dict[str, tuple[Any, float]]]
FEWEST = 5
"""Answers of a batch, below which its share of right guesses says nothing."""


def gains(session: Session, state: State, ids: list[Any], guesses: Guesses) -> list[str]:
    """How many of the answers the model had guessed, in the first and the latest batch; what the audit says."""
    said = []
    counted = [] if session.task == "regression" else _right(state, ids, guesses)
    if counted:
        last, right, answered = counted[-1]
        text = f"The model had guessed {right} of your {answered} answers to batch {last + 1} beforehand"
        if len(counted) > 1:
            first, right, answered = counted[0]
            text += f", and {right} of {answered} to batch {first + 1}"
        said.append(f"{text}. It asks for points that are hard, so this is no accuracy on the rest.")
    audits = [record["diagnostics"]["audit"]["says"] for record in state.asks if "audit" in record["diagnostics"]]
    if audits:
        said.append(f"The audit: {audits[-1]}.")
    return said


def _right(state: State, ids: list[Any], guesses: Guesses) -> list[tuple[int, int, int]]:
    """Batch, guesses that were right, and labels, of each batch with enough of them."""
    found = []
    rows: dict[int, list[int]] = {}
    for row, number in state.asked.items():
        rows.setdefault(number, []).append(row)
    for number in sorted(guesses):
        told = [
            (state.labels[row], guesses[number].get(str(ids[row])))
            for row in rows.get(number, [])
            if row in state.labels
        ]
        pairs = [(label, guess[0]) for label, guess in told if guess is not None]
        if len(pairs) >= FEWEST:
            found.append((number, sum(label == guess for label, guess in pairs), len(pairs)))
    return found


def outlook(session: Session) -> str | None:
    """What the stopping rules make of the journal, in a sentence, where this version has them; None where they have
    nothing to say yet."""
    look = getattr(session, "outlook", None)
    if look is None:
        return None
    try:
        return str(look(estimate=False))  # with the estimate it trains, for as long as five batches take
    except AutoALError:
        return None
