"""A session to look at: what is labeled, pending and skipped, and who said what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoal.session.agreement import Agreement, agreement_of, disagreements
from autoal.session.card import session_card
from autoal.session.labels import Label
from autoal.session.opened import Opened
from autoal.session.state import State

if TYPE_CHECKING:
    import pandas as pd

    from autoal.data import Rows

__all__ = ["Looking"]


class Looking(Opened):
    """The part of `Session` that only looks."""

    def __len__(self) -> int:
        """Rows of the pool, labeled ones included."""
        return len(self._ids)

    @property
    def ids(self) -> list[Any]:
        """The id of each row."""
        return self._ids.of(range(len(self)))

    @property
    def folder(self) -> Path:
        return self._folder.path

    @property
    def task(self) -> str:
        """`classification` or `regression`."""
        return self._space.task

    @property
    def n_rounds(self) -> int:
        """Batches asked for so far."""
        return len(self._state().asks)

    @property
    def pending(self) -> list[Any]:
        """Ids asked for and not answered, in the order of asking."""
        return self._ids.of(self._state().pending)

    @property
    def labeled(self) -> dict[Any, Label]:
        """id -> label, in the order they were told."""
        labels = self._state().labels
        return dict(zip(self._ids.of(labels), labels.values(), strict=True))

    @property
    def skipped(self) -> dict[Any, str]:
        """id -> reason."""
        skipped = self._state().skipped
        return dict(zip(self._ids.of(skipped), skipped.values(), strict=True))

    @property
    def rows(self) -> Rows:
        """The pool, as it was handed over; read when first looked at."""
        return self._inputs()

    @property
    def classes(self) -> list[Label] | None:
        """The classes there are, in their order; None where more may turn up."""
        return None if self._space.classes is None else list(self._space.classes)

    def state(self) -> State:
        """What the journal amounts to by now, counted in rows of the pool; to look at, not to change."""
        return self._state()

    @property
    def needs_this_process(self) -> bool:
        """Whether its model, its encoder or its rows are objects here, which another process cannot open."""
        return self._model is not None or self._encoder is not None or self._manifest["data"]["kind"] == "outside"

    def training_set(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (L,) int64, ascending, and their labels (L,): `model.fit(X[rows], labels)`."""
        labels = self._state().labels
        rows = sorted(labels)
        return np.asarray(rows, dtype=np.int64), np.asarray([labels[row] for row in rows])

    def status(self) -> dict[str, int]:
        """How many points are labeled, pending, skipped and left, rounds, and classes seen; where annotators are named,
        how many there are, and points on which they differ."""
        state = self._state()
        seen = 0 if self.task == "regression" else len(set(state.labels.values()))
        people = {who for made in state.votes.values() for who in made}
        return {
            "points": len(self),
            "labeled": len(state.labels),
            "pending": len(state.pending),
            "skipped": len(state.skipped),
            "left": len(self) - state.taken,
            "rounds": len(state.asks),
            "classes": seen,
            **({"annotators": len(people), "disagreements": disagreements(state.votes)} if people else {}),
        }

    def agreement(self) -> Agreement | None:
        """How well annotators agree: Cohen's kappa of two, Krippendorff's alpha of more; None where fewer than two
        have answered for the same points."""
        return agreement_of(self._state().votes, self.task)

    @property
    def votes(self) -> dict[Any, dict[str, Label]]:
        """id -> annotator -> what they said, as far as they are named."""
        votes = self._state().votes
        return {name: dict(made) for name, made in zip(self._ids.of(votes), votes.values(), strict=True)}

    def to_frame(self) -> pd.DataFrame:
        """One row for each point that is labeled, pending or skipped: id, index, state, label, reason, and the round
        that asked for it (missing where none did)."""
        import pandas as pd

        state = self._state()
        rows = [*state.labels, *state.pending, *state.skipped]
        states = ["labeled"] * len(state.labels) + ["pending"] * len(state.pending) + ["skipped"] * len(state.skipped)
        return pd.DataFrame(
            {
                "id": self._ids.of(rows),
                "index": np.asarray(rows, dtype=np.int64),
                "state": states,
                "label": pd.Series([state.labels.get(row) for row in rows], dtype=object),
                "reason": pd.Series([state.skipped.get(row) for row in rows], dtype=object),
                "round": pd.array([state.asked.get(row) for row in rows], dtype="Int64"),
            }
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{count} {what}" for what, count in self.status().items() if what != "classes")
        return f"Session({str(self.folder)!r}: {shown})"

    def _repr_html_(self) -> str:
        """For notebooks: how the labelling stands, labels by class, and what the audit says."""
        return session_card(self.folder, self.task, self.status(), self._state())
