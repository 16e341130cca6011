"""What the model that chose a batch takes its points for."""

from __future__ import annotations

from typing import Any

import torch

from autoal.selectors import Query
from autoal.session import Session

__all__ = ["guesses_of"]


def guesses_of(session: Session, query: Query) -> dict[Any, Any]:
    """id -> (label, confidence), a number alone in a regression, by the model of the latest `ask` of this process;
    empty where none was trained for it, as in a cold start."""
    selector = session.selector
    if selector is None:
        return {}
    rows, at = selector.pool_.rows, torch.from_numpy(query.indices.copy())
    names = query.ids.tolist()
    if selector.classes_ is None:
        return dict(zip(names, selector.model_.predict_means(rows, at).tolist(), strict=True))
    best = selector.model_.predict_log_probs(rows, at).max(dim=1)
    classes = selector.classes_.tolist()
    guessed = [classes[place] for place in best.indices.tolist()]
    sure = best.values.exp().clamp(0, 1).tolist()
    return {name: (label, score) for name, label, score in zip(names, guessed, sure, strict=True)}
