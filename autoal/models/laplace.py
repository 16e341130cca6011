"""Laplace approximation of the last layer: a Gaussian over its weights, drawn from once, the same for every point.

Axes: L labeled, D features with a column of ones appended, C classes, K draws. Float64 throughout. MacKay, 1992;
Daxberger et al., "Laplace Redux", 2021 (2106.14806). In a regression the posterior is the exact one of Bayesian linear
regression (Bishop, 2006, 3.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autoal.models.eager import eager

__all__ = [
    "LastLayer",
    "classification_posterior",
    "draw",
    "map_head",
    "regression_posterior",
    "sampled_outputs",
    "with_one",
]

FULL_WEIGHTS = 4000
"""Up to this many weights C * D the precision is full; above, one block per class."""
PRIOR_PRECISIONS = tuple(10.0 ** (k / 2) for k in range(-4, 9))
"""1e-2 to 1e4, among which the marginal likelihood chooses."""
_NOISE_SHARES = tuple(10.0 ** (k / 2) for k in range(-12, 1))


@dataclass(frozen=True)
class LastLayer:
    """Gaussian over weights (C, D): mean, and precision in blocks (B, m, m); B * m = C * D in the order of the mean."""

    mean: Tensor
    precision: Tensor
    prior: float
    """Prior precision that was chosen."""
    noise: float = 0.0
    """Variance of targets around their expectation; 0 for classes."""


def with_one(features: Tensor) -> Tensor:
    """(n, D) float64 features with a last column of ones."""
    return torch.cat([features.double(), torch.ones_like(features[:, :1], dtype=torch.float64)], dim=1)


def map_head(inputs_L_D: Tensor, labels: Tensor, num_classes: int, prior: float, start: Tensor | None = None) -> Tensor:
    """(C, D) weights of the softmax regression with penalty prior / 2 * |weights|^2, by L-BFGS from `start`, or 0."""
    weights = inputs_L_D.new_zeros(num_classes, inputs_L_D.shape[1]) if start is None else start.clone()
    with torch.enable_grad():
        weights.requires_grad_()
        search = eager(torch.optim.LBFGS)(
            [weights], max_iter=100, tolerance_grad=1e-5, tolerance_change=1e-9, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            search.zero_grad()
            value = torch.nn.functional.cross_entropy(inputs_L_D @ weights.T, labels, reduction="sum")
            value = value + 0.5 * prior * weights.square().sum()
            value.backward()
            return value

        search.step(loss)
    return weights.detach()


def classification_posterior(
    inputs_L_D: Tensor, labels: Tensor, num_classes: int, mode_C_D: Tensor | None
) -> LastLayer:
    """Around the weights `mode_C_D` of a trained head; None: around the most probable weights, one for each prior.

    The precision is tau I + sum_i (diag p_i - p_i p_i') kron z_i z_i', with p(1 - p) per class where C * D is above
    4000. tau maximises log p(labels | weights) - tau/2 |weights|^2 + C D / 2 log tau - 1/2 log det precision.
    """
    best, found = -math.inf, None
    fixed = None if mode_C_D is None else _curvature(inputs_L_D, mode_C_D)
    mode = mode_C_D
    for prior in reversed(PRIOR_PRECISIONS):  # each search starts from the mode of a stronger prior
        if mode_C_D is None:
            mode = map_head(inputs_L_D, labels, num_classes, prior, mode)
        assert mode is not None
        precision = (_curvature(inputs_L_D, mode) if fixed is None else fixed).clone()
        precision.diagonal(dim1=-2, dim2=-1).add_(prior)
        evidence = float(
            -torch.nn.functional.cross_entropy(inputs_L_D @ mode.T, labels, reduction="sum")
            - 0.5 * prior * mode.square().sum()
            + 0.5 * mode.numel() * math.log(prior)
            - _half_log_det(precision)
        )
        if evidence > best:
            best, found = evidence, LastLayer(mode, precision, prior)
    assert found is not None, "the evidence is not a number"
    return found


def regression_posterior(inputs_L_D: Tensor, targets_L: Tensor) -> LastLayer:
    """Exact posterior (1, D) of linear regression with prior N(0, I / tau) and noise variance s2, for targets of
    deviation about 1; tau on the grid, and s2 among 1e-6 to 1 times the mean square of the targets, by the marginal
    likelihood."""
    n, width = inputs_L_D.shape
    gram, moment = inputs_L_D.T @ inputs_L_D, inputs_L_D.T @ targets_L
    values, vectors = torch.linalg.eigh(gram)
    values, rotated = values.clamp_min(0.0), vectors.T @ moment
    square = float(targets_L.square().sum())
    best, chosen = -math.inf, (1.0, 1.0)
    for prior in PRIOR_PRECISIONS:
        for share in _NOISE_SHARES:
            noise = share * max(square / n, 1e-12)
            spread = values / noise + prior
            left = square / noise - float((rotated.square() / spread).sum()) / noise**2
            evidence = 0.5 * (width * math.log(prior) - n * math.log(2 * math.pi * noise) - left)
            evidence -= 0.5 * float(spread.log().sum())
            if evidence > best:
                best, chosen = evidence, (prior, noise)
    return _linear_posterior(gram, moment, *chosen)


def _linear_posterior(gram: Tensor, moment: Tensor, prior: float, noise: float) -> LastLayer:
    precision = gram / noise
    precision.diagonal().add_(prior)
    mean = torch.cholesky_solve((moment / noise)[:, None], _cholesky(precision[None])[0])
    return LastLayer(mean.T, precision[None], prior, noise)


def draw(posterior: LastLayer, n_draws: int, generator: torch.Generator) -> Tensor:
    """(K, C, D) weights: mean + inv(chol(precision)') noise, drawn on the CPU."""
    blocks, width = posterior.precision.shape[:2]
    noise = torch.randn(n_draws, blocks, width, dtype=torch.float64, generator=generator)
    factor = _cholesky(posterior.precision)
    noise = noise.to(factor.device).permute(1, 2, 0)
    moved = torch.linalg.solve_triangular(factor.mT, noise, upper=True).permute(2, 0, 1)
    return posterior.mean + moved.reshape(n_draws, *posterior.mean.shape)


def _curvature(inputs_L_D: Tensor, mode_C_D: Tensor) -> Tensor:
    """(B, m, m) generalised Gauss-Newton matrix of the cross-entropy: one block, or one per class."""
    probs = torch.softmax(inputs_L_D @ mode_C_D.T, dim=1)
    classes, width = mode_C_D.shape
    if classes * width > FULL_WEIGHTS:
        return torch.stack([(inputs_L_D * (p * (1 - p))[:, None]).T @ inputs_L_D for p in probs.T])
    full = inputs_L_D.new_zeros(classes, width, classes, width)
    for a in range(classes):
        for b in range(a, classes):
            weight = probs[:, a] * (float(a == b) - probs[:, b])
            block = (inputs_L_D * weight[:, None]).T @ inputs_L_D
            full[a, :, b, :] = block
            full[b, :, a, :] = block
    return full.reshape(1, classes * width, classes * width)


def _half_log_det(precision: Tensor) -> Tensor:
    return _cholesky(precision).diagonal(dim1=-2, dim2=-1).log().sum()


def _cholesky(precision: Tensor) -> Tensor:
    """Factor of each block; where rounding has made one indefinite, 1e-6 of its mean diagonal is added, then more."""
    jitter = 0.0
    for _ in range(8):
        factor, failed = torch.linalg.cholesky_ex(precision)
        if not bool(failed.any()) and bool(factor.isfinite().all()):
            return factor
        jitter = 1e-6 if jitter == 0.0 else 10.0 * jitter
        scale = precision.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
        precision = precision + jitter * scale * torch.eye(precision.shape[-1]).to(precision)
    return torch.linalg.cholesky(precision)


def sampled_outputs(features: Tensor, weights_K_C_D: Tensor) -> Tensor:
    """(n, K, C) float64 outputs of K drawn heads: one matrix product."""
    draws, classes, _ = weights_K_C_D.shape
    return (with_one(features) @ weights_K_C_D.flatten(0, 1).T).unflatten(1, (draws, classes))
