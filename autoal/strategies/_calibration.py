"""Temperature of a prediction, from labeled points it was not fitted on. Axes: L points, F folds, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.strategies._distances import centred

__all__ = ["calibration_error", "held_out_log_probs", "least_ece_temperature"]


def held_out_log_probs(
    embeddings_L_D: Tensor, labels_L: Tensor, num_classes: int, folds: int = 5, most: int = 1_000, iterations: int = 60
) -> tuple[Tensor, Tensor]:
    """Log-probs (L, C) of a last layer fitted, on the other folds, with penalty |W|^2 / 2; and the labels (L,).

    Folds are spread evenly over each class, by position, so nothing is drawn. Above `most` points, that many evenly
    spaced ones.
    """
    if len(labels_L) > most:
        kept = torch.linspace(0, len(labels_L) - 1, most, device=labels_L.device).long()
        embeddings_L_D, labels_L = embeddings_L_D[kept], labels_L[kept]
    (points,) = centred(embeddings_L_D)
    points = points / points.square().mean().sqrt().clamp_min(1e-12)
    points = torch.cat([points, torch.ones_like(points[:, :1])], dim=1)
    fold_L = torch.empty_like(labels_L)
    fold_L[torch.sort(labels_L, stable=True).indices] = torch.arange(len(labels_L), device=labels_L.device) % folds
    held_F_L = fold_L == torch.arange(folds, device=fold_L.device)[:, None]
    targets_L_C = torch.nn.functional.one_hot(labels_L, num_classes).to(points.dtype)
    fitted_F_L = (~held_F_L).to(points.dtype)[..., None]
    # The curvature is nowhere above X'X / 2 + 1 (Boehning 1992), so these steps need no line search; with momentum.
    grams = torch.stack([(points * kept_L).T @ points for kept_L in fitted_F_L])
    curvature = torch.linalg.cholesky(grams / 2 + torch.eye(points.shape[1], device=points.device))
    weights = before = points.new_zeros(folds, points.shape[1], num_classes)
    for step in range(iterations):
        ahead = weights + step / (step + 3) * (weights - before)
        gap = ((points @ ahead).softmax(dim=2) - targets_L_C) * fitted_F_L
        before, weights = weights, ahead - torch.cholesky_solve(points.T @ gap + ahead, curvature)
    log_probs = (points @ weights).log_softmax(dim=2)
    return log_probs[fold_L, torch.arange(len(labels_L), device=labels_L.device)], labels_L


def calibration_error(log_probs_L_C: Tensor, labels_L: Tensor, bins: int = 15) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over `bins` equal bins of confidence."""
    confidence, predicted = log_probs_L_C.double().exp().max(dim=1)
    gap_L = (predicted == labels_L).double() - confidence
    which = (confidence * bins).long().clamp(max=bins - 1)
    sums = torch.stack([gap_L[which == index].sum() for index in which.unique()])
    return float(sums.abs().sum()) / len(labels_L)


def least_ece_temperature(log_probs_L_C: Tensor, labels_L: Tensor) -> float:
    """The temperature in {1.0, 1.1, ..., 19.9} with the least calibration error; the lowest of equal ones."""
    grid = [1 + step / 10 for step in range(190)]
    return min(grid, key=lambda t: calibration_error((log_probs_L_C / t).log_softmax(dim=1), labels_L))
