"""The last layer of a model, recovered from its outputs, for what it says of embeddings that were moved.

Axes: N points, R rows that it is recovered from, C classes, D embedding.

A linear last layer makes log-probabilities, less their mean over the classes, a linear function of the embedding. So
least squares find it again, up to what no softmax shows: exactly where the rows span the embedding, and the shortest
one otherwise, which is what a penalty on the weights would have led to. Of a model without such a layer it is the
nearest linear one, and only differences to a point's own prediction are taken from it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView

__all__ = ["centred_logits", "changes_class", "last_layer", "recovered_weights"]

ROWS = 5_000
"""Rows that are enough for up to half as many columns; of wider embeddings, twice as many as columns."""
RIDGE = 1e-10
"""Penalty, as a share of the total variance of the rows: enough for a solution, too little to move it."""
LOWEST = -100.0
"""Log-probabilities below count as this, so that classes of probability 0, as forests give, have a place."""
ROUNDING = 1e-5
"""By what share of the spread of its logits a class must win to have won, and not to be as likely but for rounding."""


def last_layer(view: PoolView, rng: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """Weights (C, D) of the last layer, the pool's embeddings (N, D) in a unit in which none is above 1, and that unit.

    Float32, or float64 where the embeddings are. Of pools with more rows than are needed, `rng` draws those.
    """
    embeddings, log_probs = view.pool.require("embeddings"), view.pool.require("log_probs")
    embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
    unit = float(embeddings.abs().amax()) or 1.0
    embeddings = embeddings / unit
    most = max(ROWS, 2 * embeddings.shape[1])
    if len(embeddings) > most:
        rows = torch.randperm(len(embeddings), generator=rng)[:most].to(embeddings.device)
        weights = recovered_weights(log_probs[rows], embeddings[rows])
    else:
        weights = recovered_weights(log_probs, embeddings)
    return weights.to(embeddings.dtype), embeddings, unit


def centred_logits(log_probs_N_C: Tensor) -> Tensor:
    """(N, C) float64 log-probabilities, at least LOWEST, less their mean over the classes."""
    finite = log_probs_N_C.double().clamp(min=LOWEST)
    return finite - finite.mean(dim=1, keepdim=True)


def recovered_weights(log_probs_R_C: Tensor, embeddings_R_D: Tensor) -> Tensor:
    """(C, D) float64 weights, their mean over the classes 0, of the linear layer with a bias that explains the rows."""
    logits, rows = centred_logits(log_probs_R_C), embeddings_R_D.double()
    logits, rows = logits - logits.mean(dim=0), rows - rows.mean(dim=0)
    penalty = max(RIDGE * float(rows.square().sum()), torch.finfo(torch.float64).tiny)
    # The smaller of the two normal equations; with a penalty they agree.
    if len(rows) < rows.shape[1]:
        gram = rows @ rows.T
        gram.diagonal().add_(penalty)
        return (rows.T @ torch.cholesky_solve(logits, torch.linalg.cholesky(gram))).T
    gram = rows.T @ rows
    gram.diagonal().add_(penalty)
    return torch.cholesky_solve(rows.T @ logits, torch.linalg.cholesky(gram)).T


def changes_class(logits_n_C: Tensor, moves_n_D: Tensor, weights_C_D: Tensor) -> Tensor:
    """(n,) whether another class wins once the embeddings have moved. Logits are the model's own, at the start: the
    recovered layer, which may not be exact, says only by how much they move."""
    likeliest_n = logits_n_C.argmax(dim=1, keepdim=True)
    moved_n_C = logits_n_C + (moves_n_D @ weights_C_D.T).double()
    lead_n = moved_n_C.amax(dim=1) - moved_n_C.gather(1, likeliest_n).flatten()
    return lead_n > ROUNDING * (logits_n_C.amax(dim=1) - logits_n_C.amin(dim=1))
