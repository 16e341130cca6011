"""Points that the oracle turned away, and heads fitted after the fact that know of them.

Axes: n points, L labeled, R rejected, D embedding, C known classes.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from torch import Tensor

from autoal.outputs import ModelOutputs, PoolView

__all__ = ["Head", "cross_entropy_head", "one_vs_all_heads", "rejected_with"]


def rejected_with(view: PoolView, *names: str) -> ModelOutputs | None:
    """Outputs of the rejected points, None where there are none or a field of `names` is missing."""
    rejected = view.rejected
    if rejected is None or len(rejected) == 0 or not rejected.present() >= set(names):
        return None
    return rejected.to(view.device)


SHARPNESS = 10.0
"""The largest of some outputs is a log sum exp this sharp, so that the loss is smooth and no class comes first."""


class Head:
    """Linear outputs on embeddings, which are first moved and scaled as those it was fitted to."""

    def __init__(self, known_n_D: Tensor) -> None:
        known = known_n_D.double()
        self.mean_D = known.mean(dim=0)
        self.scale = float((known - self.mean_D).square().mean().sqrt()) or 1.0
        self.weights = known.new_zeros(known.shape[1] + 1, 1)

    def features(self, rows_n_D: Tensor) -> Tensor:
        """(n, D + 1) float64, the last column 1."""
        moved = (rows_n_D.double() - self.mean_D) / self.scale
        return torch.cat([moved, torch.ones_like(moved[:, :1])], dim=1)

    def __call__(self, rows_n_D: Tensor) -> Tensor:
        """(n, outputs) float64."""
        return self.features(rows_n_D) @ self.weights


def cross_entropy_head(
    known_n_D: Tensor, targets_n: Tensor, outputs: int, temperature: float = 1.0, penalty: float = 1.0
) -> Head:
    """The softmax layer with the least cross-entropy at `temperature`, summed, plus `penalty` |W|^2 / 2; convex."""
    target = np.eye(outputs)[targets_n.cpu().numpy()]

    def loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = logits / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        log_probs = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return -float((target * log_probs).sum()), (np.exp(log_probs) - target) / temperature

    return _fitted(known_n_D, outputs, loss, penalty)


def one_vs_all_heads(
    known_L_D: Tensor, labels_L: Tensor, rejected_R_D: Tensor, classes: int, weight: float, penalty: float = 1.0
) -> Head:
    """C binary outputs: the own class of a labeled point against the class it is most easily taken for, and, with
    `weight`, for rejected points the largest entropy of all of them."""
    labels, known = labels_L.cpu().numpy(), len(labels_L)
    rows = np.arange(known)

    def loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
        slope = np.zeros_like(logits)
        others = logits[:known].copy()
        others[rows, labels] = -np.inf
        own = logits[rows, labels]
        total = float(np.logaddexp(0, -own).sum())
        slope[rows, labels] = _sigmoid(own) - 1
        if classes > 1:
            hardest = logsumexp(SHARPNESS * others, axis=1) / SHARPNESS
            total += float(np.logaddexp(0, hardest).sum())
            slope[:known] += _sigmoid(hardest)[:, None] * softmax(SHARPNESS * others, axis=1)
        unknown = logits[known:]
        probs = _sigmoid(unknown)
        total -= weight / classes * float((np.logaddexp(0, unknown) - probs * unknown).sum())
        slope[known:] = weight / classes * probs * (1 - probs) * unknown
        return total, slope

    return _fitted(torch.cat([known_L_D, rejected_R_D]), classes, loss, penalty)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -values))


def _fitted(points_n_D: Tensor, outputs: int, loss, penalty: float) -> Head:  # type: ignore[no-untyped-def]
    head = Head(points_n_D)
    features = head.features(points_n_D).cpu().numpy()
    free = np.ones((features.shape[1], 1))
    free[-1] = 1e-6  # the bias is as good as free; without any penalty a class that is never seen has none at all

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(features.shape[1], outputs)
        value, slope = loss(features @ weights)
        value += 0.5 * penalty * float((free * weights**2).sum())
        return value, (features.T @ slope + penalty * free * weights).ravel()

    start = np.zeros(features.shape[1] * outputs)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 1e-6})
    head.weights = torch.from_numpy(found.x.reshape(features.shape[1], outputs)).to(points_n_D.device)
    return head
