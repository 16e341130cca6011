"""Temperature of a prediction, from labeled points it was not fitted on. Axes: L points, F folds, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.outputs import in_row_space
from autoal.strategies.parts.distances import centred

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
    points = in_row_space(torch.cat([points, torch.ones_like(points[:, :1])], dim=1))
    fold_L = torch.empty_like(labels_L)
    fold_L[torch.sort(labels_L, stable=True).indices] = torch.arange(len(labels_L), device=labels_L.device) % folds
    held_L_F = fold_L[:, None] == torch.arange(folds, device=fold_L.device)
    fitted_L_F = (~held_L_F).to(points.dtype)
    targets_L_C = torch.nn.functional.one_hot(labels_L, num_classes).to(points.dtype)
    # The curvature is nowhere above X'X / 2 + 1 (Boehning 1992), so these steps need no line search; with momentum.
    grams = torch.stack([(points * kept_L[:, None]).T @ points for kept_L in fitted_L_F.T])
    curvature = torch.linalg.cholesky(grams / 2 + torch.eye(points.shape[1], device=points.device))
    inverse_F_D_D = torch.cholesky_inverse(curvature)
    # The folds' weights stand side by side, (D, F C): one product with the points serves all of them.
    weights = before = points.new_zeros(points.shape[1], folds * num_classes)
    for step in range(iterations):
        ahead = weights + step / (step + 3) * (weights - before)
        probs_L_F_C = (points @ ahead).unflatten(1, (folds, num_classes)).softmax(dim=2)
        gap = (probs_L_F_C - targets_L_C[:, None]) * fitted_L_F[..., None]
        gradient = (points.T @ gap.flatten(1) + ahead).unflatten(1, (folds, num_classes)).transpose(0, 1)
        before, weights = weights, ahead - (inverse_F_D_D @ gradient).transpose(0, 1).flatten(1)
    log_probs = (points @ weights).unflatten(1, (folds, num_classes)).log_softmax(dim=2)
    return log_probs[torch.arange(len(labels_L), device=labels_L.device), fold_L], labels_L


def calibration_error(log_probs_L_C: Tensor, labels_L: Tensor, bins: int = 15) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over `bins` equal bins of confidence."""
    return float(_calibration_errors(log_probs_L_C, labels_L, log_probs_L_C.new_ones(1), bins)[0])


def least_ece_temperature(log_probs_L_C: Tensor, labels_L: Tensor) -> float:
    """The temperature in {1.0, 1.1, ..., 19.9} with the least calibration error; the lowest of equal ones."""
    grid_T = 1 + torch.arange(190, dtype=torch.float64, device=log_probs_L_C.device) / 10
    return float(grid_T[_calibration_errors(log_probs_L_C, labels_L, grid_T).argmin()])


def _calibration_errors(log_probs_L_C: Tensor, labels_L: Tensor, temperatures_T: Tensor, bins: int = 15) -> Tensor:
    """(T,) expected calibration error at each temperature."""
    logits_L_C = log_probs_L_C.double()
    correct_L = (logits_L_C.argmax(dim=1) == labels_L).double()  # no temperature changes the prediction
    errors_T = logits_L_C.new_empty(len(temperatures_T))
    for rows in chunks(len(temperatures_T), 32.0 * logits_L_C.numel()):
        scaled_t_L_C = logits_L_C / temperatures_T[rows, None, None].double()
        confidence_t_L = (scaled_t_L_C.amax(dim=2) - scaled_t_L_C.logsumexp(dim=2)).exp()
        which_t_L = (confidence_t_L * bins).long().clamp(max=bins - 1)
        sums = logits_L_C.new_zeros(len(which_t_L), bins).scatter_add(1, which_t_L, correct_L - confidence_t_L)
        errors_T[rows] = sums.abs().sum(dim=1) / len(labels_L)
    return errors_T
