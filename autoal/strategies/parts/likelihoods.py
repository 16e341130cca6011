"""Expected log likelihoods of points under single posterior samples. Axes: N points, K posterior samples, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.strategies.parts.information import LEAST, by_rows

__all__ = ["expected_log_likelihoods", "gaussian_log_likelihoods", "likelihood_deviations"]


def expected_log_likelihoods(mc_log_probs_N_K_C: Tensor, entropy_weight: float = 0.0) -> Tensor:
    """(N, K) sum_y p(y) log p(y | sample k), p the mean over samples; plus `entropy_weight` times the entropy of p.
    Float64, in nats. Log probabilities below -800 count as -800."""

    def expected(log_probs_n_K_C: Tensor) -> Tensor:
        finite = log_probs_n_K_C.clamp(min=LEAST)
        mean_n_C = finite.exp().mean(dim=1)
        return (mean_n_C[:, None] * finite).sum(dim=2) + entropy_weight * torch.special.entr(mean_n_C).sum(
            dim=1, keepdim=True
        )

    return by_rows(expected, mc_log_probs_N_K_C)


def gaussian_log_likelihoods(mc_means_N_K: Tensor, noise: Tensor) -> Tensor:
    """(N, K) E_y log N(y; mean of sample k, noise) + H(y), y Gaussian with the samples' mean, and their variance v plus
    `noise`: log(1 + v / noise) / 2 - (z^2 + v) / (2 noise), z a sample's deviation. Float64, free of y's unit."""
    means = mc_means_N_K.double()
    deviations = means - means.mean(dim=1, keepdim=True)
    ratio = deviations.square() / noise
    spread = ratio.mean(dim=1, keepdim=True)
    return 0.5 * (torch.log1p(spread) - ratio - spread)


def likelihood_deviations(mc_log_probs_N_K_C: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) features phi and (N,) variances s^2, float64: phi is the expected loss of a point under each sample,
    minus its mean over samples, / sqrt K; s^2 is the expected squared distance to it of the loss of one label."""

    def both(log_probs_n_K_C: Tensor) -> Tensor:
        finite = log_probs_n_K_C.clamp(min=LEAST)
        mean_n_C = finite.exp().mean(dim=1)
        loss_n_K_C = (finite.mean(dim=1, keepdim=True) - finite) / finite.shape[1] ** 0.5
        phi_n_K = (mean_n_C[:, None] * loss_n_K_C).sum(dim=2)
        away_n_C = (loss_n_K_C - phi_n_K[:, :, None]).square().sum(dim=1)
        return torch.cat([phi_n_K, (mean_n_C * away_n_C).sum(dim=1, keepdim=True)], dim=1)

    made = by_rows(both, mc_log_probs_N_K_C)
    return made[:, :-1], made[:, -1]
