"""The first batch, when there is nothing to learn from: typical points of the clusters of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from autoal.data import Rows
from autoal.models import PrecomputedModel
from autoal.models.defaults import has_gaps
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import derive_seed, generator, isolated
from autoal.selectors import Query
from autoal.session.ids import Ids
from autoal.strategies import CANDIDATES

__all__ = ["STRATEGY", "cold_start"]

STRATEGY = "typiclust"
"""Made for the first labels, and reads no output of a model."""
MOST_ROWS = 20_000
MOST_BYTES = 2**28
"""Of larger pools a random part is looked at: its clusters are those of the whole."""
WIDTH = 64
"""Wider inputs are reduced to so many columns."""


def cold_start(
    rows: Rows,
    ids: Ids,
    open_rows: np.ndarray,
    labeled: Sequence[int],
    batch_size: int,
    *,
    seed: int,
    reason: str,
    embeddings: Any = None,
) -> Query:
    """A batch of `open_rows` chosen without any label; `labeled` holds rows that are covered already.

    Clusters are those of `embeddings` (n, D) where they are given, else of the standardised inputs.
    """
    row_bytes = 8 * max(1, rows.cost)
    most = max(4 * batch_size, min(MOST_ROWS, MOST_BYTES // row_bytes))
    pool = open_rows
    if len(pool) > most:
        drawn = torch.randperm(len(pool), generator=generator(seed, "part of the pool"))[:most]
        pool = pool[np.sort(drawn.numpy())]
    known = np.asarray(labeled, dtype=np.int64)
    features = _features(rows, np.concatenate([pool, known]), embeddings, seed)
    view = PoolView(
        ModelOutputs(embeddings=features[: len(pool)]),
        ModelOutputs(embeddings=features[len(pool) :]),
        torch.zeros(len(known), dtype=torch.int64),
        2,
    )
    with isolated(derive_seed(seed, "cold start")):
        proposal = CANDIDATES[STRATEGY]().propose(view, batch_size, generator(seed, "cold start"))
    picked = pool[proposal.indices.numpy()]
    utilities = np.full(len(rows), np.nan)
    utilities[pool] = proposal.scores.numpy()
    return Query(
        indices=picked,
        ids=ids.array(picked.tolist()),
        utilities=utilities,
        weights={STRATEGY: 1.0},
        votes={STRATEGY: np.ones(len(picked), dtype=bool)},
        diagnostics={"mode": "cold start", "cold_start": f"{reason}: {STRATEGY} on the inputs, without a model"},
    )


def _features(rows: Rows, chosen: np.ndarray[Any, np.dtype[np.int64]], embeddings: Any, seed: int) -> Tensor:
    """(n, up to WIDTH) float32."""
    x: Any
    if embeddings is not None:
        x = _given(embeddings, rows)[chosen]
    elif rows.encoder is not None or rows.kind not in ("numbers", "pictures") or has_gaps(rows):
        x = rows.encoded(chosen).numpy().astype(np.float64)
    else:
        x = rows.form(rows.forms[1] if rows.kind == "pictures" else rows.forms[0], chosen)
    if not sparse.issparse(x):
        x = StandardScaler().fit_transform(x)
    width = min(WIDTH, x.shape[0] - 1, x.shape[1] - 1)
    if x.shape[1] > WIDTH and width > 0:
        x = TruncatedSVD(width, random_state=derive_seed(seed, "reduce") % 2**31).fit_transform(x)
    dense = x.toarray() if sparse.issparse(x) else x
    return torch.from_numpy(np.ascontiguousarray(dense, dtype=np.float32))


def _given(embeddings: Any, rows: Rows) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The user's own, checked as the search checks them."""
    model, wanted = PrecomputedModel(embeddings=embeddings), frozenset({"embeddings"})
    taken = model.outputs(rows, torch.arange(len(rows)), wanted, seed=0, device=torch.device("cpu"))
    return taken.require("embeddings").double().numpy()
