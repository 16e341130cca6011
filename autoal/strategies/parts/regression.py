"""Gaussian posteriors of a regression, from samples of its predictions. Axes: N points, L labeled, K posterior samples,
D embedding.

The covariance of two predictions is the inner product of two rows of features, so no N x N matrix is ever needed.
Float64 throughout: targets may have any unit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import PoolView

__all__ = ["leave_one_out_residuals", "noise_variance", "sample_features"]

FLOOR = 1e-6
"""Least noise variance, as a share of the variance of the targets."""
MOST = 1_000
"""Labeled points that the noise is estimated from; of more, that many evenly spaced ones."""


def sample_features(mc_means_N_K: Tensor) -> Tensor:
    """(N, K) float64 features A: A A' is the covariance of the predictions over the K samples, with divisor K."""
    means = mc_means_N_K.double()
    return (means - means.mean(dim=1, keepdim=True)) / means.shape[1] ** 0.5


def noise_variance(view: PoolView) -> Tensor:
    """Variance of the targets around their expectation, a positive float64 number, one for all points.

    The mean squared residual of labeled points, each predicted by a ridge regression on the embeddings of the others;
    where there are no embeddings, that of the model's own `means`. At least 1e-6 of the targets' variance. With fewer
    than two labels, or all of them alike, the mean variance of the pool's `mc_means`, that is, as much noise as the
    model is unsure; 1 where that is 0 as well.
    """
    labels_L = view.labels.double().to(view.device)
    present = view.labeled.present() if len(view.labeled) else frozenset()
    if len(labels_L) > 1 and float(labels_L.var(correction=0)) > 0 and present & {"embeddings", "means"}:
        kept = torch.arange(len(labels_L), device=view.device)
        if len(kept) > MOST:
            kept = torch.linspace(0, len(kept) - 1, MOST, device=view.device).long()
        if "embeddings" in present:
            embeddings_L_D = view.labeled.require("embeddings").to(view.device)
            residuals_L = leave_one_out_residuals(embeddings_L_D[kept], labels_L[kept])
        else:
            residuals_L = (labels_L - view.labeled.require("means").to(view.device).double())[kept]
        return torch.maximum(residuals_L.square().mean(), FLOOR * labels_L.var(correction=0))
    unsure = labels_L.new_zeros(())
    if "mc_means" in view.pool.present():
        unsure = sample_features(view.pool.require("mc_means")).square().sum(dim=1).mean()
    return unsure if float(unsure) > 0 else torch.ones_like(unsure)


def leave_one_out_residuals(inputs_L_D: Tensor, targets_L: Tensor) -> Tensor:
    """(L,) residuals of a ridge regression with intercept, each target left out in turn, in closed form.

    The penalty is the one of 1e-6, 1e-5, ..., 1e3, times the mean squared singular value, that leaves the least.
    """
    inputs = inputs_L_D.double()
    inputs = inputs - inputs.mean(dim=0)
    inputs = inputs / inputs.abs().amax().clamp_min(torch.finfo(torch.float64).tiny)  # squares stay in range
    left_L_R, singular_R, _ = torch.linalg.svd(inputs, full_matrices=False)
    squared_R = singular_R.square()
    centred_L = targets_L - targets_L.mean()
    along_R = left_L_R.T @ centred_L
    scale = squared_R.mean() if float(squared_R.sum()) > 0 else torch.ones_like(squared_R.sum())
    best_L, least = centred_L, torch.inf
    for exponent in range(-6, 4):
        kept_R = squared_R / (squared_R + scale * 10.0**exponent)
        leverage_L = left_L_R.square() @ kept_R + 1 / len(targets_L)
        residuals_L = (centred_L - left_L_R @ (kept_R * along_R)) / (1 - leverage_L).clamp_min(1e-12)
        error = float(residuals_L.square().sum())
        if error < least:
            best_L, least = residuals_L, error
    return best_L
