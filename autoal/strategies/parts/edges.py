"""Pairs of posterior samples that predict differently, and how far labels tell them apart. Axes: N points, K posterior
samples, C classes, E pairs that count, J the samples that all pairs are made of.

A label y of a point cuts the edge between two samples by 1 - l l', where l is how likely y is next to the sample's
likeliest label. Labels of several points cut by one minus the product of their l l', and their probability given a
sample is a product as well, so an expectation over all labelings of a batch is a product over its points: it is exact
for a batch of any size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.parts.calibration import held_out_log_probs
from autoal.strategies.parts.distances import tiles
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["Edges", "cuts", "edge_threshold", "edges_between", "told_apart"]

FIXED_THRESHOLD = 0.05
"""Threshold where no error can be estimated: that of the authors' runs without annealing."""


class Edges(NamedTuple):
    """The pairs (k, k + K/2) of samples that count."""

    left_E: Tensor
    pairs: int
    """K/2, of which `left_E` are some."""


def edge_threshold(view: PoolView, rho: float, threshold: float | str) -> float:
    """Share of the pool on which a pair must differ to count: `threshold`, or, where that is `"auto"`, `rho` times the
    held-out error of a last layer fitted to the labeled embeddings; 0.05 below ten labels or two labeled classes."""
    if threshold != "auto" and (isinstance(threshold, str) or not 0 <= threshold <= 1):
        raise InvalidInput(f"got threshold={threshold!r}; wanted 'auto' or a number from 0 to 1")
    if not rho > 0:
        raise InvalidInput(f"got rho={rho}; wanted a positive number")
    if not isinstance(threshold, str):
        return float(threshold)
    _, labeled = pool_and_labeled(view)
    labels = view.labels.to(labeled.device)
    if len(labeled) < 10 or len(labels.unique()) < 2:
        return FIXED_THRESHOLD
    log_probs, truth = held_out_log_probs(labeled, labels, view.num_classes)
    return rho * float((log_probs.argmax(dim=1) != truth).double().mean())


def edges_between(log_probs_N_K_C: Tensor, threshold: float) -> Edges | None:
    """The pairs whose likeliest classes differ on at least `threshold` of the points; where there are none, on at least
    a half of it, a quarter, and so on. A pair that agrees everywhere never counts; None where all do."""
    pairs = log_probs_N_K_C.shape[1] // 2
    votes_N_K = log_probs_N_K_C.argmax(dim=2)
    apart_P = (votes_N_K[:, :pairs] != votes_N_K[:, pairs : 2 * pairs]).double().mean(dim=0)
    most = float(apart_P.amax()) if pairs else 0.0
    if most == 0:
        return None
    while threshold > most:
        threshold /= 2
    return Edges(((apart_P >= threshold) & (apart_P > 0)).nonzero().flatten(), pairs)


def told_apart(log_probs_N_K_C: Tensor, edges: Edges) -> Tensor:
    """(N,) by how much a point's label is expected to cut the edges, over all K/2 pairs; float64, in [0, E / (K/2)]."""
    cut_N = log_probs_N_K_C.new_empty(len(log_probs_N_K_C), dtype=torch.float64)
    for rows in tiles(len(cut_N), 32.0 * log_probs_N_K_C[0].numel(), cut_N.device):
        log_probs_n_J_C = log_probs_N_K_C[rows, : 2 * edges.pairs].double()
        mean_n_C = log_probs_n_J_C.exp().mean(dim=1)
        cut_N[rows] = (mean_n_C * _cut_by_label(log_probs_n_J_C, edges).sum(dim=1)).sum(dim=1) / edges.pairs
    return cut_N


def cuts(log_probs_n_K_C: Tensor, edges: Edges) -> Tensor:
    """(n, J E) by how much each edge is cut, in [0, 1], where the label is drawn from each sample; float64."""
    log_probs_n_J_C = log_probs_n_K_C[:, : 2 * edges.pairs].double()
    cut_n_E_C = _cut_by_label(log_probs_n_J_C, edges)
    return (log_probs_n_J_C.exp() @ cut_n_E_C.transpose(1, 2)).flatten(1).clamp_(0, 1)


def _cut_by_label(log_probs_n_J_C: Tensor, edges: Edges) -> Tensor:
    """(n, E, C) what each label leaves of no edge: 1 - l l'."""
    log_ratio_n_J_C = log_probs_n_J_C - log_probs_n_J_C.amax(dim=2, keepdim=True)
    return -(log_ratio_n_J_C[:, edges.left_E] + log_ratio_n_J_C[:, edges.left_E + edges.pairs]).expm1()
