"""Look-ahead with the neural tangent kernel of the last layer: what would the model say after one more label?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoal.compute import chunks
from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.embeddings import pool_and_labeled

__all__ = ["LookAhead", "NTKLookAhead"]

OBJECTIVES = ("mlmoc", "contrastive")
FINITE = 30.0
"""Log probabilities are cut off this far below the largest."""


class LookAhead:
    """Linearised retraining with one more label, for all candidates at once, float64.

    Features phi (n, D), outputs f (n, C), targets Y (L, C). With the kernel phi.phi' trained to convergence (ridge
    `ridge` times its mean labeled diagonal), `f_lin = f + phi A^-1 Phi_L^T (Y - f_L)`, the posterior covariance is
    `B(x, x') = psi.psi'`, and one more label y' at x' moves the output of x by `B(x, x') / (B(x', x') + r)` times
    `y' - f_lin(x')`, where r is that ridge: the printed form without r is retraining only for fewer labels than
    features.
    """

    def __init__(self, labeled: Tensor, outputs_labeled: Tensor, targets: Tensor, ridge: float = 1e-5) -> None:
        self.width = labeled.shape[1]
        self.penalty = 0.0
        self._solution = None
        self._factor = None
        if len(labeled):
            self.penalty = ridge * float(labeled.square().sum(dim=1).mean().clamp_min(1e-300))
            gram = labeled.T @ labeled
            gram.diagonal().add_(self.penalty)
            self._factor = torch.linalg.cholesky(gram)
            self._solution = torch.cholesky_solve(labeled.T @ (targets - outputs_labeled), self._factor)

    def moved(self, features: Tensor) -> Tensor | float:
        """(n, C) f_lin - f; 0 where nothing is labeled."""
        return 0.0 if self._solution is None else features @ self._solution

    def posterior(self, features: Tensor) -> Tensor:
        """(n, D) psi, whose inner products are B."""
        if self._factor is None:
            return features
        return self.penalty**0.5 * torch.linalg.solve_triangular(self._factor, features.T, upper=False).T


class NTKLookAhead(Strategy):
    """Asks for the points whose label, if it were the predicted one, would change the model's outputs most.

    Most likely model output change (`objective="mlmoc"`): the sum over the pool of |f+ - f|, with f+ the network
    retrained with the point, linearised by its tangent kernel. `"contrastive"`, the default of the authors' code: the
    points after which fewest predictions stay what they are.

    The kernel is that of the last layer, exact for that layer and the same for every output; the whole network's is not
    in the outputs a strategy sees. The theory is for squared loss. For classifiers trained by cross-entropy it is
    applied to centred log probabilities with targets tau (onehot - 1/C), tau such that the labeled outputs fit them
    best: an approximation. Sums run over at most `evaluation` random points of the pool. The batch is the top b, with
    no term for diversity, as in the paper; the sequential form needs the label of each pick before the next.

    ridge: in units of the mean diagonal of the labeled kernel. Classification only: in a regression the predicted
    target changes nothing.
    """

    name = "ntk_lookahead"
    family = "gradient"
    source = "Mohamadi, Bae and Sutherland 2022, arXiv 2206.12569"
    cost = "N min(N, 2 000) (D + C) + D^3"
    needs = frozenset({"log_probs", "embeddings"})

    def __init__(self, objective: str = "mlmoc", evaluation: int = 2000, ridge: float = 1e-5) -> None:
        self.objective = objective
        self.evaluation = evaluation
        self.ridge = ridge

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.objective not in OBJECTIVES:
            raise UnknownName("objective", self.objective, OBJECTIVES)
        if self.evaluation < 1 or not self.ridge > 0:
            raise InvalidInput(
                f"got evaluation={self.evaluation} and ridge={self.ridge}; wanted at least 1, and more than 0"
            )
        pool, labeled = pool_and_labeled(view)
        scale = max((float(side.abs().max()) for side in (pool, labeled) if side.numel()), default=0.0) or 1.0
        known = _with_bias(labeled, scale)
        outputs_known = _centred(view.labeled.require("log_probs")) if len(labeled) else known.new_zeros(0, 1)
        targets = _onehot(view.labels.to(known.device), view.num_classes)
        tau = _scale_of_targets(outputs_known, targets) if len(labeled) else 1.0
        ahead = LookAhead(known, outputs_known, tau * targets, self.ridge)

        n = len(pool)
        chosen = torch.arange(n, device=pool.device)
        if n > self.evaluation:
            chosen = torch.randperm(n, generator=rng)[: self.evaluation].sort().values.to(pool.device)
        points, log_probs = _with_bias(pool[chosen], scale), view.pool.require("log_probs")
        now = _centred(log_probs[chosen])
        shift = ahead.moved(points) + torch.zeros_like(now)  # D, (E, C)
        witnesses = ahead.posterior(points)
        scores = torch.empty(n, dtype=torch.float64, device=pool.device)
        wide = 24 * len(chosen) * (view.num_classes if self.objective == "contrastive" else 1)
        for rows in chunks(n, wide + 32 * known.shape[1]):
            phi = _with_bias(pool[rows], scale)
            own = _centred(log_probs[rows])
            psi = ahead.posterior(phi)
            variance = psi.square().sum(dim=1)
            gain = (witnesses @ psi.T) / (variance + ahead.penalty).clamp_min(1e-300)  # (E, rows)
            label = tau * _onehot(own.argmax(dim=1), view.num_classes)
            surprise = label - (own + ahead.moved(phi))  # q, (rows, C)
            measure = _output_change if self.objective == "mlmoc" else _changed_predictions
            scores[rows] = measure(now, shift, gain, surprise)
        return top_scores(scores, batch_size, rng)


def _output_change(now: Tensor, shift: Tensor, gain: Tensor, surprise: Tensor) -> Tensor:
    """(rows,) sum over the evaluation points i of |shift_i + gain_ij surprise_j|."""
    squared = gain.square() * surprise.square().sum(dim=1)
    squared += 2 * gain * (shift @ surprise.T) + shift.square().sum(dim=1, keepdim=True)
    return squared.clamp_min_(0).sqrt_().sum(dim=0)


def _changed_predictions(now: Tensor, shift: Tensor, gain: Tensor, surprise: Tensor) -> Tensor:
    """(rows,) how many evaluation points are predicted otherwise after the label."""
    after = (now + shift).unsqueeze(1) + gain.unsqueeze(2) * surprise  # (E, rows, C)
    return (after.argmax(dim=2) != now.argmax(dim=1, keepdim=True)).double().sum(dim=0)


def _with_bias(embeddings: Tensor, scale: float) -> Tensor:
    scaled = embeddings.double() / scale
    return torch.cat([scaled, scaled.new_ones(len(scaled), 1)], dim=1)


def _centred(log_probs: Tensor) -> Tensor:
    """Log probabilities around their mean over the classes: logits, but for a constant that no output depends on."""
    cut = log_probs.double()
    cut = torch.maximum(cut, cut.amax(dim=1, keepdim=True) - FINITE)
    return cut - cut.mean(dim=1, keepdim=True)


def _onehot(labels: Tensor, num_classes: int) -> Tensor:
    return functional.one_hot(labels, num_classes).double() - 1 / num_classes


def _scale_of_targets(outputs: Tensor, targets: Tensor) -> float:
    """tau of least |outputs - tau targets|, at least 1: a model that has learned nothing yet still has targets."""
    return max(1.0, float((outputs * targets).sum() / targets.square().sum().clamp_min(1e-300)))
