"""Active learning where part of the pool is of no known class, told at full price."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.strategies import Strategy

__all__ = ["open_set_run"]


def open_set_run(
    strategy: Strategy,
    seed: int,
    points: np.ndarray,
    labels: np.ndarray,
    tested: np.ndarray,
    tested_labels: np.ndarray,
    start: Any,
    rounds: int,
    batch_size: int,
) -> tuple[int, float]:
    """(points bought and rejected, accuracy at the end); the label -1 is of no known class, asked for at full price,
    shown to the strategy as rejected, and never trained on."""
    draws, pool = list(start), np.setdiff1d(np.arange(len(labels)), start)
    rejected: list[int] = []
    spent, classes = 0, int(labels.max()) + 1

    def outputs(model: LogisticRegression, rows: np.ndarray) -> ModelOutputs:
        log_probs = torch.from_numpy(model.predict_log_proba(points[rows]))
        return ModelOutputs(log_probs=log_probs, embeddings=torch.from_numpy(points[rows]))

    for t in range(rounds):
        model = LogisticRegression(C=10, max_iter=500).fit(points[draws], labels[draws])
        view = PoolView(
            outputs(model, pool),
            outputs(model, np.array(draws)),
            torch.from_numpy(labels[draws]),
            classes,
            rejected=outputs(model, np.array(rejected)) if rejected else None,
        )
        bought = pool[strategy.propose(view, batch_size, generator(seed, t)).indices.numpy()]
        inside = labels[bought] >= 0
        spent += batch_size
        rejected += bought[~inside].tolist()
        draws += bought[inside].tolist()
        pool = np.setdiff1d(pool, bought)
        assert (labels[draws] >= 0).all() and not set(bought) & set(pool)
        assert len(draws) + len(rejected) == len(start) + spent
        assert len(pool) == len(labels) - len(start) - spent
    model = LogisticRegression(C=10, max_iter=500).fit(points[draws], labels[draws])
    return len(rejected), model.score(tested, tested_labels)
