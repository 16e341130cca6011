"""What counts as the label where several people answer for one point.

| on_conflict | a point whose answers differ |
|---|---|
| fail | nothing of the call is written; every such point is named |
| skip | is skipped, with the reason "disagreement" |
| majority | gets the label that most gave; where two have as many, it is skipped |
| dawid-skene | gets the label most probable by how reliable each annotator is on each class, estimated from all votes |

Points whose answers agree get their label in any case, and every named vote is in the journal in any case.

Source of the last: Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm",
Applied Statistics 28 (1979), 20-28; computed by crowd-kit (extra `annotators`).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from autoal.errors import DataMissing, InvalidInput, shown
from autoal.session.labels import Label

__all__ = ["ON_CONFLICT", "Ballot", "OnConflict", "check_on_conflict", "decided"]

Ballot = tuple[str | None, Label]
"""Who (None where nobody is named) and what."""
OnConflict = Literal["fail", "skip", "majority", "dawid-skene"]
ON_CONFLICT: tuple[OnConflict, ...] = get_args(OnConflict)
TIE = 1e-6
"""Two labels whose probabilities differ by less are as probable."""
STEPS = 1000
"""Of the estimation, at most; it ends when it no longer moves."""


def check_on_conflict(value: object, task: str) -> str:
    """Raises InvalidInput for what is none of ON_CONFLICT, and for Dawid and Skene in a regression."""
    if not isinstance(value, str) or value not in ON_CONFLICT:
        raise InvalidInput(f"got on_conflict={shown(value)}; wanted one of {', '.join(ON_CONFLICT)}")
    if value == "dawid-skene" and task == "regression":
        raise InvalidInput("got on_conflict='dawid-skene' in a regression, which has no classes; wanted another")
    return value


def decided(
    differ: Mapping[int, Sequence[Ballot]], votes: Mapping[int, Mapping[str, Label]], on_conflict: str
) -> dict[int, Label | None]:
    """Row -> its label, None where it gets none, of the points whose ballots differ; `votes` are those of all points.

    Raises InvalidInput where Dawid and Skene is asked for and ballots name nobody, DataMissing without the library.
    """
    if not differ or on_conflict in ("fail", "skip"):
        return dict.fromkeys(differ)
    if on_conflict == "majority":
        return {row: _most(ballots) for row, ballots in differ.items()}
    nameless = [row for row, ballots in differ.items() if any(who is None for who, _ in ballots)]
    if nameless:
        raise InvalidInput(
            f"{len(nameless)} points have different answers that name no annotator; Dawid and Skene needs to know who "
            "said what: give annotators, or choose majority"
        )
    probable = _dawid_skene({**{row: list(made.items()) for row, made in votes.items()}, **differ})
    return {row: probable[row] for row in differ}


def _most(ballots: Sequence[Ballot]) -> Label | None:
    counts = Counter(label for _, label in ballots).most_common(2)
    return counts[0][0] if len(counts) == 1 or counts[0][1] > counts[1][1] else None


def _dawid_skene(ballots: Mapping[int, Sequence[Ballot]]) -> dict[int, Label | None]:
    """Row -> its most probable label, None where two are as probable."""
    try:
        from crowdkit.aggregation import DawidSkene
    except ImportError as error:
        raise DataMissing("dawid-skene needs the library crowd-kit: pip install 'autoal[annotators]'") from error
    import pandas as pd

    rows = sorted(ballots)
    labels = sorted({label for row in rows for _, label in ballots[row]}, key=lambda label: (str(label), repr(label)))
    number = {label: place for place, label in enumerate(labels)}
    triples = [(row, who, number[label]) for row in rows for who, label in sorted(ballots[row], key=str)]
    frame = pd.DataFrame(triples, columns=["task", "worker", "label"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # crowd-kit speaks to pandas in words that will go
        warnings.simplefilter("ignore", FutureWarning)
        chances = DawidSkene(n_iter=STEPS).fit_predict_proba(frame)
    made: dict[int, Label | None] = {}
    for row, values in zip(chances.index.tolist(), chances.to_numpy(), strict=True):
        order = values.argsort(kind="stable")[::-1]
        tied = len(order) > 1 and values[order[0]] - values[order[1]] < TIE
        made[row] = None if tied else labels[int(chances.columns[order[0]])]
    return made
